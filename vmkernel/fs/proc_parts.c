// SPDX-License-Identifier: Apache-2.0
/*
 * What the file system attaches to a process, and how the process gives it back when it ends.
 * Called through the section .proc_parts by proc/proc.c and proc/exit.c.
 */
#include "proc/proc.h"
#include "vmk/fdtable.h"
#include "vmk/tty.h"

static void release_files(void *part)
{
	fdtable_put(part);
}

static void release_fs(void *part)
{
	fsctx_put(part);
}

static void release_exe(void *part)
{
	file_put(part);
}

PROC_PART(files, .member = offsetof(struct proc, files), .release = release_files);
PROC_PART(fs, .member = offsetof(struct proc, fs), .release = release_fs);
PROC_PART(exe, .member = offsetof(struct proc, exe), .release = release_exe);
PROC_PART(tty, .session_end = tty_session_end);
