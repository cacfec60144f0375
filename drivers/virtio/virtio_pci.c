// SPDX-License-Identifier: Apache-2.0
/*
 * Virtio's PCI transport: modern devices by their capabilities; where a transitional device's
 * cannot be used, the legacy registers in its I/O BAR. Spec: VIRTIO 1.2 3.1 (initialisation), 4.1
 * (PCI).
 */
#include "virtio/virtio.h"
#include "hw/pci.h"
#include "vmk/dma.h"
#include "vmk/io.h"
#include "vmk/log.h"
#include "vmk/stat.h"
#include "vmk/string.h"
#include "vmk/time.h"
#include "vmk/world.h"

#define LOG_MODULE "virtio"

#define RESET_TIMEOUT (1 * NS_PER_S)

STAT(interrupts, "virtio.interrupts", "interrupts of queues");

/* The structure that a capability names, mapped; NULL when it is not in a memory BAR. */
static uint8_t *map_structure(struct pci_dev *p, unsigned cap, uint32_t least, uint32_t *len)
{
	unsigned bar = pci_read(p, cap + VIRTIO_PCI_CAP(cap.bar), 1);
	uint32_t off = pci_read(p, cap + VIRTIO_PCI_CAP(cap.offset), 4);

	*len = pci_read(p, cap + VIRTIO_PCI_CAP(cap.length), 4);
	/* The device wrote these numbers: nothing outside of its BAR is mapped. */
	if (bar >= PCI_BARS || *len < least || (uint64_t)off + *len > p->bar[bar].len)
		return NULL;
	uint8_t *va = pci_map_bar(p, bar);

	return va ? va + off : NULL;
}

/* 4.1.4: the first capability of a type that can be used counts. */
static bool open_modern(struct virtio *v)
{
	struct pci_dev *p = v->pci;
	uint32_t len;

	for (unsigned cap = pci_cap_find(p, PCI_CAP_VENDOR, 0); cap;
	     cap = pci_cap_find(p, PCI_CAP_VENDOR, cap)) {
		switch (pci_read(p, cap + VIRTIO_PCI_CAP(cap.cfg_type), 1)) {
		case VIRTIO_PCI_CAP_COMMON_CFG:
			v->common = v->common ? v->common
			                      : map_structure(p, cap,
			                                      sizeof(struct virtio_pci_common_cfg),
			                                      &len);
			break;
		case VIRTIO_PCI_CAP_NOTIFY_CFG:
			if (!v->notify)
				v->notify_multiplier = pci_read(
					p, cap + VIRTIO_PCI_CAP(notify_off_multiplier), 4);
			v->notify = v->notify ? v->notify : map_structure(p, cap, 2, &len);
			break;
		case VIRTIO_PCI_CAP_ISR_CFG:
			v->isr = v->isr ? v->isr : map_structure(p, cap, 1, &len);
			break;
		case VIRTIO_PCI_CAP_DEVICE_CFG:
			v->device = v->device ? v->device
			                      : map_structure(p, cap, 1, &v->device_len);
			break;
		}
	}
	return v->common && v->notify && v->isr;
}

int virtio_open(struct virtio *v, struct pci_dev *p)
{
	v->pci = p;
	v->legacy = !open_modern(v);
	if (!v->legacy)
		return 0;
	v->port = pci_io_bar(p, 0);
	v->config_offset = VIRTIO_LEGACY_CONFIG;
	return v->port ? 0 : -ENODEV;
}

uint8_t virtio_status(struct virtio *v)
{
	return v->legacy ? in8((uint16_t)(v->port + VIRTIO_LEGACY_DEVICE_STATUS))
	                 : mmio_read8(v->common + VIRTIO_PCI_COMMON(device_status));
}

static void set_status(struct virtio *v, uint8_t status)
{
	if (v->legacy)
		out8((uint16_t)(v->port + VIRTIO_LEGACY_DEVICE_STATUS), status);
	else
		mmio_write8(v->common + VIRTIO_PCI_COMMON(device_status), status);
}

/* 4.1.4.3.2: reset is over when the status reads 0. */
static int reset_and_wait(struct virtio *v)
{
	ns_t deadline = time_now() + RESET_TIMEOUT;

	set_status(v, 0);
	while (virtio_status(v)) {
		if (virtio_status(v) == 0xff)
			return -ENODEV;
		if (time_now() >= deadline)
			return -ETIMEDOUT;
		world_sleep_until(time_now() + NS_PER_MS);
	}
	return 0;
}

