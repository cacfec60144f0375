// SPDX-License-Identifier: Apache-2.0
/*
 * The parts of /proc: the machine (procfs.c), processes as directories (procpid.c), what their
 * files say (proctext.c).
 */
#ifndef FS_PROCFS_H
#define FS_PROCFS_H
#include "fs/genfs.h"

struct proc;
int procpid_lookup(const char *name, struct inode **out);
int procpid_list(uint64_t *pos, bool (*emit)(void *, const char *, uint64_t, unsigned, uint64_t),
                 void *arg);

int procpid_of(const struct inode *i); /* the process of a directory /proc/PID; 0 for all else */

/* proctext.c: about process p; tid: one thread of it, 0 for the process as a whole. */
typedef void (*proc_text)(struct text_buf *t, struct proc *p, int tid);
void proctext_stat(struct text_buf *t, struct proc *p, int tid);
void proctext_statm(struct text_buf *t, struct proc *p, int tid);
void proctext_status(struct text_buf *t, struct proc *p, int tid);
void proctext_cmdline(struct text_buf *t, struct proc *p, int tid);
void proctext_environ(struct text_buf *t, struct proc *p, int tid);
void proctext_comm(struct text_buf *t, struct proc *p, int tid);
void proctext_maps(struct text_buf *t, struct proc *p, int tid);
void proctext_cgroup(struct text_buf *t, struct proc *p, int tid);
void proctext_mountinfo(struct text_buf *t, struct proc *p, int tid);
void proctext_mounts(struct text_buf *t, struct proc *p, int tid);
void proctext_limits(struct text_buf *t, struct proc *p, int tid);
void proctext_zero(struct text_buf *t, struct proc *p, int tid);

/* With references, or NULL; for other processes they are taken under proc_lock. */
struct fdtable *procpid_files(struct proc *p);
struct fsctx *procpid_fsctx(struct proc *p);
struct file *procpid_exe(struct proc *p);
#endif
