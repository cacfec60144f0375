// SPDX-License-Identifier: Apache-2.0
/* eventfd, timerfd and signalfd for the system calls (linux/poll.c). */
#ifndef FS_EVENTFD_H
#define FS_EVENTFD_H
#include "fs/vfs.h"

int __must_check eventfd_file(uint64_t count, bool semaphore, uint32_t flags, struct file **out);
int __must_check timerfd_file(bool realtime, uint32_t flags, struct file **out);
int __must_check timerfd_get(struct file *f, ns_t *left,
                             ns_t *interval); /* left 0: disarmed; -EINVAL */
int __must_check timerfd_set(struct file *f, bool absolute, ns_t value, ns_t interval);
int __must_check signalfd_file(uint64_t mask, uint32_t flags, struct file **out);
int __must_check signalfd_set(struct file *f, uint64_t mask);
#endif
