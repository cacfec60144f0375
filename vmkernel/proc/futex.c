// SPDX-License-Identifier: Apache-2.0
/*
 * Futexes: a thread sleeps until another one wakes the word that it has looked at.
 *
 * Waiters are queued in a hash of buckets by key. The key of a private futex is (address space,
 * address); that of a shared one is (memory object, offset), so that processes that map the object
 * at different addresses meet.
 *
 * No wake is lost: a waiter reads the word and queues itself under the bucket's lock; a waker
 * changes the word in ring 3 first and takes the lock afterwards. So either the waiter sees the new
 * value and returns -EAGAIN, or it is in the queue when the waker looks. Reading the word may fault
 * and sleep, therefore the lock is a mutex. Two buckets are locked in the order of their addresses.
 *
 * A waiter lives on its thread's stack. futex_wait() leaves only after unqueue() has held the lock
 * of the waiter's bucket, which a waker keeps until it no longer touches the waiter.
 *
 * Spec: futex(2), get_robust_list(2).
 */
#include "proc/futex.h"
#include "mm/aspace.h"
#include "proc/proc.h"
#include "proc/timespec.h"
#include "mm/usercopy.h"
#include "vmk/errno.h"
#include "vmk/syscall.h"

enum {
	FUTEX_WAIT = 0,
	FUTEX_WAKE = 1,
	FUTEX_REQUEUE = 3,
	FUTEX_CMP_REQUEUE = 4,
	FUTEX_WAKE_OP = 5,
	FUTEX_WAIT_BITSET = 9,
	FUTEX_WAKE_BITSET = 10,
	FUTEX_PRIVATE_FLAG = 128,
	FUTEX_CLOCK_REALTIME = 256,
	FUTEX_WAITERS = (int)0x80000000,
	FUTEX_OWNER_DIED = 0x40000000,
	FUTEX_TID_MASK = 0x3fffffff,
	BUCKETS = 256,
	ROBUST_MAX = 2048,
};
#define BITSET_ANY 0xffffffffu

struct futex_key {
	const void *space; /* aspace or memobj */
	uint64_t offset;
	struct memobj *obj; /* a reference, shared keys only */
};

struct futex_waiter {
	struct list link;
	struct futex_key key;
	uint32_t bitset;
	bool woken;                  /* written under the bucket's lock */
	struct futex_bucket *bucket; /* that it is queued in; written under both buckets' locks */
	struct waitq wait;
};

static struct futex_bucket {
	struct mutex lock;
	struct list waiters;
} buckets[BUCKETS];

void futex_init(void)
{
	for (unsigned i = 0; i < BUCKETS; i++) {
		mutex_init(&buckets[i].lock, "futex");
		list_init(&buckets[i].waiters);
	}
}

