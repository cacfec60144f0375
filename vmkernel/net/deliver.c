// SPDX-License-Identifier: Apache-2.0
/*
 * Sections in which forwarding tables are read without a lock, and delivery to ports. A port with
 * packets is on the list of one CPU, whose bottom half drains it: so a client's deliver is never
 * entered twice at once, never under a sender's locks, and a packet that provokes another does not
 * deepen the stack.
 */
#include "net.h"
#include "vmk/cpu.h"
#include "vmk/log.h"
#include "vmk/stat.h"
#include "vmk/work.h"
#include "vmk/world.h"

STAT(queue_full, "net.port.queue_full", "packets dropped because a port's queue was full");
STAT(no_room, "net.port.no_room", "packets dropped because a port's client had no buffer");

static struct net_cpu {
	uint32_t nesting, sections; /* inside now; outermost ones that ended */
	struct bottom bottom;
	struct spinlock lock; /* guards ports */
	struct list ports;
} __aligned(CACHE_LINE) cpus[CPUS_MAX];

void net_enter(void)
{
	preempt_disable();
	/* Ordered before the reads of the tables: see net_synchronize. */
	__atomic_fetch_add(&cpus[cpu_id()].nesting, 1, __ATOMIC_SEQ_CST);
}

void net_leave(void)
{
	struct net_cpu *c = &cpus[cpu_id()];

	/*
	 * sections rises before nesting falls to 0, so that a waiter that sees another section
	 * knows the one that it waited for is over.
	 */
	if (c->nesting == 1)
		store_release(&c->sections, c->sections + 1);
	store_release(&c->nesting, c->nesting - 1);
	preempt_enable();
}

void net_synchronize(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	/*
	 * Only sections that had begun before the table changed count: one that begins later sees
	 * the change. So a CPU that always forwards does not hold this up.
	 */
	for (unsigned i = 0; i < cpu_count(); i++) {
		uint32_t seen = load_acquire(&cpus[i].sections);

		while (load_acquire(&cpus[i].nesting) && load_acquire(&cpus[i].sections) == seen)
			world_yield();
	}
}

void port_enqueue(struct port *p, struct pkt *pkt)
{
	uint64_t flags = spin_lock_irq(&p->lock);

	if (p->tail - p->head == PORT_QUEUE) {
		spin_unlock_irq(&p->lock, flags);
		count(&p->stats.rx_dropped, 1);
		stat_inc(queue_full);
		return;
	}
	/* A reference for the queue: a flooded packet is in many. */
	pkt_get(pkt);
	p->queue[p->tail++ % PORT_QUEUE] = pkt;
	bool first = !p->scheduled;

	p->scheduled = true;
	/*
	 * Interrupts stay off until the port is on this CPU's list: nobody else will put it there.
	 */
	spin_unlock(&p->lock);
	if (first) {
		struct net_cpu *c = &cpus[cpu_id()];

		spin_lock(&c->lock);
		list_push_back(&c->ports, &p->sched);
		spin_unlock(&c->lock);
		bottom_raise(&c->bottom);
	}
	irq_restore(flags);
}

static int deliver_one(void *arg, struct pkt *pkt)
{
	struct port *p = arg;
	uint32_t len = pkt->len, flags = pkt->flags;
	int err = p->ops->deliver(p->arg, pkt);

	if (err) {
		count(&p->stats.rx_dropped, 1);
		stat_inc(no_room);
		return err;
	}
	count(&p->stats.rx_packets, 1);
	count(&p->stats.rx_bytes, len);
	if (flags & PKT_BROADCAST)
		count(&p->stats.rx_broadcast, 1);
	else if (flags & PKT_MULTICAST)
		count(&p->stats.rx_multicast, 1);
	return 0;
}

/*
 * Delivers packets of up to max segments, but at least one packet; returns how many segments. The
 * port is no longer scheduled when that is 0.
 */
static unsigned drain(struct port *p, unsigned max)
{
	struct pkt *batch[BOTTOM_BUDGET];
	uint64_t flags = spin_lock_irq(&p->lock);
	unsigned n = 0, segments = 0;

	for (; n < BOTTOM_BUDGET && segments < max && p->head != p->tail; n++) {
		batch[n] = p->queue[p->head++ % PORT_QUEUE];
		segments += pkt_segments(batch[n]);
	}
	if (n == 0) {
		p->scheduled = false;
		/*
		 * Under the lock: who waits for it frees the port after taking the lock once more.
		 */
		waitq_wake_all(&p->idle);
	}
	spin_unlock_irq(&p->lock, flags);
	/* Without the lock: the client may send from here, also to this port. */
	for (unsigned i = 0; i < n; i++) {
		if (unlikely(p->taps))
			capture_frame(p, batch[i], CAPTURE_OUT);
		offload_finish(batch[i], p->caps, p->vlan == VLAN_TRUNK, deliver_one, p);
	}
	if (n && p->ops->flush)
		p->ops->flush(p->arg);
	return segments;
}

static void cpu_drain(struct bottom *b)
{
	struct net_cpu *c = container_of(b, struct net_cpu, bottom);
	unsigned budget = BOTTOM_BUDGET;

	for (;;) {
		uint64_t flags = spin_lock_irq(&c->lock);
		struct port *p = list_first(&c->ports, struct port, sched);

		if (p && budget)
			list_remove(&p->sched);
		spin_unlock_irq(&c->lock, flags);
		if (!p)
			return;
		if (!budget)
			break;
		unsigned n;

		while (budget && (n = drain(p, budget)) != 0)
			budget -= MIN(n, budget);
		if (budget)
			continue; /* drained: it is not ours any more */
		flags = spin_lock_irq(&c->lock);
		list_push_back(&c->ports, &p->sched);
		spin_unlock_irq(&c->lock, flags);
	}
	/* Out of budget with ports left: the bottom half runs again after others had their turn. */
	bottom_raise(&c->bottom);
}

void port_drain(struct port *p)
{
	wait_event(&p->idle, !load_acquire(&p->scheduled));
	uint64_t flags = spin_lock_irq(&p->lock);

	/* drain() wakes under the lock: once we have had it, it no longer touches the port. */
	ASSERT(p->head == p->tail);
	spin_unlock_irq(&p->lock, flags);
}

void deliver_init(void)
{
	for (unsigned i = 0; i < CPUS_MAX; i++) {
		list_init(&cpus[i].ports);
		spin_init(&cpus[i].lock, "net-cpu", RANK_NET + 1);
		bottom_init(&cpus[i].bottom, cpu_drain);
	}
}