void virtio_reset(struct virtio *v)
{
	int err = reset_and_wait(v);

	if (err)
		log_warn("%s: reset: error %d", v->pci->dev.name, -err);
	/* It may still write to the rings: without bus mastering it cannot. */
	if (err == -ETIMEDOUT)
		pci_set_master(v->pci, false);
}

static uint64_t offered_features(struct virtio *v)
{
	if (v->legacy)
		return in32((uint16_t)(v->port + VIRTIO_LEGACY_DEVICE_FEATURES));
	mmio_write32(v->common + VIRTIO_PCI_COMMON(device_feature_select), 0);
	uint64_t low = mmio_read32(v->common + VIRTIO_PCI_COMMON(device_feature));

	mmio_write32(v->common + VIRTIO_PCI_COMMON(device_feature_select), 1);
	return low | (uint64_t)mmio_read32(v->common + VIRTIO_PCI_COMMON(device_feature)) << 32;
}

static void accept_features(struct virtio *v)
{
	if (v->legacy) {
		out32((uint16_t)(v->port + VIRTIO_LEGACY_DRIVER_FEATURES), (uint32_t)v->features);
		return;
	}
	for (unsigned word = 0; word < 2; word++) {
		mmio_write32(v->common + VIRTIO_PCI_COMMON(driver_feature_select), word);
		mmio_write32(v->common + VIRTIO_PCI_COMMON(driver_feature),
		             (uint32_t)(v->features >> 32 * word));
	}
}

