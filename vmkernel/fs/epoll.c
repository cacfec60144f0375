// SPDX-License-Identifier: Apache-2.0
/*
 * epoll. An item watches one (file, descriptor) pair through a waiter in the file's queue. A wake
 * pushes the item on `fresh`, a list without a lock (any context, under the file's queue lock), and
 * wakes the set's own queue. The one that collects moves fresh items to `ready` and asks their
 * files.
 *
 * structure_lock guards which items there are (sets' trees, files' lists). ep->lock guards ready
 * and an item's events. Order: structure_lock, ep->lock of the outer set, ep->lock of the inner
 * one.
 * Spec: Linux epoll(7).
 */
#include "fs/epoll.h"
#include "fs/poll.h"
#include "fs/vfs.h"
#include "vmk/mm.h"
#include "vmk/world.h"

enum { DEPTH_MAX = 4 }; /* sets that one set can have below it in a chain; so does Linux */

struct epoll {
	struct mutex lock;
	struct waitq wait;
	struct tree items; /* by (file, fd) */
	struct list ready;
	struct epitem *fresh; /* pushed by wakes, taken as a whole */
	/* Nesting; structure_lock. */
	struct file *file; /* its own, without a reference */
	unsigned inner;    /* items that watch sets */
	uint32_t visited;  /* round in which depth was found */
	unsigned depth;
};

struct epitem {
	struct tree_node node;
	struct list in_file;  /* file->epolls */
	struct list in_ready; /* ep->ready; itself when not in it */
	struct epoll *ep;
	struct file *file; /* without a reference: file_put takes the item away first */
	int fd;
	uint32_t events; /* 0 once a ONESHOT has fired */
	uint64_t data;
	struct waiter waiter;
	struct waitq *q;
	struct epitem *next_fresh;
	uint32_t queued; /* on fresh */
};

static struct mutex structure_lock;
static uint32_t visit_round;
static const struct file_ops epoll_ops;

void epoll_init(void)
{
	mutex_init(&structure_lock, "epoll");
}

static int by_file(const struct tree_node *a, const struct tree_node *b)
{
	const struct epitem *x = tree_entry(a, struct epitem, node),
			    *y = tree_entry(b, struct epitem, node);

	if (x->file != y->file)
		return x->file < y->file ? -1 : 1;
	return x->fd < y->fd ? -1 : x->fd > y->fd;
}

static int key_side(const struct tree_node *n, const void *key)
{
	return by_file(n, &((const struct epitem *)key)->node);
}

static struct epitem *find(struct epoll *ep, struct file *f, int fd)
{
	struct epitem key = { .file = f, .fd = fd };
	struct tree_node *n = tree_lower(&ep->items, key_side, &key);

	return n && by_file(n, &key.node) == 0 ? tree_entry(n, struct epitem, node) : NULL;
}

static void push_fresh(struct epitem *it)
{
	struct epoll *ep = it->ep;

	/*
	 * On the list already: whoever takes the list clears this before it asks the file, so a
	 * change that is not seen there pushes again.
	 */
	if (__atomic_exchange_n(&it->queued, 1, __ATOMIC_ACQ_REL))
		return;
	it->next_fresh = __atomic_load_n(&ep->fresh, __ATOMIC_RELAXED);
	/* Many may push at once; only whole lists are taken, so there is no ABA problem. */
	while (!__atomic_compare_exchange_n(&ep->fresh, &it->next_fresh, it, true, __ATOMIC_RELEASE,
	                                    __ATOMIC_RELAXED))
		;
}

static void item_wake(struct waiter *w)
{
	struct epitem *it = container_of(w, struct epitem, waiter);

	push_fresh(it);
	waitq_wake_all(&it->ep->wait);
}

/*
 * ep->lock is held. Oldest wakes come last off the stack, so each goes to the front of the new
 * ones.
 */
static void take_fresh(struct epoll *ep)
{
	struct epitem *it = __atomic_exchange_n(&ep->fresh, NULL, __ATOMIC_ACQUIRE);
	struct list fresh;

	list_init(&fresh);
	while (it) {
		/* Read first: once queued is 0 a wake may push the item again and overwrite it. */
		struct epitem *next = it->next_fresh;

		if (list_empty(&it->in_ready))
			list_push_front(&fresh, &it->in_ready);
		__atomic_store_n(&it->queued, 0, __ATOMIC_RELEASE);
		it = next;
	}
	list_splice_back(&ep->ready, &fresh);
}

static unsigned item_bits(struct epitem *it)
{
	struct waitq *q;

	/* EPOLLERR and EPOLLHUP are always reported; a ONESHOT that has fired reports nothing. */
	return it->events ? file_poll(it->file, &q) & (it->events | FPOLLERR | FPOLLHUP) : 0;
}

