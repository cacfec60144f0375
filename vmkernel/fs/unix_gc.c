// SPDX-License-Identifier: Apache-2.0
/*
 * Files on their way through AF_UNIX (SCM_RIGHTS). A socket may travel in a queue, its own queue
 * may carry sockets again, and a ring of them may be left that no descriptor leads to. Three rules:
 *
 * - Bounded: a user has at most as many files in flight as his process may open (INFLIGHT_MAX at
 *   most); more is ETOOMANYREFS, as on Linux.
 * - Released without recursion: closing a socket may drop files whose release closes sockets. A
 *   world that is dropping files already puts further ones on its own list (struct reaper).
 * - Collected: a socket that only messages refer to, in queues that nobody can read, is garbage.
 *   Its file's count of references equals the count of those in flight (u->inflight). Starting from
 *   the carriers that are not in flight, or that somebody has open too, everything that their
 *   messages lead to is marked; what carries files and is not marked loses them.
 *
 * inflight_lock guards all of it, u->lock is taken before it. While it is held no file enters or
 * leaves a queue and none is copied out of one, so equal counts stay equal: any other reference
 * could only come from one that exists outside of the queues.
 */
#include "fs/socket.h"
#include "fs/unix.h"
#include "proc/proc.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/string.h"
#include "vmk/world.h"

enum { INFLIGHT_MAX = 4096 };

struct user { /* while he has files in flight */
	struct list link;
	uint32_t uid;
	unsigned files;
};
struct reaper {
	struct list link;
	struct world *world;
	struct list files; /* the world's own: no lock */
};

static struct mutex inflight_lock, collect_lock;
static struct list users = LIST_INIT(users);
static struct list carriers = LIST_INIT(carriers); /* usocks whose queue carries files */
static uint32_t round_mark;

static struct spinlock reapers_lock = SPINLOCK_INIT("unix reapers", RANK_FILE);
static struct list reapers = LIST_INIT(reapers);

void unix_gc_init(void)
{
	mutex_init(&inflight_lock, "unix.inflight");
	mutex_init(&collect_lock, "unix.collect");
}

static struct user *user_of(uint32_t uid)
{
	struct user *u;

	list_for_each(u, &users, link)
		if (u->uid == uid)
			return u;
	return NULL;
}

static int charge(struct ufiles *f)
{
	uint64_t limit = proc_current() ? proc_rlimit(RLIMIT_NOFILE) : INFLIGHT_MAX;
	struct user *u = user_of(f->uid);

	if ((u ? u->files : 0) + f->count > MIN(limit, (uint64_t)INFLIGHT_MAX))
		return -ETOOMANYREFS;
	if (!u) {
		u = kzalloc(sizeof(*u));
		if (!u)
			return -ENOMEM;
		u->uid = f->uid;
		list_push_back(&users, &u->link);
	}
	u->files += f->count;
	return 0;
}

static void uncharge(const struct ufiles *f)
{
	struct user *u = user_of(f->uid);

	u->files -= f->count;
	if (u->files)
		return;
	list_remove(&u->link);
	kfree(u);
}

int ufiles_new(struct file *const *fds, unsigned n, struct ufiles **out)
{
	struct ufiles *f = kzalloc_charged(sizeof(*f) + n * sizeof(f->file[0]));
	int err;

	if (!f)
		return -ENOMEM;
	list_init(&f->link);
	f->uid = cred_current()->euid;
	f->count = n;
	memcpy(f->file, fds, n * sizeof(f->file[0]));
	mutex_lock(&inflight_lock);
	err = charge(f);
	mutex_unlock(&inflight_lock);
	if (err == -ETOOMANYREFS) {
		/* Garbage counts too: the user's own rings may be all that stands in his way. */
		unix_collect(true);
		mutex_lock(&inflight_lock);
		err = charge(f);
		mutex_unlock(&inflight_lock);
	}
	if (err)
		kfree(f);
	else
		*out = f;
	return err;
}

void ufiles_cancel(struct ufiles *f)
{
	if (!f)
		return;
	mutex_lock(&inflight_lock);
	uncharge(f);
	mutex_unlock(&inflight_lock);
	kfree(f);
}

/* The end of AF_UNIX that an open file is, or NULL. */
static struct usock *usock_of(struct file *f)
{
	struct socket *s = socket_of(f);

	return s && s->family == AF_UNIX ? s->priv : NULL;
}

static void count_sockets(struct ufiles *f, int by)
{
	for (unsigned i = 0; i < f->count; i++) {
		struct usock *u = usock_of(f->file[i]);

		if (u)
			u->inflight += (unsigned)by;
	}
}

void ufiles_enter(struct ufiles *f, struct usock *to)
{
	mutex_lock(&inflight_lock);
	f->in = to;
	if (list_empty(&to->carried))
		list_push_back(&carriers, &to->in_carriers);
	list_push_back(&to->carried, &f->link);
	count_sockets(f, 1);
	mutex_unlock(&inflight_lock);
}