static struct futex_bucket *bucket_of(const struct futex_key *k)
{
	/* Two multiplications mix pointer and offset; the upper bits depend on all of both. */
	uint64_t h = ((uintptr_t)k->space ^ k->offset * 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9;

	return &buckets[(h >> 40) % BUCKETS];
}

static bool same_key(const struct futex_key *a, const struct futex_key *b)
{
	return a->space == b->space && a->offset == b->offset;
}

static int key_get(uva_t va, bool shared, struct futex_key *k)
{
	struct aspace *as = proc_current()->as;
	uint32_t probe;
	int err;

	if (va % 4)
		return -EINVAL;
	*k = (struct futex_key){ .space = as, .offset = va };
	if (!shared)
		return 0;
	/*
	 * The read faults the page in and fails for a bad address, as Linux's get_user_pages does.
	 */
	err = user_read32(va, &probe);
	if (!err)
		err = aspace_identify(as, va, &k->obj, &k->offset);
	if (!err && k->obj)
		k->space = k->obj;
	else /* private memory: only this address space can wait here, and the address names it */
		k->offset = va;
	return err;
}

static void key_put(struct futex_key *k)
{
	if (k->obj)
		memobj_put(k->obj);
}

static void wake_one(struct futex_waiter *w)
{
	list_remove(&w->link);
	WRITE_ONCE(w->woken, true);
	/*
	 * From `woken` on the waiter may run, but it cannot leave futex_wait() while we hold the
	 * bucket's lock: w is valid here.
	 */
	waitq_wake_all(&w->wait);
}

static int wake_key(struct futex_bucket *b, const struct futex_key *k, int max, uint32_t bitset)
{
	struct futex_waiter *w, *n;
	int woken = 0;

	/* First in, first out. A waiter with another bitset keeps its place. */
	list_for_each_safe(w, n, &b->waiters, link) {
		if (woken >= max)
			break;
		if (!same_key(&w->key, k) || !(w->bitset & bitset))
			continue;
		wake_one(w);
		woken++;
	}
	return woken;
}

static long futex_wake(uva_t va, bool shared, int max, uint32_t bitset)
{
	struct futex_key k;
	struct futex_bucket *b;
	int err = key_get(va, shared, &k);

	if (err)
		return err;
	b = bucket_of(&k);
	mutex_lock(&b->lock);
	err = wake_key(b, &k, max, bitset);
	mutex_unlock(&b->lock);
	key_put(&k);
	return err;
}

void futex_wake_address(uva_t va)
{
	/*
	 * Threads that join wait with a shared or a private key (glibc: shared), and only one of
	 * the two can have a waiter for this word.
	 */
	if (futex_wake(va, true, 1, BITSET_ANY) <= 0)
		(void)futex_wake(va, false, 1, BITSET_ANY);
}

/* Removes a waiter from its queue, unless it was woken, which took it out: then true. */
static bool unqueue(struct futex_waiter *w)
{
	for (;;) {
		struct futex_bucket *b = READ_ONCE(w->bucket);
		bool woken;

		mutex_lock(&b->lock);
		/* A requeue may have moved it while we waited for the old bucket's lock. */
		if (b != w->bucket) {
			mutex_unlock(&b->lock);
			continue;
		}
		woken = w->woken;
		if (!woken)
			list_remove(&w->link);
		mutex_unlock(&b->lock);
		return woken;
	}
}

static long futex_wait(uva_t va, bool shared, uint32_t val, ns_t deadline, uint32_t bitset)
{
	struct futex_waiter w = { .bitset = bitset };
	uint32_t now;
	int err = key_get(va, shared, &w.key), wait_err;

	if (err)
		return err;
	waitq_init(&w.wait, "futex");
	w.bucket = bucket_of(&w.key);
	mutex_lock(&w.bucket->lock);
	err = user_read32(va, &now);
	if (!err && now != val)
		err = -EAGAIN;
	if (!err)
		list_push_back(&w.bucket->waiters, &w.link);
	mutex_unlock(&w.bucket->lock);
	if (err) {
		key_put(&w.key);
		return err;
	}
	wait_err = wait_event_intr_until(&w.wait, READ_ONCE(w.woken), deadline);
	/*
	 * A wake counts even if the deadline or a signal came at the same time: the waker has
	 * reported this waiter as woken, so it must not be lost. Otherwise: without a timeout the
	 * call can be repeated as it was; with one, only when no handler runs, because a relative
	 * timeout would begin anew.
	 */
	if (!unqueue(&w))
		err = wait_err != -EINTR     ? wait_err
		      : deadline == NS_NEVER ? -ERESTARTSYS
		                             : -ERESTARTNOHAND;
	key_put(&w.key);
	return err;
}

static void lock_two(struct futex_bucket *x, struct futex_bucket *y)
{
	mutex_lock(x < y ? &x->lock : &y->lock);
	if (x != y)
		mutex_lock(x < y ? &y->lock : &x->lock);
}

static void unlock_two(struct futex_bucket *x, struct futex_bucket *y)
{
	mutex_unlock(&x->lock);
	if (x != y)
		mutex_unlock(&y->lock);
}

/* Moves up to `move` waiters from key a to key b; both buckets are locked. */
static int requeue(struct futex_bucket *from, const struct futex_key *a, struct futex_bucket *to,
                   const struct futex_key *b, int move)
{
	struct futex_waiter *w, *n;
	int moved = 0;

	list_for_each_safe(w, n, &from->waiters, link) {
		if (moved >= move)
			break;
		if (!same_key(&w->key, a))
			continue;
		/* Each waiter holds a reference of its key's object: get before put, b may be a. */
		if (b->obj)
			memobj_get(b->obj);
		key_put(&w->key);
		w->key = *b;
		list_remove(&w->link);
		list_push_back(&to->waiters, &w->link);
		WRITE_ONCE(w->bucket, to);
		moved++;
	}
	return moved;
}

static long futex_requeue(uva_t va, uva_t va2, bool shared, int wake, int move,
                          const uint32_t *expected)
{
	struct futex_key k, k2;
	struct futex_bucket *b, *b2;
	uint32_t now;
	int err;

	if (wake < 0 || move < 0)
		return -EINVAL;
	if ((err = key_get(va, shared, &k)))
		return err;
	if ((err = key_get(va2, shared, &k2)))
		goto put;
	b = bucket_of(&k);
	b2 = bucket_of(&k2);
	lock_two(b, b2);
	/*
	 * FUTEX_CMP_REQUEUE compares under both locks: the condition variable that it serves
	 * changes the word before it requeues, and a waiter that saw the new word is not moved.
	 */
	if (expected && !(err = user_read32(va, &now)) && now != *expected)
		err = -EAGAIN;
	if (!err) {
		/* The sum of woken and moved waiters is the result, as on Linux. */
		err = wake_key(b, &k, wake, BITSET_ANY);
		err += requeue(b, &k, b2, &k2, move);
	}
	unlock_two(b, b2);
	key_put(&k2);
put:
	key_put(&k);
	return err;
}

/* FUTEX_WAKE_OP's encoded operation on the second word; the comparison's result or -errno. */
static int wake_op(uva_t va, uint32_t encoded)
{
	uint32_t op = encoded >> 28 & 7, cmp = encoded >> 24 & 15,
		 arg = (uint32_t)((int32_t)(encoded << 8) >> 20);
	int32_t cmp_arg = (int32_t)(encoded << 20) >> 20;
	uint32_t old, seen, updated;
	int err;

	if (encoded >> 31) /* FUTEX_OP_OPARG_SHIFT: the argument is the number of a bit */
		arg = 1u << (arg & 31);
	if ((err = user_read32(va, &old)))
		return err;
	/*
	 * Atomic against ring 3: the exchange fails with the new value when the word has changed.
	 */
	do {
		const uint32_t results[] = { arg, old + arg, old | arg, old & ~arg, old ^ arg };

		if (op >= ARRAY_SIZE(results))
			return -ENOSYS;
		updated = results[op];
		seen = old;
		if ((err = user_exchange32(va, &old, updated)))
			return err;
	} while (seen != old);
	switch (cmp) {
	case 0: return (int32_t)old == cmp_arg;
	case 1: return (int32_t)old != cmp_arg;
	case 2: return (int32_t)old < cmp_arg;
	case 3: return (int32_t)old <= cmp_arg;
	case 4: return (int32_t)old > cmp_arg;
	case 5: return (int32_t)old >= cmp_arg;
	default: return -ENOSYS;
	}
}

static long futex_wake_op(uva_t va, uva_t va2, bool shared, int wake, int wake2, uint32_t op)
{
	struct futex_key k, k2;
	struct futex_bucket *b, *b2;
	int err;

	if ((err = key_get(va, shared, &k)))
		return err;
	if ((err = key_get(va2, shared, &k2)))
		goto put;
	b = bucket_of(&k);
	b2 = bucket_of(&k2);
	lock_two(b, b2);
	/* Operation and both wakes are one step for every waiter of the two words. */
	err = wake_op(va2, op);
	if (err >= 0) {
		int also = err;

		err = wake_key(b, &k, wake, BITSET_ANY);
		if (also)
			err += wake_key(b2, &k2, wake2, BITSET_ANY);
	}
	unlock_two(b, b2);
	key_put(&k2);
put:
	key_put(&k);
	return err;
}

/* FUTEX_WAIT's timeout is relative, FUTEX_WAIT_BITSET's absolute, of either clock. */
static int wait_deadline(uva_t ts, unsigned op, ns_t *deadline)
{
	ns_t t;
	int err;

	*deadline = NS_NEVER;
	if (!ts)
		return 0;
	err = timespec_get(ts, &t);
	if (err)
		return err;
	if ((op & 127) == FUTEX_WAIT)
		*deadline = ns_add(time_now(), t);
	else if (op & FUTEX_CLOCK_REALTIME)
		*deadline = realtime_to_monotonic(t);
	else
		*deadline = t;
	return 0;
}

SYSCALL6(futex, uva_t, word, unsigned, op, uint32_t, val, uva_t, timeout, uva_t, word2, uint32_t,
         val3)
{
	bool shared = !(op & FUTEX_PRIVATE_FLAG);
	uint32_t bitset = BITSET_ANY;
	ns_t deadline;
	int err;

	/* For the calls that move or operate, the register of the timeout holds a second count. */
	switch (op & 127) {
	case FUTEX_WAIT_BITSET: bitset = val3; __attribute__((fallthrough));
	case FUTEX_WAIT:
		err = bitset ? wait_deadline(timeout, op, &deadline) : -EINVAL;
		return err ? err : futex_wait(word, shared, val, deadline, bitset);
	case FUTEX_WAKE_BITSET: bitset = val3; __attribute__((fallthrough));
	case FUTEX_WAKE: return bitset ? futex_wake(word, shared, (int)val, bitset) : -EINVAL;
	case FUTEX_REQUEUE: return futex_requeue(word, word2, shared, (int)val, (int)timeout, NULL);
	case FUTEX_CMP_REQUEUE:
		return futex_requeue(word, word2, shared, (int)val, (int)timeout, &val3);
	case FUTEX_WAKE_OP: return futex_wake_op(word, word2, shared, (int)val, (int)timeout, val3);
	default: return -ENOSYS;
	}
}

/* Marks the mutex of a dead owner and wakes one waiter; an error ends the walk of the list. */
static int robust_release(uva_t word, int tid)
{
	uint32_t v, seen;
	int err = user_read32(word, &v);

	do {
		/* The list is in user memory: only a word that names this thread is its own. */
		if (err || (v & FUTEX_TID_MASK) != (uint32_t)tid)
			return err;
		seen = v;
		err = user_exchange32(word, &v,
		                      (seen & (uint32_t)FUTEX_WAITERS) | FUTEX_OWNER_DIED);
	} while (!err && seen != v);
	if (!err && seen & (uint32_t)FUTEX_WAITERS)
		futex_wake_address(word);
	return err;
}

void futex_robust_exit(struct uthread *t)
{
	uint64_t head[3], entry; /* struct robust_list_head: next, offset of the word, pending */

	if (!t->robust_list || user_read(&head, t->robust_list))
		return;
	/*
	 * The list may be damaged or be changed by other threads meanwhile: its length is bounded,
	 * every word is read with a check, and nothing is believed twice. The entry "pending" is a
	 * mutex that the thread was about to take or to release; it may or may not be in the list.
	 */
	entry = head[0];
	for (unsigned i = 0; i < ROBUST_MAX && (entry & ~1ull) != t->robust_list; i++) {
		uint64_t next;

		/* next before the release: the memory of a released mutex may be reused at once. */
		if (user_read(&next, entry & ~1ull) ||
		    (entry != head[2] && robust_release((entry & ~1ull) + head[1], t->tid)))
			return;
		entry = next;
	}
	if (head[2] && robust_release((head[2] & ~1ull) + head[1], t->tid))
		return;
}

SYSCALL2(set_robust_list, uva_t, head, size_t, size)
{
	if (size != 24)
		return -EINVAL;
	uthread_current()->robust_list = head;
	return 0;
}
