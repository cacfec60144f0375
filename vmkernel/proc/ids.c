// SPDX-License-Identifier: Apache-2.0
/*
 * Numbers of threads, processes, groups and sessions: one space, as on Linux. proc_lock guards it.
 */
#include "proc/proc.h"
#include "vmk/errno.h"
#include "vmk/log.h"
#include "vmk/mm.h"

enum {
	IDS_MAX = 32768,
	IDS_RESERVED =
		300, /* where the search goes on after IDS_MAX: daemons have the lower ones */
};

static struct id_slot {
	struct uthread *thread;
	struct proc *proc;
	uint32_t members; /* processes whose group or session it names */
} * ids;
static int last_id; /* given out last */

void ids_init(void)
{
	ids = vmalloc(IDS_MAX * sizeof(*ids));
	ASSERT(ids);
}

static bool id_free(int id)
{
	return !ids[id].thread && !ids[id].proc && !ids[id].members;
}

int ids_alloc(void)
{
	/*
	 * Rising numbers: one that has become free is not given out again soon, as kill(2) hopes.
	 */
	for (int tries = 0; tries < IDS_MAX; tries++) {
		if (++last_id >= IDS_MAX)
			last_id = IDS_RESERVED;
		if (id_free(last_id))
			return last_id;
	}
	return -EAGAIN;
}

void ids_set_thread(int tid, struct uthread *t)
{
	ids[tid].thread = t;
}

void ids_set_proc(int pid, struct proc *p)
{
	ids[pid].proc = p;
}

void ids_use_group(int pgid, int change)
{
	ids[pgid].members += change;
}

struct uthread *ids_thread(int tid)
{
	return tid > 0 && tid < IDS_MAX ? ids[tid].thread : NULL;
}

struct proc *ids_proc(int pid)
{
	return pid > 0 && pid < IDS_MAX ? ids[pid].proc : NULL;
}

int proc_next_pid(int after)
{
	uint64_t flags = spin_lock_irq(&proc_lock);
	int found = 0;

	for (int id = MAX(after, 0) + 1; id < IDS_MAX && !found; id++)
		if (ids[id].proc)
			found = id;
	spin_unlock_irq(&proc_lock, flags);
	return found;
}