int virtio_negotiate(struct virtio *v, uint64_t wanted)
{
	int err = reset_and_wait(v);

	if (err)
		return err;
	set_status(v, VIRTIO_ACKNOWLEDGE);
	set_status(v, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
	uint64_t offered = offered_features(v);

	v->features = offered & (wanted | VIRTIO_F_VERSION_1);
	/* 6.1: a modern driver must not go on with a device that does not offer it. */
	if (!v->legacy && !(v->features & VIRTIO_F_VERSION_1))
		return -EIO;
	accept_features(v);
	if (v->legacy)
		return 0;
	set_status(v, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK);
	/* 3.1.1, step 6: reads back as 0 when the device does not take this set of features. */
	return virtio_status(v) & VIRTIO_FEATURES_OK ? 0 : -EIO;
}

void virtio_ready(struct virtio *v)
{
	set_status(v, (uint8_t)(virtio_status(v) | VIRTIO_DRIVER_OK));
}

static uint32_t config_read(struct virtio *v, unsigned off, unsigned width)
{
	if (v->legacy) {
		uint16_t port = (uint16_t)(v->port + v->config_offset + off);

		return width == 1 ? in8(port) : width == 2 ? in16(port) : in32(port);
	}
	if (off + width > v->device_len)
		return 0;
	uint8_t *at = v->device + off;

	return width == 1 ? mmio_read8(at) : width == 2 ? mmio_read16(at) : mmio_read32(at);
}

/* 4.1.4.3.1: read again when the configuration changed between the halves. */
uint64_t virtio_config(struct virtio *v, unsigned off, unsigned width)
{
	if (width < 8)
		return config_read(v, off, width);
	uint64_t value;
	uint8_t before, after;
	unsigned tries = 0;

	do {
		before = v->legacy ? 0
		                   : mmio_read8(v->common + VIRTIO_PCI_COMMON(config_generation));
		value = config_read(v, off, 4) | (uint64_t)config_read(v, off + 4, 4) << 32;
		after = v->legacy ? 0
		                  : mmio_read8(v->common + VIRTIO_PCI_COMMON(config_generation));
	} while (before != after && ++tries < 16);
	return value;
}

int virtio_irqs(struct virtio *v, unsigned queues)
{
	int n = pci_irq_setup(v->pci, queues + 1);

	if (n < 0)
		return n;
	v->vectors = (unsigned)n;
	/* 4.1.4.10: with MSI-X two more registers stand in front of the device's configuration. */
	if (v->pci->cap_msix)
		v->config_offset = VIRTIO_LEGACY_CONFIG_WITH_MSIX;
	return 0;
}

static enum irq_return queue_irq(void *arg)
{
	stat_inc(interrupts);
	struct virtq *q = arg;

	bottom_raise(q->bottom);
	return IRQ_HANDLED;
}

static enum irq_return config_irq(void *arg)
{
	struct virtio *v = arg;

	if (v->config_bottom)
		bottom_raise(v->config_bottom);
	return IRQ_HANDLED;
}

static void raise_all(struct virtio *v)
{
	for (unsigned i = 0; i < v->queues; i++)
		if (v->queue[i] && v->queue[i]->bottom)
			bottom_raise(v->queue[i]->bottom);
}

/* Fewer vectors than queues: this one does not say what for. */
static enum irq_return shared_irq(void *arg)
{
	stat_inc(interrupts);
	raise_all(arg);
	return config_irq(arg);
}

static enum irq_return intx_irq(void *arg)
{
	struct virtio *v = arg;
	uint8_t isr = v->legacy ? in8((uint16_t)(v->port + VIRTIO_LEGACY_ISR_STATUS))
	                        : mmio_read8(v->isr);

	if (!isr || isr == 0xff)
		return IRQ_NONE;
	stat_inc(interrupts);
	if (isr & VIRTIO_ISR_QUEUE)
		raise_all(v);
	return isr & VIRTIO_ISR_CONFIG ? config_irq(v) : IRQ_HANDLED;
}

/* The register takes it, or reads back "no vector" when the device is out of memory, 4.1.5.1.2. */
static int assign_vector(struct virtio *v, unsigned reg, unsigned legacy_reg, uint16_t vector)
{
	if (v->legacy) {
		uint16_t port = (uint16_t)(v->port + legacy_reg);

		out16(port, vector);
		return in16(port) == vector ? 0 : -EBUSY;
	}
	mmio_write16(v->common + reg, vector);
	return mmio_read16(v->common + reg) == vector ? 0 : -EBUSY;
}

static void select_queue(struct virtio *v, unsigned index)
{
	if (v->legacy)
		out16((uint16_t)(v->port + VIRTIO_LEGACY_QUEUE_SELECT), (uint16_t)index);
	else
		mmio_write16(v->common + VIRTIO_PCI_COMMON(queue_select), (uint16_t)index);
}

static int attach_queue(struct virtio *v, struct virtq *q)
{
	if (!q->bottom || !q->vector)
		return 0;
	return pci_irq_attach(v->pci, q->vector, q->cpu, queue_irq, q);
}

int virtio_irqs_attach(struct virtio *v)
{
	if (!v->pci->cap_msix)
		return pci_irq_attach(v->pci, 0, -1, intx_irq, v);
	int err = pci_irq_attach(v->pci, 0, -1, v->vectors <= v->queues ? shared_irq : config_irq,
	                         v);

	/* Vector 0 is the configuration's; with too few vectors it is everybody's. */
	if (!err)
		err = assign_vector(v, VIRTIO_PCI_COMMON(config_msix_vector),
		                    VIRTIO_LEGACY_CONFIG_MSIX_VECTOR, 0);
	for (unsigned i = 0; !err && i < v->queues; i++)
		if (v->queue[i])
			err = attach_queue(v, v->queue[i]);
	return err;
}

static void free_queue(struct virtq *q)
{
	struct device *dev = &q->dev->pci->dev;

	if (q->bottom)
		bottom_flush(q->bottom);
	dma_free(dev, q->memory, q->memory_size);
	dma_free(dev, q->indirect, q->size * sizeof(*q->indirect));
	*q = (struct virtq){ 0 };
}

void virtio_close(struct virtio *v)
{
	pci_irq_teardown(v->pci);
	if (v->config_bottom)
		bottom_flush(v->config_bottom);
	for (unsigned i = 0; i < v->queues; i++)
		if (v->queue[i])
			free_queue(v->queue[i]);
	memset(v->queue, 0, sizeof(v->queue));
	v->queues = 0;
}

/* 2.7.2: one block that suits the legacy layout too. */
static int alloc_ring(struct virtq *q, bool indirect)
{
	struct device *dev = &q->dev->pci->dev;
	size_t avail = q->size * sizeof(struct virtq_desc);
	size_t used = ALIGN_UP(avail + sizeof(struct virtq_avail) + 2u * q->size + 2,
	                       (size_t)VIRTQ_LEGACY_ALIGN);

	/* avail_event behind the used ring takes the last two bytes. */
	q->memory_size = used + sizeof(struct virtq_used) +
	                 q->size * sizeof(struct virtq_used_elem) + 2;
	q->memory = dma_alloc(dev, q->memory_size, &q->iova);
	if (indirect && q->memory)
		q->indirect = dma_alloc(dev, q->size * sizeof(*q->indirect), &q->indirect_iova);
	if (!q->memory || (indirect && !q->indirect))
		return -ENOMEM;
	q->desc = q->memory;
	q->avail = (void *)((uint8_t *)q->memory + avail);
	q->used = (void *)((uint8_t *)q->memory + used);
	q->used_event = &q->avail->ring[q->size];
	q->avail_event = (volatile uint16_t *)&q->used->ring[q->size];
	/* The free list; the device looks at `next` only where the flag says so. */
	for (unsigned i = 0; i < q->size; i++)
		q->desc[i].next = (uint16_t)(i + 1);
	q->free_count = q->size;
	return 0;
}

static int queue_size(struct virtio *v, unsigned most)
{
	unsigned size = v->legacy ? in16((uint16_t)(v->port + VIRTIO_LEGACY_QUEUE_SIZE))
	                          : mmio_read16(v->common + VIRTIO_PCI_COMMON(queue_size));

	if (!size || !IS_POW2(size) || (v->legacy && size > VIRTQ_SIZE_MAX))
		return -ENODEV;
	return (int)(v->legacy ? size : MIN(size, most));
}

static void publish_modern(struct virtio *v, struct virtq *q)
{
	iova_t avail = q->iova + (iova_t)((uint8_t *)q->avail - (uint8_t *)q->memory);
	iova_t used = q->iova + (iova_t)((volatile uint8_t *)q->used - (uint8_t *)q->memory);

	mmio_write16(v->common + VIRTIO_PCI_COMMON(queue_size), q->size);
	/* 4.1.3.1: 64-bit fields are written as two halves */
	mmio_write32(v->common + VIRTIO_PCI_COMMON(queue_desc), (uint32_t)q->iova);
	mmio_write32(v->common + VIRTIO_PCI_COMMON(queue_desc) + 4, (uint32_t)(q->iova >> 32));
	mmio_write32(v->common + VIRTIO_PCI_COMMON(queue_driver), (uint32_t)avail);
	mmio_write32(v->common + VIRTIO_PCI_COMMON(queue_driver) + 4, (uint32_t)(avail >> 32));
	mmio_write32(v->common + VIRTIO_PCI_COMMON(queue_device), (uint32_t)used);
	mmio_write32(v->common + VIRTIO_PCI_COMMON(queue_device) + 4, (uint32_t)(used >> 32));
	q->notify = (void *)(v->notify +
	                     mmio_read16(v->common + VIRTIO_PCI_COMMON(queue_notify_off)) *
	                             v->notify_multiplier);
	mmio_write16(v->common + VIRTIO_PCI_COMMON(queue_enable), 1);
}

/*
 * 4.1.5.1.3: size, memory, vector, addresses, and only then the queue is enabled. On an error
 * virtio_close frees what there is.
 */
int virtq_create(struct virtio *v, struct virtq *q, unsigned index, unsigned size, bool indirect)
{
	if (index >= VIRTIO_QUEUES_MAX)
		return -EINVAL;
	struct bottom *bottom = q->bottom;

	*q = (struct virtq){ .dev = v, .index = (uint16_t)index, .bottom = bottom, .cpu = q->cpu };
	select_queue(v, index);
	int n = queue_size(v, MIN(size, (unsigned)VIRTQ_SIZE_MAX));

	if (n < 0)
		return n;
	q->size = (uint16_t)n;
	q->vector = (uint16_t)(bottom && v->vectors > index + 1 ? index + 1 : 0);
	/* From here on virtio_close knows it. */
	v->queue[index] = q;
	v->queues = MAX(v->queues, index + 1);
	int err = alloc_ring(q, indirect && v->features & VIRTIO_F_INDIRECT_DESC);

	if (!err && v->pci->cap_msix)
		err = assign_vector(v, VIRTIO_PCI_COMMON(queue_msix_vector),
		                    VIRTIO_LEGACY_QUEUE_MSIX_VECTOR,
		                    bottom ? q->vector : VIRTIO_MSI_NO_VECTOR);
	if (err)
		return err;
	if (v->legacy)
		out32((uint16_t)(v->port + VIRTIO_LEGACY_QUEUE_ADDRESS),
		      (uint32_t)(q->iova >> PAGE_SHIFT));
	else
		publish_modern(v, q);
	return 0;
}