/* Takes an item out of everything; structure_lock is held. */
static void item_remove(struct epitem *it)
{
	struct epoll *ep = it->ep;

	/*
	 * First, so that no wake can push the item any more: wakes run under the queue's lock,
	 * which waitq_remove takes.
	 */
	if (it->q)
		waitq_remove(it->q, &it->waiter);
	mutex_lock(&ep->lock);
	take_fresh(ep); /* so that it is not on that list either */
	list_remove(&it->in_ready);
	tree_remove(&ep->items, &it->node);
	mutex_unlock(&ep->lock);
	list_remove(&it->in_file);
	ep->inner -= it->file->ops == &epoll_ops;
	kfree(it);
}

void epoll_file_gone(struct file *f)
{
	struct epitem *it;

	/* Most files are never watched: no global lock for them. */
	if (list_empty(&f->epolls))
		return;
	/* f's last reference is gone: nothing can add an item for it any more. */
	mutex_lock(&structure_lock);
	while ((it = list_first(&f->epolls, struct epitem, in_file)) != NULL)
		item_remove(it);
	mutex_unlock(&structure_lock);
}

static void epoll_release(struct file *f)
{
	struct epoll *ep = f->priv;
	struct tree_node *n;

	mutex_lock(&structure_lock);
	while ((n = tree_min(&ep->items)) != NULL)
		item_remove(tree_entry(n, struct epitem, node));
	mutex_unlock(&structure_lock);
	kfree(ep);
}

static bool is_set(const struct file *f)
{
	return f->ops == &epoll_ops;
}

/*
 * How many sets follow one another in the longest chain below ep, or above it. A set is looked at
 * once a round, however many paths lead to it. Chains are bounded, so is the recursion.
 */
static unsigned depth_below(struct epoll *ep)
{
	if (ep->visited == visit_round)
		return ep->depth;
	ep->visited = visit_round;
	ep->depth = 0;
	/* Most sets watch no other: their items, which may be many, need no look. */
	for (struct tree_node *n = ep->inner ? tree_min(&ep->items) : NULL; n; n = tree_next(n)) {
		struct epitem *it = tree_entry(n, struct epitem, node);

		if (is_set(it->file))
			ep->depth = MAX(ep->depth, 1 + depth_below(it->file->priv));
	}
	/*
	 * By the depth that it has now: a rank that only rose would leave the range of wait queues
	 * when edges come and go.
	 */
	ep->wait.lock.rank = (uint16_t)(RANK_WAIT + 1 + ep->depth);
	return ep->depth;
}

static unsigned depth_above(struct epoll *ep)
{
	struct epitem *it;

	if (ep->visited == visit_round)
		return ep->depth;
	ep->visited = visit_round;
	ep->depth = 0;
	list_for_each(it, &ep->file->epolls, in_file)
		ep->depth = MAX(ep->depth, 1 + depth_above(it->ep));
	return ep->depth;
}

/* Wakes run from inner to outer queue, each under the one before: outer locks rank higher. */
static void raise_rank(struct epoll *ep, unsigned rank)
{
	struct epitem *it;

	if (ep->wait.lock.rank >= rank)
		return;
	ep->wait.lock.rank = (uint16_t)rank;
	list_for_each(it, &ep->file->epolls, in_file)
		raise_rank(it->ep, rank + 1);
}

/*
 * Whether ep may watch the set `inner`: polling and waking go down and up the chains of sets, so
 * these are bounded, whichever end they are built from, and closed nowhere. structure_lock is held.
 */
static int may_nest(struct epoll *ep, struct epoll *inner)
{
	visit_round++;
	unsigned below = depth_below(inner);

	if (ep == inner || ep->visited == visit_round)
		return -ELOOP; /* inner leads to ep already */
	visit_round++;
	if (depth_above(ep) + 1 + below > DEPTH_MAX)
		return -ELOOP;
	raise_rank(ep, inner->wait.lock.rank + 1u);
	return 0;
}

