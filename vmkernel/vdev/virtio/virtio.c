// SPDX-License-Identifier: Apache-2.0
/*
 * The PCI transport of virtio devices: capabilities, common configuration, ISR, notifications
 * (through a port BAR, whose exits are the cheapest, and through memory), interrupts.
 */
#include "vdev/virtio/virtio.h"
#include "vmk/errno.h"
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
enum {
	AREA_COMMON = 0x0000,
	AREA_ISR = 0x1000,
	AREA_DEVICE = 0x2000,
	AREA_NOTIFY = 0x3000,
	AREA_SIZE = 0x1000
};
enum {
	CAP_VENDOR = 9,
	CAP_LENGTH = 16,
	CAP_COMMON = 1,
	CAP_NOTIFY = 2,
	CAP_ISR = 3,
	CAP_DEVICE = 4
};
enum { VENDOR = 0x1af4, DEVICE_BASE = 0x1040, SUBSYSTEM = 0x1100, NO_VECTOR = 0xffff };
enum { ISR_QUEUE = 1, ISR_CONFIG = 2 };
/* Common configuration, 4.1.4.3. */
enum {
	DEVICE_FEATURE_SELECT = 0x00,
	DEVICE_FEATURE = 0x04,
	DRIVER_FEATURE_SELECT = 0x08,
	DRIVER_FEATURE = 0x0c,
	CONFIG_VECTOR = 0x10,
	NUM_QUEUES = 0x12,
	STATUS = 0x14,
	GENERATION = 0x15,
	QUEUE_SELECT = 0x16,
	QUEUE_SIZE = 0x18,
	QUEUE_VECTOR = 0x1a,
	QUEUE_ENABLE = 0x1c,
	QUEUE_NOTIFY_OFF = 0x1e,
	QUEUE_DESC = 0x20,
	QUEUE_AVAIL = 0x28,
	QUEUE_USED = 0x30
};

static void raise(struct virtio *d, uint16_t vector, uint8_t isr)
{
	stat_inc(interrupts);
	if (vmsix_enabled(&d->pci)) {
		if (vector != NO_VECTOR)
			vmsix_raise(&d->pci, vector);
		return;
	}
	d->isr |= isr;
	vpci_set_intx(&d->pci, true);
}

void virtio_signal(struct virtio *d, struct vqueue *q)
{
	if (vqueue_wants_signal(q))
		raise(d, q->vector, ISR_QUEUE);
}

void virtio_config_changed(struct virtio *d)
{
	d->generation++;
	if (d->status & VIRTIO_DRIVER_OK)
		raise(d, d->config_vector, ISR_CONFIG);
}

void virtio_broken(struct virtio *d)
{
	if (d->status & VIRTIO_NEEDS_RESET)
		return;
	stat_inc(broken);
	d->status |= VIRTIO_NEEDS_RESET;
	virtio_config_changed(d);
}

/* Everything back to the state before a driver; under lock, nothing in flight. */
static void reset_now(struct virtio *d)
{
	d->status = d->isr = 0;
	d->features = 0;
	d->config_vector = NO_VECTOR;
	d->queue_select = 0;
	d->resetting = false;
	for (unsigned i = 0; i < d->queues; i++)
		vqueue_reset(&d->queue[i]);
}

void virtio_put(struct virtio *d)
{
	uint64_t flags = spin_lock_irq(&d->lock);
	bool idle = --d->inflight == 0;

	if (idle && d->resetting)
		reset_now(d);
	spin_unlock_irq(&d->lock, flags);
	if (idle)
		waitq_wake_all(&d->idle);
}

static void begin_reset(struct virtio *d)
{
	if (d->kind->reset)
		d->kind->reset(d);
	if (d->inflight)
		d->resetting = true;
	else
		reset_now(d);
}

void virtio_stop(struct virtio *d)
{
	uint64_t flags = spin_lock_irq(&d->lock);

	begin_reset(d);
	spin_unlock_irq(&d->lock, flags);
	wait_event(&d->idle, !READ_ONCE(d->inflight));
	work_flush(&d->work);
}

