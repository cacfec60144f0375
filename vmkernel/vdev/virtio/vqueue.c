// SPDX-License-Identifier: Apache-2.0
/* A split virtqueue, the device's side. */
#include "vdev/virtio/vqueue.h"
#include "hw/virtio.h"
#include "vmk/errno.h"
#include "vmk/string.h"

enum {
	RING_FLAGS = offsetof(struct virtq_avail, flags),
	RING_INDEX = offsetof(struct virtq_avail, idx),
	RING_ENTRIES = offsetof(struct virtq_avail, ring),
	USED_ENTRY = sizeof(struct virtq_used_elem),
	DESC_SIZE = sizeof(struct virtq_desc)
};
STATIC_ASSERT(offsetof(struct virtq_used, idx) == RING_INDEX);
STATIC_ASSERT(offsetof(struct virtq_used, ring) == RING_ENTRIES);

void vqueue_reset(struct vqueue *q)
{
	/* The size that the driver reads after a reset is the largest that it may set. */
	*q = (struct vqueue){ .gmem = q->gmem,
		              .size_max = q->size_max,
		              .size = q->size_max,
		              .vector = VIRTIO_MSI_NO_VECTOR };
}

static bool get16(struct vqueue *q, gpa_t gpa, uint16_t *v)
{
	const uint16_t *p = gmem_ptr(q->gmem, gpa, 2);

	if (p)
		*v = READ_ONCE(*p);
	return p;
}

static bool put16(struct vqueue *q, gpa_t gpa, uint16_t v)
{
	uint16_t *p = gmem_ptr(q->gmem, gpa, 2);

	if (p)
		WRITE_ONCE(*p, v);
	return p;
}

int vqueue_enable(struct vqueue *q)
{
	uint16_t probe;
	gpa_t avail_end = q->avail + RING_ENTRIES + 2ull * q->size;
	gpa_t used_end = q->used + RING_ENTRIES + (uint64_t)USED_ENTRY * q->size;

	if (!q->size || q->size > q->size_max || !IS_POW2(q->size) ||
	    q->desc & (VIRTQ_DESC_ALIGN - 1) || q->avail & (VIRTQ_AVAIL_ALIGN - 1) ||
	    q->used & (VIRTQ_USED_ALIGN - 1))
		return -EINVAL;
	/* Both ends of each; the middle is checked at every access. */
	if (!get16(q, q->desc, &probe) ||
	    !get16(q, q->desc + (uint64_t)DESC_SIZE * q->size - 2, &probe) ||
	    !get16(q, q->avail, &probe) || !get16(q, avail_end, &probe) ||
	    !get16(q, q->used, &probe) || !get16(q, used_end, &probe))
		return -EINVAL;
	q->enabled = true;
	return 0;
}

/* Appends one descriptor's memory to the chain. */
static bool append(struct vchain *c, const struct virtq_desc *d)
{
	uint32_t *bytes = d->flags & VIRTQ_DESC_F_WRITE ? &c->write_bytes : &c->read_bytes;

	/* Bounds a chain's pieces and keeps both sums within 32 bits. */
	if (c->count == VCHAIN_PIECES || add_overflow(*bytes, d->len, bytes))
		return false;
	if (!(d->flags & VIRTQ_DESC_F_WRITE)) {
		if (c->readable != c->count) /* readable behind writable */
			return false;
		c->readable++;
	}
	c->piece[c->count++] = (struct vpiece){ d->addr, d->len };
	return true;
}

/* Follows a table of n descriptors from index on; at most n steps, so a loop ends. */
static int follow(struct vqueue *q, struct vchain *c, gpa_t table, uint32_t n, uint32_t index,
                  bool nested)
{
	struct virtq_desc d;

	for (uint32_t steps = 0; steps < n; steps++) {
		if (index >= n ||
		    gmem_read(q->gmem, table + (uint64_t)DESC_SIZE * index, &d, sizeof(d)))
			return -EPROTO;
		if (d.flags & VIRTQ_DESC_F_INDIRECT) {
			/*
			 * 2.7.5.3.1: a table is not in a table, its descriptor ends the chain,
			 * and its length is a whole number of entries; we allow as many as the
			 * queue has.
			 */
			if (nested || !q->indirect || (d.flags & VIRTQ_DESC_F_NEXT) || !d.len ||
			    d.len % DESC_SIZE || d.len / DESC_SIZE > q->size)
				return -EPROTO;
			return follow(q, c, d.addr, d.len / DESC_SIZE, 0, true);
		}
		if (!append(c, &d))
			return -EPROTO;
		if (!(d.flags & VIRTQ_DESC_F_NEXT))
			return 0;
		index = d.next;
	}
	return -EPROTO;
}

int vqueue_next(struct vqueue *q, struct vchain *c)
{
	uint16_t index;
	int err;

	if (!q->enabled)
		return 0;
	/*
	 * The index runs free over 16 bits. What the driver has made available and not got back is
	 * at most a queue: a driver that offers more lets one chain be in flight several times.
	 */
	if (!get16(q, q->avail + RING_INDEX, &index) || (uint16_t)(index - q->next_used) > q->size)
		return -EPROTO;
	if (index == q->next_avail)
		return 0;
	barrier(); /* x86 keeps loads in order */
	c->readable = c->count = 0;
	c->read_bytes = c->write_bytes = 0;
	if (!get16(q, q->avail + RING_ENTRIES + 2ull * (q->next_avail & (q->size - 1)), &c->head))
		return -EPROTO;
	err = follow(q, c, q->desc, q->size, c->head, false);
	if (err)
		return err;
	/* Only now: a chain that was refused stays, but the device is broken by then. */
	q->next_avail++;
	return 1;
}

