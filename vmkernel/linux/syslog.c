// SPDX-License-Identifier: Apache-2.0
/* The vmkernel's ring log as dmesg reads it, and what of it the consoles show. Spec: syslog(2). */
#include "proc/proc.h"
#include "mm/usercopy.h"
#include "vmk/errno.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/syscall.h"

enum { READ_ALL = 3, CONSOLE_OFF = 6, CONSOLE_ON, CONSOLE_LEVEL, SIZE_UNREAD, SIZE_BUFFER };
enum { TEXT_MAX = 1024 * 1024, CHUNK = PAGE_SIZE };

/* All lines, oldest first, as far as they fit. */
static long read_all(uva_t to, size_t size)
{
	char *text = kmalloc(CHUNK);
	uint64_t seq = 0;
	size_t done = 0, n;
	long err = 0;

	if (!text)
		return -ENOMEM;
	while (!err && (n = log_read(&seq, text, MIN(size - done, (size_t)CHUNK)))) {
		if (copy_to_user(to + done, text, n))
			err = -EFAULT;
		done += n;
	}
	kfree(text);
	return err ? err : (long)done;
}

/* A level shows what is more urgent: 5 warnings (4), 7 information (6), 8 everything. */
static long set_level(int level)
{
	if (level < 1 || level > 8)
		return -EINVAL;
	log_set_console(level <= 4   ? LOG_ERR
	                : level == 5 ? LOG_WARN
	                : level <= 7 ? LOG_INFO
	                             : LOG_DEBUG);
	return 0;
}

SYSCALL3(syslog, int, type, uva_t, buf, int, len)
{
	if (!proc_is_root())
		return -EPERM;
	switch (type) {
	case READ_ALL: return len < 0 ? -EINVAL : read_all(buf, (size_t)len);
	case CONSOLE_OFF: return set_level(1);
	case CONSOLE_ON: return set_level(7);
	case CONSOLE_LEVEL: return set_level(len);
	case SIZE_UNREAD: return 0;
	case SIZE_BUFFER: return TEXT_MAX;
	default: return -EINVAL;
	}
}