static void leave_locked(struct ufiles *f)
{
	list_remove(&f->link);
	if (list_empty(&f->in->carried))
		list_remove(&f->in->in_carriers);
	f->in = NULL;
	count_sockets(f, -1);
	uncharge(f);
}

void ufiles_leave(struct ufiles *f)
{
	mutex_lock(&inflight_lock);
	leave_locked(f);
	mutex_unlock(&inflight_lock);
}

void ufiles_leave_all(struct usock *u)
{
	struct ufiles *f;

	mutex_lock(&inflight_lock);
	while ((f = list_first(&u->carried, struct ufiles, link)) != NULL)
		leave_locked(f);
	mutex_unlock(&inflight_lock);
}

void ufiles_copy(const struct ufiles *f, struct file **out, unsigned n)
{
	mutex_lock(&inflight_lock);
	for (unsigned i = 0; i < n; i++)
		out[i] = file_get(f->file[i]);
	mutex_unlock(&inflight_lock);
}

static struct reaper *my_reaper(void)
{
	struct reaper *r;

	list_for_each(r, &reapers, link)
		if (r->world == world_current())
			return r;
	return NULL;
}

bool ufiles_dropping(void)
{
	bool yes;

	spin_lock(&reapers_lock);
	yes = my_reaper() != NULL;
	spin_unlock(&reapers_lock);
	return yes;
}

void ufiles_drop(struct ufiles *f)
{
	struct reaper me = { .world = world_current() }, *outer;

	if (!f)
		return;
	list_init(&me.files);
	spin_lock(&reapers_lock);
	outer = my_reaper();
	if (!outer)
		list_push_back(&reapers, &me.link);
	spin_unlock(&reapers_lock);
	list_push_back(outer ? &outer->files : &me.files, &f->link);
	if (outer)
		return; /* we were called from the loop below, which goes on with it */
	while ((f = list_first(&me.files, struct ufiles, link)) != NULL) {
		list_remove(&f->link);
		for (unsigned i = 0; i < f->count; i++)
			file_put(f->file[i]);
		kfree(f);
	}
	spin_lock(&reapers_lock);
	list_remove(&me.link);
	spin_unlock(&reapers_lock);
}

void unix_embryo(struct usock *server, struct usock *listener)
{
	mutex_lock(&inflight_lock);
	list_remove(&server->in_embryos);
	server->listener = listener;
	if (listener)
		list_push_back(&listener->embryos, &server->in_embryos);
	mutex_unlock(&inflight_lock);
}

/* Whether somebody can read u's queue without reading another queue first. */
static bool is_root(const struct usock *u)
{
	if (u->listener) /* not accepted yet: whoever has the listener gets it */
		u = u->listener;
	return !u->inflight || __atomic_load_n(&u->s->file->refs, __ATOMIC_ACQUIRE) > u->inflight;
}

static void mark(struct usock *u, struct list *todo)
{
	if (u->mark == round_mark)
		return;
	u->mark = round_mark;
	list_push_back(todo, &u->gc_link);
}

/* Marks what can be reached; a list instead of recursion. inflight_lock is held. */
static void mark_all(void)
{
	struct list todo;
	struct usock *u, *e;
	struct ufiles *f;

	list_init(&todo);
	round_mark++;
	list_for_each(u, &carriers, in_carriers)
		if (is_root(u))
			mark(u, &todo);
	while ((u = list_first(&todo, struct usock, gc_link)) != NULL) {
		list_remove(&u->gc_link);
		list_for_each(e, &u->embryos, in_embryos)
			mark(e, &todo);
		list_for_each(f, &u->carried, link)
			for (unsigned i = 0; i < f->count; i++)
				if ((e = usock_of(f->file[i])) != NULL)
					mark(e, &todo);
	}
}

void unix_collect(bool wait)
{
	struct list dead;
	struct usock *u;

	if (list_empty(
		    &carriers)) /* without the lock: whoever adds the last one comes here later */
		return;
	if (wait)
		mutex_lock(&collect_lock);
	else if (!mutex_trylock(&collect_lock))
		return; /* another world is at it */
	list_init(&dead);
	mutex_lock(&inflight_lock);
	mark_all();
	list_for_each(u, &carriers, in_carriers)
		if (u->mark != round_mark) {
			unix_get(u);
			list_push_back(&dead, &u->gc_link);
		}
	mutex_unlock(&inflight_lock);
	/*
	 * Nobody can reach a dead queue any more, so all that can happen to it now is that a sender
	 * adds to it or that it is closed by dropping another one: u->lock orders both.
	 */
	struct list files;

	list_init(&files);
	while ((u = list_first(&dead, struct usock, gc_link)) != NULL) {
		list_remove(&u->gc_link);
		unix_take_files(u, &files);
		unix_put(u);
	}
	mutex_unlock(&collect_lock);
	struct ufiles *f;

	while ((f = list_first(&files, struct ufiles, link)) != NULL) {
		list_remove(&f->link);
		ufiles_drop(f);
	}
}
