// SPDX-License-Identifier: Apache-2.0
/*
 * A TCP connection as sockets see it, over lwIP's raw API. It outlives neither its socket nor,
 * before accept, its listener; its control block may go first (reset, time-out, full close): pcb is
 * NULL then. All under ip_lock, but `events`, which pollers and sleepers read without it and
 * conn_refresh rewrites after every change.
 */
#ifndef NET_IP_CONN_H
#define NET_IP_CONN_H
#include "inet.h"
#include "lwip/tcp.h"

enum conn_state { TCP_IDLE, TCP_LISTENING, TCP_CONNECTING, TCP_UP, TCP_DOWN };

struct conn {
	struct socket *s; /* NULL before accept */
	struct tcp_pcb *pcb;
	enum conn_state state;
	struct pbuf *rx, *rx_last; /* a chain whose tot_len is not kept: 16 bits are too few */
	uint32_t rx_skip;          /* bytes of rx's first buffer already read */
	uint32_t unread;           /* bytes of rx */
	bool eof, shut_rd, shut_wr, nodelay, drained;
	/* something was sent since all was read: what comes next waits for an answer */
	bool answered;
	int error;               /* positive errno, while there is no socket to keep it */
	ip_addr_t local, remote; /* kept for when the control block is gone */
	uint16_t local_port, remote_port;
	struct list ready; /* listener: connections to accept; connection: its place there */
	struct conn *listener;
	struct inet_opts opts;
	unsigned events;
};

/* conn.c */
struct conn *conn_alloc(struct socket *s);
void conn_attach(struct conn *c, struct tcp_pcb *pcb); /* sets lwIP's callbacks */
struct tcp_pcb *conn_detach(struct conn *c); /* lwIP finishes with the control block by itself */
void conn_drop(struct conn *c);              /* closes and frees */
void conn_refresh(struct conn *c);
void conn_remember(struct conn *c); /* the names, while the control block is there */
void conn_free_rx(struct conn *c);
void conn_open_window(struct conn *c); /* after reading, as far as SO_RCVBUF goes */
/* bytes that a send can queue; there is a control block */
uint32_t conn_room(const struct conn *c);
int conn_take_error(struct conn *c); /* the error that pends, once: 0 or -errno */
void conn_options(struct conn *c);   /* hands the socket's options to the control block */
err_t conn_connected(void *arg, struct tcp_pcb *pcb, err_t e);
err_t conn_accepted(void *arg, struct tcp_pcb *pcb, err_t e);

/* tcp_data.c, tcp_opt.c */
ssize_t tcp_sock_send(struct socket *s, struct sock_msg *m);
ssize_t tcp_sock_recv(struct socket *s, struct sock_msg *m);
int tcp_sock_shutdown(struct socket *s, int how);
int tcp_sock_setsockopt(struct socket *s, int level, int opt, const void *val, uint32_t len);
int tcp_sock_getsockopt(struct socket *s, int level, int opt, void *val, uint32_t *len);
int tcp_need_pcb(struct socket *s);
#endif
