// SPDX-License-Identifier: Apache-2.0
/*
 * The host's own TCP/IP (vmkernel/ip/, over lwIP): vmk NICs, addresses, routes, name servers.
 * Sockets are reached through vmk/socket.h. Worlds only; everything may sleep. Addresses are in
 * network order: 4 or 16 bytes.
 */
#ifndef VMK_IP_H
#define VMK_IP_H
#include "vmk/types.h"

enum { IP_ROUTES_MAX = 64, IP_DNS_MAX = 3 };

/* After net_init, sched and fs: the loopback, the net world, socket families, vmk0 by DHCP. */
void ipstack_init(void);

/* mac NULL: made up. 0, -EEXIST, -ENOENT (no such port group or NIC), -EINVAL, -ENOSPC, -ENOMEM. */
int __must_check vmknic_add(const char *name, const char *group, const uint8_t mac[6]);
int __must_check vmknic_remove(const char *name);
int __must_check vmknic_set_dhcp(const char *name);
/* Gateway all zero: none. */
int __must_check vmknic_set_ipv4(const char *name, const uint8_t addr[4], const uint8_t mask[4],
                                 const uint8_t gw[4]);
int __must_check vmknic_add_ipv6(const char *name, const uint8_t addr[16]);
int __must_check vmknic_remove_ipv6(const char *name, const uint8_t addr[16]);
/* prefix 0: the default route. The gateway must be reachable through a vmk NIC (-ENETUNREACH). */
int __must_check ip_route_add(bool v6, const uint8_t *dest, unsigned prefix, const uint8_t *gw);
int __must_check ip_route_remove(bool v6, const uint8_t *dest, unsigned prefix, const uint8_t *gw);
/* Replaces them; they hold over DHCP's. */
int __must_check ip_dns_set(const uint8_t (*v4)[4], unsigned n);
#endif
