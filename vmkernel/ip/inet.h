// SPDX-License-Identifier: Apache-2.0
/*
 * What the TCP and the datagram sockets of AF_INET and AF_INET6 share. Spec: Linux's socket(7),
 * ip(7), ipv6(7), tcp(7).
 */
#ifndef NET_IP_INET_H
#define NET_IP_INET_H
#include "ip.h"
#include "vmk/socket.h"

enum { SOL_IP = 0, SOL_TCP = 6, SOL_IPV6 = 41, SOL_RAW_ = 255 };

/* Options at the levels IP and IPV6, kept for sockets that have no control block yet. */
struct inet_opts {
	uint8_t ttl, tos, mcast_ttl;
	bool mcast_loop, pktinfo, recv_ttl, recv_tos;
	bool pktinfo6, recv_hops, recv_class; /* IPv6 */
};

/* What a datagram's header said, for control messages. */
struct inet_arrival {
	ip_addr_t to;
	uint8_t iface, ttl, tos;
};

int inet_register(void);
int netlink_register(void); /* netlink.c */
/* ifioctl.c: interfaces and routes, for a socket of any family. -ENOTTY for the unknown. */
long inet_ioctl(unsigned cmd, uva_t arg);
void procnet_init(void); /* procnet.c */
int tcp_create(struct socket *s);
int dgram_create(struct socket *s, uint8_t protocol, bool raw);
int unreach_init(void); /* unreach.c */
/* Under ip_lock: nobody listens where the socket at port `own`, connected to `to`, sends. */
void dgram_refused(const ip_addr_t *to, uint16_t port, uint16_t own);

/* Linux's sockaddr_in or sockaddr_in6 from and to lwIP's. -EINVAL, -EAFNOSUPPORT. */
int __must_check inet_get_addr(const struct socket *s, const struct sockaddr_any *a, ip_addr_t *ip,
                               uint16_t *port);
void inet_put_addr(const struct socket *s, struct sockaddr_any *a, const ip_addr_t *ip,
                   uint16_t port);
/* The address of bind: "any" becomes both families' for an IPv6 socket that is not V6ONLY. */
void inet_bind_any(const struct socket *s, ip_addr_t *ip);
bool inet_may_bind(uint16_t port); /* below 1024: root only */
uint16_t inet_random_port(void);
/* The type of a fresh control block. */
uint8_t inet_pcb_type(const struct socket *s);

/* SOL_IP and SOL_IPV6; -ENOPROTOOPT for the unknown. */
int inet_setsockopt(struct socket *s, struct inet_opts *o, int level, int opt, const void *val,
                    uint32_t len);
int inet_getsockopt(struct socket *s, const struct inet_opts *o, int level, int opt, void *val,
                    uint32_t *len);
/*
 * cmsg.c: what the receiver asked for, into m; what the sender wants for this one message, into *o.
 */
void inet_put_control(const struct socket *s, const struct inet_opts *o,
                      const struct inet_arrival *a, struct sock_msg *m);
int __must_check inet_take_control(const struct socket *s, struct inet_opts *o,
                                   const struct sock_msg *m);
/* An int from an option's value: 4 bytes or 1. */
int __must_check inet_opt_int(const void *val, uint32_t len, int *out);
void inet_put_int(void *val, uint32_t *len, int v);
#endif
