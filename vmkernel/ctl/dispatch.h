// SPDX-License-Identifier: Apache-2.0
/*
 * From a request frame to its handler: lengths, greeting and privilege are checked here, once
 * (pure C; the host tests drive it).
 */
#ifndef CTL_DISPATCH_H
#define CTL_DISPATCH_H
#include "vmk/ctl.h"

/* What dispatch knows of a connection. */
struct ctl_peer {
	bool greeted;
	bool subscribed;
	enum ctl_priv priv;
};

enum ctl_verdict {
	CTL_REPLY, /* answer and go on */
	CTL_CLOSE, /* answer, then close: the stream can't be trusted any more */
};

/* Fills the table of operations from .ctl; panics when two claim one number. */
void ctl_dispatch_init(void);

/*
 * A length that may be read at all: anything else ends the connection before its payload is read.
 */
static inline bool ctl_length_ok(const struct ctl_header *h)
{
	return h->length <= CTL_PAYLOAD_MAX;
}

/*
 * Runs the operation of h with h->length bytes in c->req. c->reply holds CTL_PAYLOAD_MAX zeroed
 * bytes. *status becomes the reply's status; on failure the reply is a struct ctl_error.
 */
enum ctl_verdict ctl_dispatch(struct ctl_peer *peer, const struct ctl_header *h, struct ctl_call *c,
                              int *status);
#endif
