// SPDX-License-Identifier: Apache-2.0
/*
 * Inside the TCP/IP stack. ip_lock is lwIP's one core lock: the net world holds it while it feeds
 * packets and runs timers, a socket call while it is in lwIP. No bottom half enters; packets wait
 * for the net world in a ring.
 */
#ifndef NET_IP_H
#define NET_IP_H
#include "lwip/ip_addr.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "vmk/ip.h"
#include "vmk/lock.h"
#include "vmk/port.h"

struct vmknic {
	struct list link;
	struct netif netif;
	struct port *port;
	char name[16]; /* vmk0 */
	char group[64];
	uint8_t mac[ETH_ALEN];
	unsigned index; /* interface index: lo is 1 */
	bool dhcp;
	uint32_t logged; /* the IPv4 address that the log knows */
	uint64_t rx_packets, rx_bytes, rx_dropped, tx_packets, tx_bytes, tx_dropped;
};

extern struct mutex ip_lock;
extern struct list vmknics; /* ip_lock */

/* core.c */
void ip_core_init(void);
void ip_core_start(void);
void ip_wake(void); /* the net world has something to do; any context */
/* Runs fn, abandoning it when lwIP asserts; true when it returned. ip_lock is held. */
bool ip_guarded(void (*fn)(void *arg), void *arg);
int ip_errno(err_t e); /* 0 or -errno */

/* The length of a netmask in network order. */
static inline unsigned ip_prefix(uint32_t mask)
{
	return mask ? 32 - (unsigned)__builtin_ctz(__builtin_bswap32(mask)) : 0;
}

/* vmknic.c */
struct vmknic *vmknic_of(const struct netif *n); /* NULL: the loopback */
struct vmknic *vmknic_find(const char *name);
unsigned vmknic_poll(unsigned budget); /* feeds received packets; how many were there */
void vmknic_init(void);

/* loop.c */
extern struct netif ip_loop;
enum { LOOP_BATCH = 64 };
/*
 * Delivers what waits; how many packets. Senders call it too, so that, as on Linux, what they sent
 * can be read when send() returns. ip_lock is held, and nothing of lwIP's is in hand: a connection
 * may end in here.
 */
unsigned loop_poll(unsigned budget);
void loop_init(void);

/* route.c */
bool ip_is_own(const ip_addr_t *a); /* an address of this host, loopback included */

/* Interfaces as Linux names and numbers them, for ioctls and netlink. ip_lock is held. */
struct netif *ip_netif_by_index(unsigned index);
unsigned ip_netif_index(const struct netif *n);
const char *ip_netif_name(const struct netif *n);
unsigned ip_netif_flags(const struct netif *n); /* Linux's IFF_* */
#endif
