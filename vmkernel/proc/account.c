// SPDX-License-Identifier: Apache-2.0
/*
 * Who pays for kernel memory: each process has an account (vmk/account.h) below the account of its
 * user. The limits are parts of memory: one process cannot take what the others of its user need,
 * and one user not what the others need. users_lock guards the list of users.
 */
#include "proc/proc.h"
#include "vmk/account.h"
#include "vmk/errno.h"
#include "vmk/mm.h"

enum { PROCESS_PART = 16, USER_PART = 4 }; /* of memory, each */
#define PROCESS_LIMIT_MIN (8 * MiB)
#define PROCESS_LIMIT_MAX (512 * MiB)

struct user {
	struct list link;
	uint32_t uid;
	unsigned processes;
	struct mem_account *account;
};

/* Within proc_lock and with interrupts off: a zombie's last reference may be put under it. */
static struct spinlock users_lock = SPINLOCK_INIT("users", RANK_FILE + 5);
static struct list users = LIST_INIT(users);

static uint64_t memory_size(void)
{
	struct mm_totals t;

	mm_totals(&t);
	return t.total_pages << PAGE_SHIFT;
}

/* Under users_lock. */
static struct user *find(uint32_t uid)
{
	struct user *u;

	list_for_each(u, &users, link)
		if (u->uid == uid)
			return u;
	return NULL;
}

static void user_free(struct user *u)
{
	if (u)
		mem_account_put(u->account);
	kfree(u);
}

/* The user with so many processes more; NULL without memory. */
static struct user *user_get(uint32_t uid)
{
	struct user *fresh = kzalloc(sizeof(*fresh)), *u;
	uint64_t flags;

	/* Allocated before the lock; it is usually not needed. */
	if (!fresh || mem_account_create(NULL, memory_size() / USER_PART, &fresh->account)) {
		kfree(fresh);
		return NULL;
	}
	fresh->uid = uid;
	flags = spin_lock_irq(&users_lock);
	u = find(uid);
	if (!u) {
		u = fresh;
		fresh = NULL;
		list_push_back(&users, &u->link);
	}
	u->processes++;
	spin_unlock_irq(&users_lock, flags);
	user_free(fresh);
	return u;
}

/*
 * A user without processes is forgotten. What it has still allocated (in queues of others, in
 * files) keeps its account alive, but counts no more if the user comes back.
 */
static void user_put(struct user *u)
{
	uint64_t flags = spin_lock_irq(&users_lock);
	bool last;

	last = --u->processes == 0;
	if (last)
		list_remove(&u->link);
	spin_unlock_irq(&users_lock, flags);
	if (last)
		user_free(u);
}

int proc_account_open(struct proc *p)
{
	uint64_t limit = memory_size() / PROCESS_PART;
	int err;

	p->user = user_get(p->cred.uid);
	if (!p->user)
		return -ENOMEM;
	limit = MIN(MAX(limit, PROCESS_LIMIT_MIN), PROCESS_LIMIT_MAX);
	err = mem_account_create(p->user->account, limit, &p->account);
	if (err) {
		user_put(p->user);
		p->user = NULL;
	}
	return err;
}

static void put(struct mem_account *a, struct user *u)
{
	mem_account_put(a);
	if (u)
		user_put(u);
}

void proc_account_close(struct proc *p)
{
	put(p->account, p->user);
	p->account = NULL;
	p->user = NULL;
}

/*
 * The process has changed its user: what it allocates from now on is the new one's. Only with one
 * thread, since the others might be in the middle of a charge; such a process goes on as before.
 */
void proc_account_move(struct proc *p)
{
	struct mem_account *account = p->account;
	struct user *user = p->user;

	if (p->thread_count != 1 || user->uid == p->cred.uid)
		return;
	if (proc_account_open(p)) {
		p->account = account;
		p->user = user;
		return;
	}
	world_set_account(world_current(), p->account);
	put(account, user);
}
