// SPDX-License-Identifier: Apache-2.0
/* Split virtqueues with indirect tables and event indices. Spec: VIRTIO 1.2 2.6. */
#include "virtio/virtio.h"
#include "vmk/io.h"
#include "vmk/log.h"
#include "vmk/stat.h"

#define LOG_MODULE "virtio"

STAT(stray, "virtio.stray_completions", "used entries for no chain in flight");
STAT(kicks, "virtio.kicks", "notifications sent to devices");

enum { DIRECT_MOST = 3 }; /* longer chains go into an indirect table */

static void kick_now(struct virtq *q)
{
	stat_inc(kicks);
	if (q->dev->legacy)
		out16((uint16_t)(q->dev->port + VIRTIO_LEGACY_QUEUE_NOTIFY), q->index);
	else
		mmio_write16(q->notify, q->index);
}

static unsigned fill_indirect(struct virtq *q, unsigned head, const struct virtq_buf *buf,
                              unsigned out, unsigned count)
{
	struct virtq_desc *table = q->indirect[head];

	for (unsigned i = 0; i < count; i++)
		table[i] = (struct virtq_desc){
			.addr = buf[i].addr,
			.len = buf[i].len,
			.flags = (uint16_t)((i + 1 < count ? VIRTQ_DESC_F_NEXT : 0) |
			                    (i >= out ? VIRTQ_DESC_F_WRITE : 0)),
			.next = (uint16_t)(i + 1)
		};
	struct virtq_desc *d = &q->desc[head];

	d->addr = q->indirect_iova + head * sizeof(*q->indirect);
	d->len = count * (uint32_t)sizeof(*table);
	d->flags = VIRTQ_DESC_F_INDIRECT;
	return 1;
}

/* The free list runs through desc.next, so a chain is already linked. */
static unsigned fill_direct(struct virtq *q, unsigned head, const struct virtq_buf *buf,
                            unsigned out, unsigned count)
{
	unsigned at = head;

	for (unsigned i = 0; i < count; i++) {
		struct virtq_desc *d = &q->desc[at];

		d->addr = buf[i].addr;
		d->len = buf[i].len;
		d->flags = (uint16_t)((i + 1 < count ? VIRTQ_DESC_F_NEXT : 0) |
		                      (i >= out ? VIRTQ_DESC_F_WRITE : 0));
		if (i + 1 < count)
			at = d->next;
	}
	/* desc.next of the last one still leads to the rest of the free list. */
	q->free_head = q->desc[at].next;
	return count;
}

int virtq_add(struct virtq *q, const struct virtq_buf *buf, unsigned out, unsigned in, void *token)
{
	unsigned count = out + in, head = q->free_head;
	bool indirect = q->indirect && count > 1 && (count > DIRECT_MOST || count > q->free_count);

	/* The rings hold nonsense until the device is reset. */
	if (unlikely(q->broken))
		return -ENODEV;
	if (unlikely(!count ||
	             (indirect ? count > VIRTQ_INDIRECT || !q->free_count : count > q->free_count)))
		return -EBUSY;
	/*
	 * A table costs one descriptor of the ring whatever the chain's length, but the device has
	 * to fetch it: short chains go in directly.
	 */
	if (indirect) {
		q->free_head = q->desc[head].next;
		q->free_count -= fill_indirect(q, head, buf, out, count);
	} else {
		q->free_count -= fill_direct(q, head, buf, out, count);
	}
	/* The token names the chain until virtq_get; it is never NULL. */
	q->token[head] = token;
	q->avail->ring[q->avail_idx & (q->size - 1)] = (uint16_t)head;
	q->avail_idx++;
	/* Descriptors and ring entry before the index that publishes them, 2.7.13. */
	dma_wmb();
	WRITE_ONCE(q->avail->idx, q->avail_idx);
	return 0;
}

/* 2.7.7.2, 2.7.10: the device says from which entry on it wants to be told. */
void virtq_kick(struct virtq *q)
{
	uint16_t from = q->kicked, to = q->avail_idx;
	bool wanted;

	if (from == to)
		return;
	q->kicked = to;
	__sync_synchronize(); /* our index before its event: else both sides may sleep */
	/* Whether avail_event lies in [from, to), in arithmetic modulo 2^16. */
	if (q->dev->features & VIRTIO_F_EVENT_IDX)
		wanted = (uint16_t)(to - *q->avail_event - 1) < (uint16_t)(to - from);
	else
		wanted = !(q->used->flags & VIRTQ_USED_F_NO_NOTIFY);
	if (wanted)
		kick_now(q);
}

static void free_chain(struct virtq *q, unsigned head)
{
	unsigned last = head, count = 1;

	/*
	 * Direct chains are ours to walk: the device cannot write descriptors without an IOMMU
	 * fault of its own, but it could; so the walk is bounded by what is in use.
	 */
	while (q->desc[last].flags & VIRTQ_DESC_F_NEXT && count < q->size - q->free_count) {
		last = q->desc[last].next & (q->size - 1);
		count++;
	}
	q->desc[last].next = q->free_head;
	q->free_head = (uint16_t)head;
	q->free_count += count;
	q->token[head] = NULL;
}

void *virtq_get(struct virtq *q, uint32_t *len)
{
	if (q->used_idx == READ_ONCE(q->used->idx) || q->broken)
		return NULL;
	/* The entry is read after the index that published it. */
	dma_rmb();
	volatile struct virtq_used_elem *e = &q->used->ring[q->used_idx & (q->size - 1)];
	uint32_t id = e->id;

	*len = e->len;
	q->used_idx++;
	/* The device decides which chain ends: an id that is not ours must not index anything. */
	if (unlikely(id >= q->size || !q->token[id])) {
		stat_inc(stray);
		log_err("%s: queue %u: used entry for unknown chain %u: the queue stops",
		        q->dev->pci->dev.name, q->index, id);
		q->broken = true;
		return NULL;
	}
	void *token = q->token[id];

	free_chain(q, id);
	return token;
}

void *virtq_reclaim(struct virtq *q)
{
	for (unsigned head = 0; head < q->size; head++) {
		void *token = q->token[head];

		/* In no order: the caller ends or repeats them all. */
		if (!token)
			continue;
		free_chain(q, head);
		return token;
	}
	return NULL;
}

void virtq_irq_off(struct virtq *q)
{
	if (!(q->dev->features & VIRTIO_F_EVENT_IDX))
		q->avail->flags = VIRTQ_AVAIL_F_NO_INTERRUPT;
	else
		*q->used_event = (uint16_t)(q->used_idx - 1); /* half a turn away */
}

bool virtq_irq_after(struct virtq *q, unsigned count)
{
	if (!(q->dev->features & VIRTIO_F_EVENT_IDX))
		q->avail->flags = 0;
	else
		*q->used_event = (uint16_t)(q->used_idx + count - 1);
	__sync_synchronize(); /* our event before its index, as above */
	return !q->broken && (uint16_t)(READ_ONCE(q->used->idx) - q->used_idx) >= count;
}
