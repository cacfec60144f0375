// SPDX-License-Identifier: Apache-2.0
/* Options of TCP sockets. Spec: Linux's tcp(7). */
#include "conn.h"
#include "lwip/priv/tcp_priv.h"
#include "vmk/errno.h"

enum {
	TCP_NODELAY_ = 1,
	TCP_MAXSEG_ = 2,
	TCP_CORK_ = 3,
	TCP_KEEPIDLE_ = 4,
	TCP_KEEPINTVL_ = 5,
	TCP_KEEPCNT_ = 6,
	TCP_DEFER_ACCEPT_ = 9,
	TCP_INFO_ = 11,
	TCP_QUICKACK_ = 12,
	TCP_USER_TIMEOUT_ = 18
};

int tcp_sock_setsockopt(struct socket *s, int level, int opt, const void *val, uint32_t len)
{
	struct conn *c = s->priv;
	int v, err;

	if (level != SOL_TCP && level != SOL_SOCKET) {
		err = inet_setsockopt(s, &c->opts, level, opt, val, len);
	} else {
		err = inet_opt_int(val, len, &v);
		if (err || level == SOL_SOCKET)
			return err ? err : -ENOPROTOOPT;
	}
	/*
	 * Options live in the connection and are copied to a control block whenever there is one.
	 */
	mutex_lock(&ip_lock);
	if (level == SOL_TCP) {
		if (opt == TCP_NODELAY_)
			c->nodelay = v;
		else if (opt == TCP_KEEPIDLE_ || opt == TCP_KEEPINTVL_ || opt == TCP_KEEPCNT_) {
			err = v < 1 || v > 32767 ? -EINVAL : tcp_need_pcb(s);
			if (!err && opt == TCP_KEEPIDLE_)
				c->pcb->keep_idle = (u32_t)v * 1000;
			else if (!err && opt == TCP_KEEPINTVL_)
				c->pcb->keep_intvl = (u32_t)v * 1000;
			else if (!err)
				c->pcb->keep_cnt = (u32_t)v;
			/*
		 * Accepted without effect: programs set them for speed, and nothing breaks without.
		 */
		} else if (opt != TCP_CORK_ && opt != TCP_QUICKACK_ && opt != TCP_DEFER_ACCEPT_ &&
		           opt != TCP_USER_TIMEOUT_ && opt != TCP_MAXSEG_) {
			err = -ENOPROTOOPT;
		}
	}
	conn_options(c);
	mutex_unlock(&ip_lock);
	return err;
}

int tcp_sock_getsockopt(struct socket *s, int level, int opt, void *val, uint32_t *len)
{
	struct conn *c = s->priv;

	if (level != SOL_TCP)
		return inet_getsockopt(s, &c->opts, level, opt, val, len);
	int v;

	mutex_lock(&ip_lock);
	/* A listener's block is shorter: it has none of these fields. */
	const struct tcp_pcb *pcb = c->state == TCP_LISTENING ? NULL : c->pcb;

	switch (opt) {
	case TCP_NODELAY_: v = c->nodelay; break;
	case TCP_MAXSEG_: v = pcb ? tcp_mss(pcb) : TCP_MSS; break;
	case TCP_KEEPIDLE_: v = (int)((pcb ? pcb->keep_idle : TCP_KEEPIDLE_DEFAULT) / 1000); break;
	case TCP_KEEPINTVL_:
		v = (int)((pcb ? pcb->keep_intvl : TCP_KEEPINTVL_DEFAULT) / 1000);
		break;
	case TCP_KEEPCNT_: v = (int)(pcb ? pcb->keep_cnt : TCP_KEEPCNT_DEFAULT); break;
	case TCP_CORK_:
	case TCP_DEFER_ACCEPT_:
	case TCP_USER_TIMEOUT_: v = 0; break;
	case TCP_QUICKACK_: v = 1; break;
	default: v = -1;
	}
	mutex_unlock(&ip_lock);
	if (v < 0)
		return -ENOPROTOOPT;
	inet_put_int(val, len, v);
	return 0;
}
