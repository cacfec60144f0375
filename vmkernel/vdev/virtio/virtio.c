// SPDX-License-Identifier: Apache-2.0
/*
 * The PCI transport of virtio devices: capabilities, common configuration, ISR, notifications
 * (through a port BAR, whose exits are the cheapest, and through memory), interrupts.
 */
#include "vdev/virtio/virtio.h"
#include "vmk/errno.h"
#include "vmk/mm.h"
#include "vmk/stat.h"
#include "vmk/string.h"

STAT(broken, "vm.virtio.broken", "devices that need a reset because of their driver's mistake");
STAT(kicks, "vm.virtio.kicks", "notifications of drivers");
STAT(interrupts, "vm.virtio.interrupts", "interrupts to drivers");
STAT(continued, "vm.virtio.continued", "kicks that a work world went on with");

enum {
	BAR_NOTIFY = 0,
	BAR_MSIX = 1,
	BAR_MEMORY = 4,
	NOTIFY_SIZE = 128,
	NOTIFY_STEP = 4,
	MEMORY_SIZE = 0x4000
};
/* Where the parts of the memory BAR lie. */
enum {
	AREA_COMMON = 0x0000,
	AREA_ISR = 0x1000,
	AREA_DEVICE = 0x2000,
	AREA_NOTIFY = 0x3000,
	AREA_SIZE = 0x1000
};
enum { CAP_VENDOR = 9, CONFIG_END = sizeof(struct virtio_pci_common_cfg), SUBSYSTEM = 0x1100 };
#define COMMON(field) VIRTIO_PCI_COMMON(field)

static void raise(struct virtio *d, uint16_t vector, uint8_t isr)
{
	stat_inc(interrupts);
	/* With MSI-X on the ISR byte and INTx are not used (4.1.4.5.1). */
	if (vmsix_enabled(&d->pci)) {
		if (vector != VIRTIO_MSI_NO_VECTOR)
			vmsix_raise(&d->pci, vector);
		return;
	}
	d->isr |= isr;
	vpci_set_intx(&d->pci, true);
}

void virtio_signal(struct virtio *d, struct vqueue *q)
{
	if (vqueue_wants_signal(q))
		raise(d, q->vector, VIRTIO_ISR_QUEUE);
}

void virtio_config_changed(struct virtio *d)
{
	d->generation++;
	/* Before DRIVER_OK the driver reads the configuration anyway. */
	if (d->status & VIRTIO_DRIVER_OK)
		raise(d, d->config_vector, VIRTIO_ISR_CONFIG);
}

void virtio_broken(struct virtio *d)
{
	/* Told and counted once a reset. */
	if (d->status & VIRTIO_DEVICE_NEEDS_RESET)
		return;
	stat_inc(broken);
	d->status |= VIRTIO_DEVICE_NEEDS_RESET;
	virtio_config_changed(d);
}

void virtio_give(struct virtio *d, struct vqueue *q, uint16_t head, int64_t written)
{
	if (written < 0 || vqueue_done(q, head, (uint32_t)written))
		virtio_broken(d);
	else
		virtio_signal(d, q);
}

/* Everything back to the state before a driver; under lock, nothing in flight. */
static void reset_now(struct virtio *d)
{
	d->status = d->isr = 0;
	d->features = 0;
	d->config_vector = VIRTIO_MSI_NO_VECTOR;
	d->queue_select = 0;
	d->resetting = false;
	d->starved = 0;
	for (unsigned i = 0; i < d->queues; i++)
		vqueue_reset(&d->queue[i]);
}

static void push(struct virtio *d, struct virtio_request *r)
{
	r->next = d->free;
	d->free = r;
}

static int requests_create(struct virtio *d)
{
	const struct virtio_kind *k = d->kind;

	if (!k->requests)
		return 0;
	d->requests = vmalloc((size_t)k->requests * k->request_size);
	if (!d->requests)
		return -ENOMEM;
	for (unsigned i = 0; i < k->requests; i++)
		push(d, (void *)((char *)d->requests + (size_t)i * k->request_size));
	return 0;
}

struct virtio_request *virtio_get(struct virtio *d, unsigned queue)
{
	struct virtio_request *r = d->free;

	if (unlikely(!r)) {
		d->starved |= 1u << queue;
		return NULL;
	}
	d->free = r->next;
	d->inflight++;
	return r;
}

void virtio_unget(struct virtio *d, struct virtio_request *r)
{
	push(d, r);
	if (--d->inflight || !d->resetting)
		return;
	/* The last request of a device under reset finishes the reset. */
	reset_now(d);
	waitq_wake_all(&d->idle);
}

