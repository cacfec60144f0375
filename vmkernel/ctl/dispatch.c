// SPDX-License-Identifier: Apache-2.0
/* Dispatch of control operations. The table is written once at boot and read without a lock. */
#include "dispatch.h"

#include "vmk/log.h"
#include "vmk/stat.h"
#include "vmk/string.h"

#ifdef VMK_HOST
static const uint8_t abi_digest[32] = { 1, 2, 3 };
#else
#include "abi_digest.h"
static const uint8_t abi_digest[32] = ABI_DIGEST;
#endif

STAT(requests, "ctl.requests", "requests dispatched");
STAT(refused, "ctl.refused", "requests answered with an error");

enum { BASES = 8, OPS = 256 };
static const struct ctl_entry *table[BASES][OPS];

void ctl_dispatch_init(void)
{
	SECTION_FOR_EACH(struct ctl_entry, e, ctl) {
		unsigned base = e->operation / OPS, op = e->operation % OPS;

		/* A mistake of the image, found at its first boot. */
		if (base >= BASES || table[base][op])
			panic("ctl: operation %#x of %s is taken or out of range", e->operation,
			      e->name);
		table[base][op] = e;
	}
}

static const struct ctl_entry *find(uint32_t operation)
{
	return operation < BASES * OPS ? table[operation / OPS][operation % OPS] : NULL;
}

int ctl_error(struct ctl_call *c, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vmk_vsnprintf(c->error, sizeof(c->error), fmt, ap);
	va_end(ap);
	return err;
}

static int hello(struct ctl_peer *peer, struct ctl_call *c)
{
	const struct ctl_hello *h = c->req;
	struct ctl_hello_reply *r = c->reply;

	if (c->req_len != sizeof(*h))
		return ctl_error(c, -EINVAL, "HELLO takes %zu bytes", sizeof(*h));
	memcpy(r->abi_digest, abi_digest, sizeof(abi_digest));
	c->reply_len = sizeof(*r);
	/* The reply tells this kernel's digest all the same, for the client's message. */
	if (memcmp(h->abi_digest, abi_digest, sizeof(abi_digest)) != 0)
		return ctl_error(c, -EPROTO,
		                 "the client was built for another vmkernel: ABI digests differ");
	str_copy(r->version, VMK_VERSION, sizeof(r->version));
	peer->greeted = true;
	return 0;
}

static int run(struct ctl_peer *peer, const struct ctl_header *h, struct ctl_call *c)
{
	const struct ctl_entry *e;

	/* HELLO and SUBSCRIBE change the connection's own state, so they are no handlers. */
	if (h->operation == CTL_HELLO)
		return hello(peer, c);
	if (!peer->greeted)
		return ctl_error(c, -EPROTO, "the first request must be HELLO");
	if (h->operation == CTL_SUBSCRIBE) {
		peer->subscribed = true;
		return 0;
	}
	e = find(h->operation);
	if (!e)
		return ctl_error(c, -ENOSYS, "no operation %#x", h->operation);
	/* Lengths first, then privilege: a handler may rely on both without a look. */
	if (c->req_len < e->req_size || c->req_len > e->req_max)
		return ctl_error(c, -EINVAL, "%s takes %u to %u bytes, not %u", e->name,
		                 e->req_size, e->req_max, c->req_len);
	if (peer->priv < e->priv)
		return ctl_error(c, -EPERM, "%s needs a higher privilege", e->name);
	/* The default; handlers of varying replies set it themselves. */
	c->reply_len = e->reply_size;
	return e->fn(c);
}

enum ctl_verdict ctl_dispatch(struct ctl_peer *peer, const struct ctl_header *h, struct ctl_call *c,
                              int *status)
{
	struct ctl_error *err = c->reply;

	stat_inc(requests);
	c->req_len = h->length;
	c->reply_len = 0;
	c->nfds = 0;
	c->error[0] = 0;
	/* Status belongs to replies: a request that carries one comes from a confused client. */
	*status = h->status ? ctl_error(c, -EINVAL, "a request carries status 0") : run(peer, h, c);
	if (*status == 0)
		return CTL_REPLY;
	stat_inc(refused);
	/* A handler that failed late may have made files: the refusal carries none. */
	for (unsigned i = 0; i < c->nfds; i++)
		file_put(c->fds[i]);
	c->nfds = 0;
	memset(err, 0, sizeof(*err));
	str_copy(err->text, c->error, sizeof(err->text));
	c->reply_len = sizeof(*err);
	/* Without a common protocol nothing that follows can be understood. */
	return *status == -EPROTO ? CTL_CLOSE : CTL_REPLY;
}