static uint64_t common_read(struct virtio *d, unsigned off)
{
	const struct vqueue *q = d->queue_select < d->queues ? &d->queue[d->queue_select] : NULL;

	switch (off) {
	case DEVICE_FEATURE_SELECT: return d->feature_select;
	case DEVICE_FEATURE:
		return d->feature_select < 2 ? d->offered >> (32 * d->feature_select) : 0;
	case DRIVER_FEATURE_SELECT: return d->driver_select;
	case DRIVER_FEATURE:
		return d->driver_select < 2 ? d->features >> (32 * d->driver_select) : 0;
	case CONFIG_VECTOR: return d->config_vector;
	case NUM_QUEUES: return d->queues;
	case STATUS: return d->status;
	case GENERATION: return d->generation;
	case QUEUE_SELECT: return d->queue_select;
	case QUEUE_NOTIFY_OFF: return d->queue_select;
	case QUEUE_SIZE: return q ? q->size : 0;
	case QUEUE_VECTOR: return q ? q->vector : NO_VECTOR;
	case QUEUE_ENABLE: return q && q->enabled;
	case QUEUE_DESC: return q ? q->desc : 0;
	case QUEUE_DESC + 4: return q ? q->desc >> 32 : 0;
	case QUEUE_AVAIL: return q ? q->avail : 0;
	case QUEUE_AVAIL + 4: return q ? q->avail >> 32 : 0;
	case QUEUE_USED: return q ? q->used : 0;
	case QUEUE_USED + 4: return q ? q->used >> 32 : 0;
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
	d->status = v | (d->status & VIRTIO_NEEDS_RESET);
	return (updated & VIRTIO_DRIVER_OK) && (d->status & VIRTIO_FEATURES_OK);
}

static uint16_t vector_of(const struct virtio *d, uint64_t v)
{
	return v < d->pci.msix.count ? (uint16_t)v : NO_VECTOR;
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
	if (off == QUEUE_VECTOR) {
		q->vector = vector_of(d, v);
		return;
	}
	if (q->enabled) /* the rest is fixed then */
		return;
	switch (off) {
	case QUEUE_SIZE: q->size = (uint16_t)v; break;
	case QUEUE_ENABLE:
		q->event_index = d->features & VIRTIO_F_EVENT_INDEX;
		q->indirect = d->features & VIRTIO_F_INDIRECT;
		if (v == 1 && vqueue_enable(q))
			virtio_broken(d);
		break;
	case QUEUE_DESC:
	case QUEUE_DESC + 4: set_half(&q->desc, off & 4, v, size); break;
	case QUEUE_AVAIL:
	case QUEUE_AVAIL + 4: set_half(&q->avail, off & 4, v, size); break;
	case QUEUE_USED:
	case QUEUE_USED + 4: set_half(&q->used, off & 4, v, size); break;
	default: break;
	}
}

static bool common_write(struct virtio *d, unsigned off, unsigned size, uint64_t v)
{
	switch (off) {
	case DEVICE_FEATURE_SELECT: d->feature_select = (uint32_t)v; break;
	case DRIVER_FEATURE_SELECT: d->driver_select = (uint32_t)v; break;
	case DRIVER_FEATURE:
		if (d->driver_select < 2 && !(d->status & VIRTIO_FEATURES_OK))
			set_half(&d->features, d->driver_select, (uint32_t)v, 4);
		break;
	case CONFIG_VECTOR: d->config_vector = vector_of(d, v); break;
	case STATUS: return status_write(d, (uint8_t)v);
	case QUEUE_SELECT: d->queue_select = (uint16_t)v; break;
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

	for (; again; again &= again - 1)
		d->kind->kick(d, (unsigned)__builtin_ctz(again));
}

static uint64_t memory_read(struct io_range *r, uint64_t off, unsigned size)
{
	struct virtio *d = r->dev;
	uint64_t flags = spin_lock_irq(&d->lock), v = 0;
	unsigned at = off % AREA_SIZE;
	bool lower = false;

	switch (off - at) {
	case AREA_COMMON: v = common_read(d, at); break;
	case AREA_ISR:
		v = d->isr;
		d->isr = 0;
		lower = true;
		break;
	case AREA_DEVICE:
		if (at + size <= d->config_len)
			memcpy(&v, d->config + at, size);
		break;
	default: break;
	}
	spin_unlock_irq(&d->lock, flags);
	if (lower)
		vpci_set_intx(&d->pci, false);
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

static void capability(struct virtio *d, uint8_t type, uint8_t bar, uint32_t offset,
                       uint32_t length)
{
	unsigned extra = type == CAP_NOTIFY ? 4 : 0;
	uint8_t at = vpci_capability(&d->pci, CAP_VENDOR, CAP_LENGTH + extra),
		*c = d->pci.config + at;
	uint32_t step = NOTIFY_STEP;

	c[2] = (uint8_t)(CAP_LENGTH + extra);
	c[3] = type;
	c[4] = bar;
	memcpy(c + 8, &offset, 4);
	memcpy(c + 12, &length, 4);
	if (extra)
		memcpy(c + 16, &step, 4);
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
	const struct vpci_id id = { VENDOR,           (uint16_t)(DEVICE_BASE + kind->type),
		                    VENDOR,           SUBSYSTEM,
		                    kind->class_code, 1 };
	int err;

	d->vm = vm;
	d->gmem = vm_gmem(vm);
	d->kind = kind;
	d->offered = features | VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT | VIRTIO_F_EVENT_INDEX;
	d->queues = queues;
	d->config_len = (uint8_t)config_len;
	spin_init(&d->lock, "virtio", RANK_VDEV);
	waitq_init(&d->idle, "virtio");
	work_init(&d->work, continue_kicks);
	for (unsigned i = 0; i < queues; i++) {
		d->queue[i].gmem = d->gmem;
		d->queue[i].size_max = VQUEUE_SIZE_MAX;
	}
	reset_now(d);
	vpci_dev_init(&d->pci, &id, true);
	vpci_bar(&d->pci, BAR_NOTIFY, true, NOTIFY_SIZE, &notify_ops, d);
	vpci_bar(&d->pci, BAR_MEMORY, false, MEMORY_SIZE, &memory_ops, d);
	capability(d, CAP_COMMON, BAR_MEMORY, AREA_COMMON, 0x38);
	capability(d, CAP_ISR, BAR_MEMORY, AREA_ISR, 1);
	if (config_len)
		capability(d, CAP_DEVICE, BAR_MEMORY, AREA_DEVICE, config_len);
	capability(d, CAP_NOTIFY, BAR_MEMORY, AREA_NOTIFY, queues * NOTIFY_STEP);
	/* Drivers take the first that they find, and the list's head is what came last. */
	capability(d, CAP_NOTIFY, BAR_NOTIFY, 0, queues * NOTIFY_STEP);
	vmsix_init(&d->pci, BAR_MSIX, queues + 1);
	err = vpci_add(bus, &d->pci, slot);
	d->vdev.slot = d->pci.slot;
	return err;
}
