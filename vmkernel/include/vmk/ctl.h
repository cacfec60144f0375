// SPDX-License-Identifier: Apache-2.0
/*
 * The control socket (vmkernel/ctl/). An operation is a handler in the .ctl section with its sizes
 * and the privilege it needs; the server checks length and privilege before it calls.
 */
#ifndef VMK_CTL_H
#define VMK_CTL_H
#include "abi/ctl.h"
#include "vmk/errno.h"
#include "vmk/file.h"

enum ctl_priv { CTL_READ, CTL_OPERATE, CTL_ADMIN };

struct ctl_call {
	const void *req; /* the request's structure, req_size bytes or more */
	uint32_t req_len;
	void *reply;                   /* zeroed buffer of CTL_PAYLOAD_MAX */
	uint32_t reply_len;            /* set by the handler when it is not the fixed size */
	struct file *fds[CTL_FDS_MAX]; /* handed out with the reply; references are taken over */
	unsigned nfds;
	struct ctl_conn *conn;
	char error[256]; /* text for a refusal; "" gives the errno's name */
};

struct ctl_entry {
	uint32_t operation;
	const char *name;
	uint32_t req_size, req_max; /* accepted lengths */
	uint32_t reply_size;        /* default reply_len */
	enum ctl_priv priv;
	int (*fn)(struct ctl_call *c); /* 0 or -errno; in a ctl world, may sleep */
};
/*
 * CTL_OP(CTL_HOST_INFO, host_info, 0, sizeof(struct ctl_host_info), CTL_READ) { ... return 0; }
 */
#define CTL_OP_VAR(op, id, min, max, rsize, privilege)                    \
	static int ctl_##id(struct ctl_call *c);                          \
	static const struct ctl_entry ctl_entry_##id SECTION_ENTRY(       \
		ctl) = { op, #id, min, max, rsize, privilege, ctl_##id }; \
	static int ctl_##id(struct ctl_call *c)
#define CTL_OP(op, id, req_size, rsize, privilege) \
	CTL_OP_VAR(op, id, req_size, req_size, rsize, privilege)

int __printf(3, 4) ctl_error(struct ctl_call *c, int err, const char *fmt, ...); /* returns err */
/* To every connection that subscribed; any context that may take RANK_FILE. */
void ctl_event(uint32_t kind, const void *data, uint32_t len);
void ctl_init(void);
#endif
