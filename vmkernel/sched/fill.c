// SPDX-License-Identifier: Apache-2.0
/*
 * Water-filling: each child gets shares * level, clamped to what it needs and wants, with the level
 * chosen so that all of the parent's rate is given out. Found by freezing, round after round, the
 * children at the bound that dominates; each round freezes at least one, and in practice three or
 * four rounds do.
 */
#include "sched/fill.h"

void fill_node_init(struct fill_node *n, struct share_entity *entity, uint32_t shares, uint32_t min,
                    uint32_t max)
{
	*n = (struct fill_node){ .entity = entity,
		                 .shares = shares,
		                 .min = min,
		                 .max = max,
		                 .demand = RATE_ONE,
		                 .busy_seen = NS_NEVER };
	list_init(&n->link);
	list_init(&n->children);
}

void fill_attach(struct fill_node *parent, struct fill_node *n)
{
	n->parent = parent;
	list_push_back(&parent->children, &n->link);
}

void fill_detach(struct fill_node *n)
{
	list_remove(&n->link);
	n->parent = NULL;
}

void fill_guess(struct fill_node *n)
{
	const struct fill_node *other;
	uint64_t shares = 0, rate;
	unsigned seen = 0;

	/* A sample of its siblings stands for all. */
	list_for_each(other, &n->parent->children, link) {
		shares += other->shares;
		if (++seen == 64)
			break;
	}
	rate = (uint64_t)MAX(n->parent->rate, 1u) * n->shares / MAX(shares, 1ull);
	rate = MAX(rate, (uint64_t)n->min);
	n->rate = (uint32_t)MIN(MIN(MAX(rate, 1ull), (uint64_t)RATE_ONE), (uint64_t)n->max);
	if (n->entity)
		WRITE_ONCE(n->entity->new_rate, MAX(n->rate, 1u));
}

static void measure_world(struct fill_node *n, ns_t now, ns_t elapsed)
{
	ns_t since = READ_ONCE(n->entity->busy_since);
	ns_t busy = READ_ONCE(n->entity->busy);
	uint64_t part;

	if (since != NS_NEVER && now > since)
		busy += now - since;
	/* A world that has not been there for a whole pass is taken for busy. */
	part = (busy - MIN(busy, n->busy_seen)) * RATE_ONE / MAX(elapsed, 1ull);
	part = n->busy_seen == NS_NEVER ? RATE_ONE : MIN(part, (uint64_t)RATE_ONE);
	n->busy_seen = busy;
	n->demand = (uint32_t)((n->demand + part) / 2);
	n->want = MIN(MIN(n->demand, n->max), RATE_ONE);
	n->need = MIN(n->min, n->want);
}

static unsigned measure(struct fill_node *g, ns_t now, ns_t elapsed)
{
	struct fill_node *n;
	uint64_t want = 0, need = 0;
	unsigned count = 1;

	list_for_each(n, &g->children, link) {
		if (n->entity) {
			measure_world(n, now, elapsed);
			count++;
		} else {
			count += measure(n, now, elapsed);
		}
		want += n->want;
		need += n->need;
	}
	g->want = (uint32_t)MIN(want, (uint64_t)g->max);
	g->need = (uint32_t)MIN(MAX(need, (uint64_t)g->min), (uint64_t)g->want);
	return count;
}

/* Minima that the capacity cannot hold shrink in proportion: false then. */
static bool fit_needs(struct fill_node *g, uint64_t capacity)
{
	struct fill_node *n;
	uint64_t need = 0;

	list_for_each(n, &g->children, link)
		need += n->need;
	if (need <= capacity)
		return true;
	list_for_each(n, &g->children, link)
		n->need = (uint32_t)(n->need * capacity / need);
	return false;
}

struct level {
	uint64_t rate, shares; /* a child's part is its shares * rate / shares */
};

/*
 * Gives the children their wanted parts in n->rate; returns the level of those that no bound froze
 * (shares 0: none).
 */
static struct level find_level(struct fill_node *g, uint64_t capacity)
{
	struct fill_node *n;
	struct level l;

	list_for_each(n, &g->children, link)
		n->frozen = false;
	for (;;) {
		int64_t violation = 0;

		l = (struct level){ capacity, 0 };
		list_for_each(n, &g->children, link) {
			if (n->frozen)
				l.rate -= MIN(l.rate, (uint64_t)n->rate);
			else
				l.shares += n->shares;
		}
		if (!l.shares)
			return l;
		list_for_each(n, &g->children, link) {
			uint64_t part = l.rate * n->shares / l.shares;

			if (n->frozen)
				continue;
			n->rate = (uint32_t)MAX(MIN(part, (uint64_t)n->want), (uint64_t)n->need);
			violation += (int64_t)n->rate - (int64_t)part;
		}
		bool froze = false;

		list_for_each(n, &g->children, link) {
			uint64_t part = l.rate * n->shares / l.shares;

			if (n->frozen || (violation >= 0 ? n->rate <= part : n->rate >= part))
				continue;
			n->frozen = froze = true;
		}
		if (!froze)
			return l;
	}
}

/*
 * What a child may use when it wants to: its part at the level, whatever its demand was; with
 * rate left over, its demand and a part of the rest. Within its bounds.
 */
static uint32_t entitle(const struct fill_node *n, struct level l, uint64_t spare,
                        uint64_t all_shares, bool minima_fit)
{
	uint64_t rate = l.shares ? MAX(l.rate * n->shares / l.shares, (uint64_t)n->rate)
	                         : n->want + spare * n->shares / MAX(all_shares, 1ull);

	if (l.shares && n->frozen && n->rate == n->need && n->need < n->want)
		rate = n->need;
	if (minima_fit)
		rate = MAX(rate, (uint64_t)n->min);
	rate = MIN(rate, (uint64_t)n->max);
	if (n->entity)
		rate = MIN(rate, (uint64_t)RATE_ONE);
	return (uint32_t)MAX(rate, 1ull);
}

static void give(struct fill_node *g, uint64_t capacity, bool limited)
{
	struct fill_node *n;
	struct level l;
	uint64_t wanted = 0, shares = 0, spare;
	bool minima_fit = fit_needs(g, capacity);

	l = find_level(g, capacity);
	list_for_each(n, &g->children, link) {
		wanted += n->want;
		shares += n->shares;
	}
	spare = capacity > wanted ? capacity - wanted : 0;
	list_for_each(n, &g->children, link) {
		bool at_max;

		n->rate = entitle(n, l, spare, shares, minima_fit);
		at_max = limited || n->rate == n->max;
		if (!n->entity) {
			give(n, n->rate, at_max);
			continue;
		}
		WRITE_ONCE(n->entity->new_rate, n->rate);
		WRITE_ONCE(n->entity->limit, at_max ? n->rate : RATE_ONE);
	}
}

unsigned fill_pass(struct fill_node *root, uint64_t capacity, ns_t now, ns_t elapsed)
{
	unsigned count = measure(root, now, elapsed);

	root->rate = (uint32_t)MIN(capacity, (uint64_t)UINT32_MAX);
	give(root, capacity, false);
	return count;
}