void virtio_complete(struct virtio *d, struct virtio_request *r, unsigned queue, uint16_t head,
                     int64_t written)
{
	uint64_t flags = spin_lock_irq(&d->lock);

	/* The rings of a device under reset are the driver's again: nothing is written to them. */
	if (!d->resetting) {
		virtio_give(d, &d->queue[queue], head, written);
		for (; unlikely(d->starved); d->starved &= d->starved - 1)
			virtio_again(d, (unsigned)__builtin_ctz(d->starved));
	}
	virtio_unget(d, r);
	spin_unlock_irq(&d->lock, flags);
}

static void begin_reset(struct virtio *d)
{
	if (d->kind->reset)
		d->kind->reset(d);
	/*
	 * 2.1.2: the driver polls the status until it reads 0; it may take its memory back then,
	 * so requests that use it must be over.
	 */
	if (d->inflight)
		d->resetting = true;
	else
		reset_now(d);
}

/* Asked under the lock: virtio_complete holds it until it needs the device no more. */
static bool is_idle(struct virtio *d)
{
	uint64_t flags = spin_lock_irq(&d->lock);
	bool idle = !d->inflight;

	spin_unlock_irq(&d->lock, flags);
	return idle;
}

void virtio_stop(struct virtio *d)
{
	uint64_t flags = spin_lock_irq(&d->lock);

	begin_reset(d);
	spin_unlock_irq(&d->lock, flags);
	/*
	 * No new ones: status is 0 or resetting is set, so virtio_live fails. Then the work item,
	 * which finds no live driver and does not ask for itself again.
	 */
	wait_event(&d->idle, is_idle(d));
	work_flush(&d->work);
}

void virtio_destroy(struct virtio *d)
{
	if (d->requests)
		vfree(d->requests);
}

static uint64_t common_read(struct virtio *d, unsigned off)
{
	const struct vqueue *q = d->queue_select < d->queues ? &d->queue[d->queue_select] : NULL;

	switch (off) {
	case COMMON(device_feature_select): return d->feature_select;
	case COMMON(device_feature):
		return d->feature_select < 2 ? d->offered >> (32 * d->feature_select) : 0;
	case COMMON(driver_feature_select): return d->driver_select;
	case COMMON(driver_feature):
		return d->driver_select < 2 ? d->features >> (32 * d->driver_select) : 0;
	case COMMON(config_msix_vector): return d->config_vector;
	case COMMON(num_queues): return d->queues;
	case COMMON(device_status): return d->status;
	case COMMON(config_generation): return d->generation;
	case COMMON(queue_select): return d->queue_select;
	/* Each queue has an address of its own: its number times NOTIFY_STEP. */
	case COMMON(queue_notify_off): return d->queue_select;
	case COMMON(queue_size): return q ? q->size : 0;
	case COMMON(queue_msix_vector): return q ? q->vector : VIRTIO_MSI_NO_VECTOR;
	case COMMON(queue_enable): return q && q->enabled;
	case COMMON(queue_desc): return q ? q->desc : 0;
	case COMMON(queue_desc) + 4: return q ? q->desc >> 32 : 0;
	case COMMON(queue_driver): return q ? q->avail : 0;
	case COMMON(queue_driver) + 4: return q ? q->avail >> 32 : 0;
	case COMMON(queue_device): return q ? q->used : 0;
	case COMMON(queue_device) + 4: return q ? q->used >> 32 : 0;
	default: return 0;
	}
}

/* True: the kind is to be told that the driver is ready. */
static bool status_write(struct virtio *d, uint8_t v)
{
	uint8_t updated = v & ~d->status;

	if (!v) {
		begin_reset(d);
		return false;
	}
	if (d->resetting)
		return false;
	/* What the driver may not take is refused by not showing FEATURES_OK. */
	if ((updated & VIRTIO_FEATURES_OK) &&
	    ((d->features & ~d->offered) || !(d->features & VIRTIO_F_VERSION_1)))
		v &= ~VIRTIO_FEATURES_OK;
	/* Only a reset takes it away. */
	d->status = v | (d->status & VIRTIO_DEVICE_NEEDS_RESET);
	return (updated & VIRTIO_DRIVER_OK) && (d->status & VIRTIO_FEATURES_OK);
}

static uint16_t vector_of(const struct virtio *d, uint64_t v)
{
	return v < d->pci.msix.count ? (uint16_t)v : VIRTIO_MSI_NO_VECTOR;
}