static int item_add(struct epoll *ep, struct file *f, int fd, const struct epoll_event *ev)
{
	struct epitem *it;
	struct waitq *q;
	int err;

	if (find(ep, f, fd))
		return -EEXIST;
	if (!f->ops->poll)
		return -EPERM;
	err = is_set(f) ? may_nest(ep, f->priv) : 0;
	if (err)
		return err;
	it = kzalloc_charged(sizeof(*it));
	if (!it)
		return -ENOMEM;
	*it = (struct epitem){
		.ep = ep, .file = f, .fd = fd, .events = ev->events, .data = ev->data
	};
	it->waiter.fn = item_wake;
	list_init(&it->in_ready);
	list_init(&it->waiter.link);
	mutex_lock(&ep->lock);
	tree_insert(&ep->items, &it->node);
	mutex_unlock(&ep->lock);
	list_push_back(&f->epolls, &it->in_file);
	ep->inner += is_set(f);
	/*
	 * Only asks which queue it is; the waiter goes in before the file is asked, so no change is
	 * missed.
	 */
	(void)file_poll(f, &q);
	it->q = q;
	if (q)
		waitq_add(q, &it->waiter);
	push_fresh(it); /* it may be ready already */
	waitq_wake_all(&ep->wait);
	return 0;
}

static int item_modify(struct epoll *ep, struct epitem *it, const struct epoll_event *ev)
{
	mutex_lock(&ep->lock);
	it->events = ev->events;
	it->data = ev->data;
	mutex_unlock(&ep->lock);
	push_fresh(it);
	waitq_wake_all(&ep->wait);
	return 0;
}

int epoll_control(struct file *epf, int op, struct file *f, int fd, const struct epoll_event *ev)
{
	struct epoll *ep = epf->priv;
	struct epitem *it;
	int err;

	/* The caller holds references to both files for the time of the call. */
	if (epf->ops != &epoll_ops || epf == f)
		return -EINVAL;
	mutex_lock(&structure_lock);
	it = find(ep, f, fd);
	switch (op) {
	case EPOLL_CTL_ADD: err = item_add(ep, f, fd, ev); break;
	case EPOLL_CTL_MOD: err = it ? item_modify(ep, it, ev) : -ENOENT; break;
	case EPOLL_CTL_DEL:
		err = it ? 0 : -ENOENT;
		if (it)
			item_remove(it);
		break;
	default: err = -EINVAL;
	}
	mutex_unlock(&structure_lock);
	return err;
}

/* Collects what is ready now. out NULL: only tells whether something is. */
static int collect(struct epoll *ep, struct epoll_event *out, int max)
{
	struct list again;
	struct epitem *it;
	int n = 0;

	list_init(&again);
	mutex_lock(&ep->lock);
	take_fresh(ep);
	while (n < max && (it = list_first(&ep->ready, struct epitem, in_ready)) != NULL) {
		/* Level-triggered items stay listed until their file says that nothing is ready. */
		unsigned bits = item_bits(it);

		list_remove(&it->in_ready);
		if (!bits)
			continue;
		/*
		 * Edge-triggered and one-shot items leave the list when they are reported; a mere
		 * question takes nothing.
		 */
		if (!out || !(it->events & (EPOLLET | EPOLLONESHOT)))
			list_push_back(&again, &it->in_ready);
		if (out) {
			out[n] = (struct epoll_event){ .events = bits, .data = it->data };
			if (it->events & EPOLLONESHOT)
				it->events = 0;
		}
		n++;
	}
	list_splice_back(&ep->ready, &again); /* behind those that had no turn yet */
	mutex_unlock(&ep->lock);
	return n;
}

int epoll_collect(struct file *f, struct epoll_event *out, int max, ns_t deadline)
{
	struct epoll *ep = f->priv;
	int n, err = 0;

	if (f->ops != &epoll_ops)
		return -EINVAL;
	while (!(n = collect(ep, out, max))) {
		/*
		 * After an interruption one more look: an event that is there wins over the signal.
		 */
		if (!deadline || err)
			return !deadline || err == -ETIMEDOUT ? 0 : err;
		err = wait_event_intr_until(
			&ep->wait, !list_empty(&ep->ready) || load_acquire(&ep->fresh), deadline);
	}
	return n;
}

static unsigned epoll_poll(struct file *f, struct waitq **q)
{
	struct epoll *ep = f->priv;

	*q = &ep->wait;
	return collect(ep, NULL, 1) ? FPOLLIN : 0;
}

static const struct file_ops epoll_ops = { .name = "eventpoll",
	                                   .poll = epoll_poll,
	                                   .release = epoll_release };

int epoll_create_file(uint32_t flags, struct file **out)
{
	struct epoll *ep = kzalloc_charged(sizeof(*ep));
	int err;

	if (!ep)
		return -ENOMEM;
	mutex_init(&ep->lock, "epoll");
	waitq_init(&ep->wait, "epoll");
	ep->wait.lock.rank++; /* woken under the lock of a file's queue */
	tree_init(&ep->items, by_file);
	list_init(&ep->ready);
	err = file_alloc(&epoll_ops, ep, O_RDWR | flags, out);
	if (err)
		kfree(ep);
	else
		ep->file = *out;
	return err;
}
