// SPDX-License-Identifier: Apache-2.0
/*
 * lwIP's raw API for socket calls and control operations: the same functions, each guarded, so that
 * an assertion of lwIP's abandons the call and not the kernel's correctness. ip_lock is held. The
 * result is then the one in guard.c's table; what lwIP had in hand leaks. Nothing else in the
 * kernel calls these of lwIP's functions directly (tests/unit/test_ip.py looks).
 */
#ifndef IP_GUARD_H
#define IP_GUARD_H
#include "lwip/igmp.h"
#include "lwip/mld6.h"
#include "lwip/raw.h"
#include "lwip/tcp.h"
#include "lwip/udp.h"

struct tcp_pcb *ip_tcp_new_ip_type(u8_t type);
err_t ip_tcp_bind(struct tcp_pcb *pcb, const ip_addr_t *ip, u16_t port);
struct tcp_pcb *ip_tcp_listen_with_backlog_and_err(struct tcp_pcb *pcb, u8_t backlog, err_t *err);
err_t ip_tcp_connect(struct tcp_pcb *pcb, const ip_addr_t *ip, u16_t port, tcp_connected_fn fn);
err_t ip_tcp_write(struct tcp_pcb *pcb, const void *data, u16_t len, u8_t flags);
err_t ip_tcp_output(struct tcp_pcb *pcb);
void ip_tcp_recved(struct tcp_pcb *pcb, u16_t len);
err_t ip_tcp_close(struct tcp_pcb *pcb);
err_t ip_tcp_shutdown(struct tcp_pcb *pcb, int rx, int tx);
void ip_tcp_abort(struct tcp_pcb *pcb);
void ip_tcp_backlog_accepted(struct tcp_pcb *pcb);

struct udp_pcb *ip_udp_new_ip_type(u8_t type);
err_t ip_udp_bind(struct udp_pcb *pcb, const ip_addr_t *ip, u16_t port);
err_t ip_udp_connect(struct udp_pcb *pcb, const ip_addr_t *ip, u16_t port);
void ip_udp_disconnect(struct udp_pcb *pcb);
err_t ip_udp_send(struct udp_pcb *pcb, struct pbuf *p);
err_t ip_udp_sendto(struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *ip, u16_t port);
void ip_udp_remove(struct udp_pcb *pcb);

struct raw_pcb *ip_raw_new_ip_type(u8_t type, u8_t protocol);
err_t ip_raw_bind(struct raw_pcb *pcb, const ip_addr_t *ip);
err_t ip_raw_connect(struct raw_pcb *pcb, const ip_addr_t *ip);
void ip_raw_disconnect(struct raw_pcb *pcb);
err_t ip_raw_send(struct raw_pcb *pcb, struct pbuf *p);
err_t ip_raw_sendto(struct raw_pcb *pcb, struct pbuf *p, const ip_addr_t *ip);
void ip_raw_remove(struct raw_pcb *pcb);

err_t ip_igmp_joingroup(const ip4_addr_t *local, const ip4_addr_t *group);
err_t ip_igmp_leavegroup(const ip4_addr_t *local, const ip4_addr_t *group);
err_t ip_igmp_joingroup_netif(struct netif *n, const ip4_addr_t *group);
err_t ip_igmp_leavegroup_netif(struct netif *n, const ip4_addr_t *group);
err_t ip_mld6_joingroup_netif(struct netif *n, const ip6_addr_t *group);
err_t ip_mld6_leavegroup_netif(struct netif *n, const ip6_addr_t *group);

void ip_netif_set_addr(struct netif *n, const ip4_addr_t *ip, const ip4_addr_t *mask,
                       const ip4_addr_t *gw);
void ip_netif_set_up(struct netif *n);
void ip_netif_set_down(struct netif *n);
void ip_netif_remove(struct netif *n);
err_t ip_netif_add_ip6_address(struct netif *n, const ip6_addr_t *ip, s8_t *slot);
void ip_netif_ip6_addr_set_state(struct netif *n, s8_t slot, u8_t state);
err_t ip_dhcp_start(struct netif *n);
void ip_dhcp_release_and_stop(struct netif *n);
void ip_dhcp_cleanup(struct netif *n);
#endif
