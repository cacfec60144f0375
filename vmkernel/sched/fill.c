// SPDX-License-Identifier: Apache-2.0
/*
 * Water-filling: each child gets shares * level, clamped to its floor and ceiling, with the level
 * chosen so that all of the parent's rate is given out. The clamped children are found in rounds
 * (the method of "resolving flexible lengths" in CSS flexbox): each round freezes the children at
 * the kind of bound, floor or ceiling, that distorts the sum more. A round freezes at least one
 * child, and in practice three or four rounds do.
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

	/*
	 * Read without the run queue's lock: a sleep between the two reads counts its burst twice
	 * or not at all, once, and the smoothing absorbs that.
	 */
	if (since != NS_NEVER && now > since)
		busy += now - since;
	/* A world that has not existed for a whole pass counts as always busy. */
	part = (busy - MIN(busy, n->busy_seen)) * RATE_ONE / MAX(elapsed, 1ull);
	part = n->busy_seen == NS_NEVER ? RATE_ONE : MIN(part, (uint64_t)RATE_ONE);
	n->busy_seen = busy;
	n->demand = (uint32_t)((n->demand + part) / 2);
	n->ceiling = MIN(MIN(n->demand, n->max), RATE_ONE);
	n->floor = MIN(n->min, n->ceiling);
}

/* Floors and ceilings from the worlds upwards; returns the number of nodes. */
static unsigned measure(struct fill_node *g, ns_t now, ns_t elapsed)
{
	struct fill_node *n;
	uint64_t ceiling = 0, floor = 0;
	unsigned count = 1;

	list_for_each(n, &g->children, link) {
		if (n->entity) {
			measure_world(n, now, elapsed);
			count++;
		} else {
			count += measure(n, now, elapsed);
		}
		ceiling += n->ceiling;
		floor += n->floor;
	}
	g->ceiling = (uint32_t)MIN(ceiling, (uint64_t)g->max);
	/*
	 * A group's own minimum reserves more than its members' minima, if they have demand for it.
	 */
	g->floor = (uint32_t)MIN(MAX(floor, (uint64_t)g->min), (uint64_t)g->ceiling);
	return count;
}

/*
 * Whether the children's floors fit into the capacity together. If not (more was promised than
 * there is, or the parent has a maximum), all of them shrink in proportion.
 */
static bool fit_floors(struct fill_node *g, uint64_t capacity)
{
	struct fill_node *n;
	uint64_t floor = 0;

	list_for_each(n, &g->children, link)
		floor += n->floor;
	if (floor <= capacity)
		return true;
	list_for_each(n, &g->children, link)
		n->floor = (uint32_t)(n->floor * capacity / floor);
	return false;
}

struct level {
	uint64_t rate, shares; /* a child's part is its shares * rate / shares */
};

/*
 * Sets each child's n->rate to its part of the capacity within its bounds; returns the level of
 * those that are at neither bound (shares 0: there are none).
 */
static struct level find_level(struct fill_node *g, uint64_t capacity)
{
	struct fill_node *n;
	struct level l;

	list_for_each(n, &g->children, link)
		n->frozen = false;
	for (;;) {
		int64_t violation = 0;

		/* The level that distributes what the frozen children leave. */
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
			n->rate = (uint32_t)MAX(MIN(part, (uint64_t)n->ceiling),
			                        (uint64_t)n->floor);
			violation += (int64_t)n->rate - (int64_t)part;
		}
		/*
		 * Clamping gave out too much (violation > 0): the level will sink, so children at
		 * their floor stay there. Too little: it will rise, the same for the ceiling.
		 */
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
 * The entitlement of a child: what it may use if its demand rises before the next pass. That is its
 * part at the level even if its demand was less. If no level binds (every child is at a bound and
 * rate is left over), it is its ceiling and a part of the rest by shares. Within minimum and
 * maximum.
 */
static uint32_t entitle(const struct fill_node *n, struct level l, uint64_t spare,
                        uint64_t all_shares, bool minima_fit)
{
	uint64_t rate = l.shares ? MAX(l.rate * n->shares / l.shares, (uint64_t)n->rate)
	                         : n->ceiling + spare * n->shares / MAX(all_shares, 1ull);

	/*
	 * One frozen at its floor gets exactly that: a later round may have raised the level above
	 * it, but the sum was computed with the floor.
	 */
	if (l.shares && n->frozen && n->rate == n->floor && n->floor < n->ceiling)
		rate = n->floor;
	if (minima_fit)
		rate = MAX(rate, (uint64_t)n->min);
	rate = MIN(rate, (uint64_t)n->max);
	if (n->entity)
		rate = MIN(rate, (uint64_t)RATE_ONE);
	return (uint32_t)MAX(rate, 1ull);
}

/*
 * Distributes the capacity of g down the tree. The depth of the recursion is that of the tree, at
 * most DEPTH_MAX of group.c. limited: g or a group above it is at its maximum.
 */
static void distribute(struct fill_node *g, uint64_t capacity, bool limited)
{
	struct fill_node *n;
	struct level l;
	uint64_t demand = 0, shares = 0, spare;
	bool minima_fit = fit_floors(g, capacity);

	l = find_level(g, capacity);
	list_for_each(n, &g->children, link) {
		demand += n->ceiling;
		shares += n->shares;
	}
	spare = capacity > demand ? capacity - demand : 0;
	list_for_each(n, &g->children, link) {
		bool at_max;

		n->rate = entitle(n, l, spare, shares, minima_fit);
		at_max = limited || n->rate == n->max;
		if (!n->entity) {
			distribute(n, n->rate, at_max);
			continue;
		}
		/*
		 * Rates are relative, so on a CPU with time to spare a world gets more than its
		 * rate. A maximum, its own or a group's, must hold even then: a limit in real time.
		 */
		WRITE_ONCE(n->entity->new_rate, n->rate);
		WRITE_ONCE(n->entity->limit, at_max ? n->rate : RATE_ONE);
	}
}

unsigned fill_pass(struct fill_node *root, uint64_t capacity, ns_t now, ns_t elapsed)
{
	unsigned count = measure(root, now, elapsed);

	root->rate = (uint32_t)MIN(capacity, (uint64_t)UINT32_MAX);
	distribute(root, capacity, false);
	return count;
}
