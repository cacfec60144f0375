// SPDX-License-Identifier: Apache-2.0
/* What other files need of epoll. */
#ifndef FS_EPOLL_H
#define FS_EPOLL_H
#include "vmk/file.h"

void epoll_init(void);
/* The last reference of f is gone: takes it out of every epoll set. */
void epoll_file_gone(struct file *f);

struct epoll_event { /* packed on x86-64 */
	uint32_t events;
	uint64_t data;
} __packed;
enum { EPOLL_CTL_ADD = 1, EPOLL_CTL_DEL = 2, EPOLL_CTL_MOD = 3 };
#define EPOLLEXCLUSIVE (1u << 28)
#define EPOLLWAKEUP    (1u << 29)
#define EPOLLONESHOT   (1u << 30)
#define EPOLLET        (1u << 31)

int epoll_create_file(uint32_t flags, struct file **out);
int epoll_control(struct file *ep, int op, struct file *f, int fd, const struct epoll_event *ev);
/* Up to max events; 0 at the deadline (0: do not wait), -EINTR. */
int epoll_collect(struct file *ep, struct epoll_event *out, int max, ns_t deadline);
#endif