int vqueue_fill(struct vqueue *q, uint16_t offset, uint16_t head, uint32_t written)
{
	uint16_t at = (uint16_t)(q->next_used + offset) & (q->size - 1);
	struct virtq_used_elem entry = { head, written };

	return gmem_write(q->gmem, q->used + RING_ENTRIES + (uint64_t)USED_ENTRY * at, &entry,
	                  sizeof(entry))
	               ? -EPROTO
	               : 0;
}

int vqueue_publish(struct vqueue *q, uint16_t count)
{
	q->next_used += count;
	barrier(); /* the entries before the index; x86 keeps stores in order */
	return put16(q, q->used + RING_INDEX, q->next_used) ? 0 : -EPROTO;
}

int vqueue_done(struct vqueue *q, uint16_t head, uint32_t written)
{
	int err = vqueue_fill(q, 0, head, written);

	return err ? err : vqueue_publish(q, 1);
}

bool vqueue_wants_signal(struct vqueue *q)
{
	uint16_t old = q->signalled, event, flags;
	bool first = !q->signalled_valid;

	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* the index before what the driver wants */
	if (!q->event_index)
		return get16(q, q->avail + RING_FLAGS, &flags) &&
		       !(flags & VIRTQ_AVAIL_F_NO_INTERRUPT);
	if (!get16(q, q->avail + RING_ENTRIES + 2ull * q->size, &event))
		return false;
	/* 2.7.10: the event index was passed by what was given back since the last look. */
	q->signalled = q->next_used;
	q->signalled_valid = true;
	return first || (uint16_t)(q->next_used - event - 1) < (uint16_t)(q->next_used - old);
}

bool vqueue_kicks(struct vqueue *q, bool on)
{
	uint16_t index;

	if (!q->enabled)
		return false;
	if (!q->event_index)
		put16(q, q->used + RING_FLAGS, on ? 0 : VIRTQ_USED_F_NO_NOTIFY);
	/*
	 * avail_event: a kick is wanted for the next chain. Off, the old value stays and
	 * is passed.
	 */
	else if (on)
		put16(q, q->used + RING_ENTRIES + (uint64_t)USED_ENTRY * q->size, q->next_avail);
	if (!on)
		return false;
	/*
	 * Our wish before their index: a driver that misses the wish has published its chain
	 * before this look.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return get16(q, q->avail + RING_INDEX, &index) && index != q->next_avail;
}

int vqueue_take(struct vqueue *q, struct vchain *c)
{
	int got = vqueue_next(q, c);

	return !got && vqueue_kicks(q, true) ? vqueue_next(q, c) : got;
}

/*
 * Calls fn for the parts of [off, off + len) of one side of the chain; bytes covered or fn's error.
 */
static int walk(const struct vchain *c, bool writable, uint32_t off, uint32_t len,
                int (*fn)(void *arg, gpa_t gpa, uint32_t n), void *arg)
{
	unsigned i = writable ? c->readable : 0, end = writable ? c->count : c->readable;
	uint32_t done = 0;

	for (; i < end && done < len; i++) {
		const struct vpiece *p = &c->piece[i];
		uint32_t n;
		int err;

		if (off >= p->len) {
			off -= p->len;
			continue;
		}
		n = MIN(p->len - off, len - done);
		err = fn(arg, p->gpa + off, n);
		if (err < 0)
			return err;
		done += n;
		off = 0;
	}
	return (int)done;
}

struct copy {
	struct gmem *g;
	char *buf;
};

static int copy_from(void *arg, gpa_t gpa, uint32_t n)
{
	struct copy *c = arg;

	if (gmem_read(c->g, gpa, c->buf, n))
		return -EPROTO;
	c->buf += n;
	return 0;
}

static int copy_to(void *arg, gpa_t gpa, uint32_t n)
{
	struct copy *c = arg;

	if (gmem_write(c->g, gpa, c->buf, n))
		return -EPROTO;
	c->buf += n;
	return 0;
}

int vchain_read(struct gmem *g, const struct vchain *c, uint32_t off, void *dst, uint32_t len)
{
	return walk(c, false, off, len, copy_from, &(struct copy){ g, dst });
}

int vchain_write(struct gmem *g, const struct vchain *c, uint32_t off, const void *src,
                 uint32_t len)
{
	return walk(c, true, off, len, copy_to, &(struct copy){ g, (char *)(uintptr_t)src });
}

struct pin {
	struct gmem *g;
	struct sg *sg;
	unsigned used, max;
	bool pinned;
};

static int pin_piece(void *arg, gpa_t gpa, uint32_t n)
{
	struct pin *p = arg;
	int pieces = gmem_pin(p->g, gpa, n, p->sg + p->used, p->max - p->used);

	if (pieces < 0)
		return pieces;
	p->used += (unsigned)pieces;
	/* gmem counts pins of a VM, not of a range: one of them keeps all pieces. */
	if (p->pinned)
		gmem_unpin(p->g);
	p->pinned = true;
	return 0;
}

int vchain_pin(struct gmem *g, const struct vchain *c, bool writable, uint32_t off, uint32_t len,
               struct sg *sg, unsigned max)
{
	struct pin p = { .g = g, .sg = sg, .max = max };
	int done = walk(c, writable, off, len, pin_piece, &p);

	if (done == (int)len && p.pinned)
		return (int)p.used;
	if (p.pinned)
		gmem_unpin(g);
	return done < 0 ? done : -EFAULT;
}