static void set_half(uint64_t *field, bool high, uint64_t v, unsigned size)
{
	if (size == 8)
		*field = v;
	else
		*field = high ? (*field & BITS(31, 0)) | v << 32
		              : (*field & BITS(63, 32)) | (v & BITS(31, 0));
}

static void queue_write(struct virtio *d, struct vqueue *q, unsigned off, unsigned size, uint64_t v)
{
	if (off == COMMON(queue_msix_vector)) {
		q->vector = vector_of(d, v);
		return;
	}
	/* 4.1.4.3.2: what a live queue uses cannot be changed but by a reset. */
	if (q->enabled)
		return;
	switch (off) {
	case COMMON(queue_size): q->size = (uint16_t)v; break;
	case COMMON(queue_enable):
		/* Features are final when queues are enabled (FEATURES_OK comes before). */
		q->event_index = d->features & VIRTIO_F_EVENT_IDX;
		q->indirect = d->features & VIRTIO_F_INDIRECT_DESC;
		if (v == 1 && vqueue_enable(q))
			virtio_broken(d);
		break;
	case COMMON(queue_desc):
	case COMMON(queue_desc) + 4: set_half(&q->desc, off & 4, v, size); break;
	case COMMON(queue_driver):
	case COMMON(queue_driver) + 4: set_half(&q->avail, off & 4, v, size); break;
	case COMMON(queue_device):
	case COMMON(queue_device) + 4: set_half(&q->used, off & 4, v, size); break;
	default: break;
	}
}

static bool common_write(struct virtio *d, unsigned off, unsigned size, uint64_t v)
{
	switch (off) {
	case COMMON(device_feature_select): d->feature_select = (uint32_t)v; break;
	case COMMON(driver_feature_select): d->driver_select = (uint32_t)v; break;
	case COMMON(driver_feature):
		if (d->driver_select < 2 && !(d->status & VIRTIO_FEATURES_OK))
			set_half(&d->features, d->driver_select, (uint32_t)v, 4);
		break;
	case COMMON(config_msix_vector): d->config_vector = vector_of(d, v); break;
	case COMMON(device_status): return status_write(d, (uint8_t)v);
	case COMMON(queue_select): d->queue_select = (uint16_t)v; break;
	default:
		if (d->queue_select < d->queues)
			queue_write(d, &d->queue[d->queue_select], off, size, v);
	}
	return false;
}

static void kick(struct virtio *d, uint64_t queue)
{
	stat_inc(kicks);
	if (queue < d->queues)
		d->kind->kick(d, (unsigned)queue);
}

void virtio_again(struct virtio *d, unsigned queue)
{
	stat_inc(continued);
	__atomic_fetch_or(&d->again, 1u << queue, __ATOMIC_SEQ_CST);
	work_queue(&d->work);
}

static void continue_kicks(struct work *w)
{
	struct virtio *d = container_of(w, struct virtio, work);
	uint32_t again = __atomic_exchange_n(&d->again, 0, __ATOMIC_SEQ_CST);

	/* Each kick has a budget of its own and asks for the work again when it is used up. */
	for (; again; again &= again - 1)
		d->kind->kick(d, (unsigned)__builtin_ctz(again));
}

static uint64_t memory_read(struct io_range *r, uint64_t off, unsigned size)
{
	struct virtio *d = r->dev;
	uint64_t flags = spin_lock_irq(&d->lock), v = 0;
	unsigned at = off % AREA_SIZE;

	switch (off - at) {
	case AREA_COMMON: v = common_read(d, at); break;
	case AREA_ISR:
		/*
		 * Reading acknowledges and lowers INTx; both under the lock, or a cause that comes
		 * between them would have its bit set and its line low.
		 */
		v = d->isr;
		d->isr = 0;
		vpci_set_intx(&d->pci, false);
		break;
	case AREA_DEVICE:
		if (at + size <= d->config_len)
			memcpy(&v, d->config + at, size);
		break;
	default: break;
	}
	spin_unlock_irq(&d->lock, flags);
	return v;
}

static void config_write(struct virtio *d, unsigned at, unsigned size, uint64_t v)
{
	if (at + size > d->config_len)
		return;
	for (unsigned i = 0; i < size; i++) {
		uint8_t w = d->config_writable[at + i];

		d->config[at + i] = (d->config[at + i] & ~w) | ((uint8_t)(v >> (8 * i)) & w);
	}
	if (d->kind->config_written)
		d->kind->config_written(d, at, size);
}

