// SPDX-License-Identifier: Apache-2.0
/* What the cases of files.c and processes.c share. */
#ifndef FILES_H
#define FILES_H
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define CHECK(c)                                                                    \
	do {                                                                        \
		if (!(c)) {                                                         \
			printf("line %d: %s: %s\n", __LINE__, #c, strerror(errno)); \
			exit(1);                                                    \
		}                                                                   \
	} while (0)

static inline void reap(pid_t child)
{
	int status;

	CHECK(waitpid(child, &status, 0) == child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Cases of processes.c. */
void pidfd(void);
void watcher_gone(void);
void limits(void);
void long_transfers(void);
#endif
