// SPDX-License-Identifier: Apache-2.0
/*
 * Who is next when a device is full. While it has room a request goes to the driver at once and
 * nothing here is looked at. Otherwise each owner's requests wait in a flow of their own, in order,
 * and the flows take turns by deficit round robin: a turn is worth BLK_TURN bytes, what is left of
 * it is kept for the next one while the flow has requests. So owners get equal shares of a slow
 * device, and a single request of one owner waits for a turn of each other owner at most, however
 * long their backlogs are. Requests in `first` go before all flows: the driver refused or a reset
 * interrupted them, or they are urgent (BLK_URGENT).
 *
 * Shreedhar and Varghese, Efficient Fair Queueing using Deficit Round Robin, SIGCOMM 1995.
 */
#include "storage/blk_impl.h"

enum { PROBES = 8 };

void blk_flows_init(struct blk_queue *q)
{
	list_init(&q->first);
	list_init(&q->round);
	for (unsigned i = 0; i < BLK_FLOWS; i++) {
		list_init(&q->flow[i].requests);
		list_init(&q->flow[i].turn);
	}
}

/*
 * The owner's flow, or a free one. Where too many owners wait at once, some share a flow and with
 * it a turn.
 */
static struct blk_flow *flow_of(struct blk_queue *q, const void *owner)
{
	/* Owners are addresses of large objects: the low bits and the neighbours say little. */
	unsigned at = (unsigned)((uint64_t)(uintptr_t)owner * 0x9e3779b97f4a7c15ull >> 58);
	struct blk_flow *free = NULL;

	for (unsigned i = 0; i < PROBES; i++) {
		struct blk_flow *f = &q->flow[(at + i) % BLK_FLOWS];

		if (list_empty(&f->requests)) {
			if (!free)
				free = f;
		} else if (f->owner == owner) {
			return f;
		}
	}
	return free ? free : &q->flow[at];
}

static uint32_t cost(const struct blk_req *r)
{
	return (uint32_t)MAX(MIN(r->len, (uint64_t)BLK_TURN), (uint64_t)BLK_COST_MIN);
}

void blk_wait_first(struct blk_queue *q, struct blk_req *r)
{
	list_push_front(&q->first, &r->link);
	q->waiting++;
}

void blk_wait(struct blk_queue *q, struct blk_req *r)
{
	struct blk_flow *f;

	q->waiting++;
	if (r->flags & BLK_URGENT) {
		list_push_back(&q->first, &r->link);
		return;
	}
	f = flow_of(q, r->owner);
	if (list_empty(&f->requests)) {
		f->owner = r->owner;
		f->credit = 0;
		list_push_back(&q->round, &f->turn);
	}
	list_push_back(&f->requests, &r->link);
}

struct blk_req *blk_next_waiting(struct blk_queue *q)
{
	struct blk_req *r = list_first(&q->first, struct blk_req, link);
	struct blk_flow *f;

	if (r) {
		q->waiting--;
		list_remove(&r->link);
		return r;
	}
	/* BLK_TURN is at least the cost of any request: a flow is passed over once at most. */
	while ((f = list_first(&q->round, struct blk_flow, turn))) {
		r = list_first(&f->requests, struct blk_req, link);
		if (f->credit >= cost(r))
			break;
		f->credit += BLK_TURN;
		list_remove(&f->turn);
		list_push_back(&q->round, &f->turn);
	}
	if (!f)
		return NULL;
	f->credit -= cost(r);
	q->waiting--;
	list_remove(&r->link);
	if (list_empty(&f->requests))
		list_remove(&f->turn);
	return r;
}