static void memory_write(struct io_range *r, uint64_t off, unsigned size, uint64_t v)
{
	struct virtio *d = r->dev;
	unsigned at = off % AREA_SIZE;
	uint64_t flags;
	bool started = false;

	/* Notifications take the lock themselves, for each step they make. */
	if (off >= AREA_NOTIFY) {
		kick(d, at / NOTIFY_STEP);
		return;
	}
	flags = spin_lock_irq(&d->lock);
	if (off < AREA_ISR)
		started = common_write(d, at, size, v);
	else if (off >= AREA_DEVICE)
		config_write(d, at, size, v);
	spin_unlock_irq(&d->lock, flags);
	if (started && d->kind->started)
		d->kind->started(d);
}

static uint64_t notify_read(struct io_range *r, uint64_t off, unsigned size)
{
	return 0;
}

static void notify_write(struct io_range *r, uint64_t off, unsigned size, uint64_t v)
{
	kick(r->dev, off / NOTIFY_STEP);
}

/* One vendor-specific capability; its id and link are vpci's. */
static void capability(struct virtio *d, uint8_t type, uint8_t bar, uint32_t offset,
                       uint32_t length)
{
	struct virtio_pci_notify_cap c = {
		.cap = { .cfg_type = type, .bar = bar, .offset = offset, .length = length },
		.notify_off_multiplier = NOTIFY_STEP
	};
	const unsigned skip = offsetof(struct virtio_pci_cap, cap_len);
	uint8_t at;

	/* Only notifications have the multiplier behind the common part. */
	c.cap.cap_len = type == VIRTIO_PCI_CAP_NOTIFY_CFG ? sizeof(c) : sizeof(c.cap);
	at = vpci_capability(&d->pci, CAP_VENDOR, c.cap.cap_len);
	memcpy(d->pci.config + at + skip, (uint8_t *)&c + skip, c.cap.cap_len - skip);
}

unsigned virtio_queue_count(struct vm *vm, const struct vm_device *cfg, unsigned max)
{
	return MIN(cfg->queues ? cfg->queues : vm_config(vm)->cpus, max);
}

int virtio_init(struct virtio *d, struct vm *vm, struct vpci_bus *bus, uint32_t slot,
                const struct virtio_kind *kind, uint64_t features, unsigned queues,
                unsigned config_len)
{
	static const struct io_ops memory_ops = { memory_read, memory_write };
	static const struct io_ops notify_ops = { notify_read, notify_write };
	const struct vpci_id id = {
		VIRTIO_PCI_VENDOR, (uint16_t)(VIRTIO_PCI_DEVICE_BASE + kind->type),
		VIRTIO_PCI_VENDOR, SUBSYSTEM,
		kind->class_code,  1
	};
	int err;

	d->vm = vm;
	d->gmem = vm_gmem(vm);
	d->kind = kind;
	d->offered = features | VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX;
	d->queues = queues;
	d->config_len = (uint8_t)config_len;
	spin_init(&d->lock, "virtio", RANK_VDEV);
	waitq_init(&d->idle, "virtio");
	work_init(&d->work, continue_kicks);
	for (unsigned i = 0; i < queues; i++) {
		d->queue[i].gmem = d->gmem;
		d->queue[i].size_max = VQUEUE_SIZE_MAX;
	}
	err = requests_create(d);
	if (err)
		return err;
	reset_now(d);
	/* Modern only: device ids from 1040h on, revision 1 (4.1.2). */
	vpci_dev_init(&d->pci, &id, true);
	vpci_bar(&d->pci, BAR_NOTIFY, true, NOTIFY_SIZE, &notify_ops, d);
	vpci_bar(&d->pci, BAR_MEMORY, false, MEMORY_SIZE, &memory_ops, d);
	capability(d, VIRTIO_PCI_CAP_COMMON_CFG, BAR_MEMORY, AREA_COMMON, CONFIG_END);
	capability(d, VIRTIO_PCI_CAP_ISR_CFG, BAR_MEMORY, AREA_ISR, 1);
	if (config_len)
		capability(d, VIRTIO_PCI_CAP_DEVICE_CFG, BAR_MEMORY, AREA_DEVICE, config_len);
	capability(d, VIRTIO_PCI_CAP_NOTIFY_CFG, BAR_MEMORY, AREA_NOTIFY, queues * NOTIFY_STEP);
	/* Drivers take the first that they find, and the list's head is what came last. */
	capability(d, VIRTIO_PCI_CAP_NOTIFY_CFG, BAR_NOTIFY, 0, queues * NOTIFY_STEP);
	vmsix_init(&d->pci, BAR_MSIX, queues + 1);
	err = vpci_add(bus, &d->pci, slot);
	if (err)
		virtio_destroy(d);
	d->vdev.slot = d->pci.slot;
	return err;
}
