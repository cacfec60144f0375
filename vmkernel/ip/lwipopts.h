// SPDX-License-Identifier: Apache-2.0
/*
 * lwIP's options: the raw API without its threads and sockets. Everything in it runs under ip_lock
 * (core.c), so it needs no protection of its own. Memory comes from the kernel's heap, with a
 * ceiling.
 */
#ifndef LWIPOPTS_H
#define LWIPOPTS_H

#define NO_SYS                1
#define SYS_LIGHTWEIGHT_PROT  0
#define LWIP_NETCONN          0
#define LWIP_SOCKET           0
#define LWIP_TIMERS           1
#define LWIP_ERRNO_STDINCLUDE 0

#define MEM_ALIGNMENT            8
#define MEM_CUSTOM_ALLOCATOR     1
#define MEM_CUSTOM_MALLOC        ip_malloc
#define MEM_CUSTOM_CALLOC        ip_calloc
#define MEM_CUSTOM_FREE          ip_free
#define MEMP_MEM_MALLOC          1
#define LWIP_SUPPORT_CUSTOM_PBUF 1
#define PBUF_POOL_BUFSIZE        1600
#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>
void *ip_malloc(size_t size);
void *ip_calloc(size_t n, size_t size);
void ip_free(void *p);
#endif

#define LWIP_IPV4                     1
#define LWIP_IPV6                     1
#define LWIP_ARP                      1
#define ARP_TABLE_SIZE                127
#define ARP_QUEUEING                  1
#define ETHARP_SUPPORT_VLAN           0
#define IP_FORWARD                    0
#define IP_REASSEMBLY                 1
#define IP_REASS_MAX_PBUFS            256
#define MEMP_NUM_REASSDATA            32
#define LWIP_ICMP                     1
#define LWIP_BROADCAST_PING           0
#define LWIP_MULTICAST_PING           0
#define LWIP_RAW                      1
#define LWIP_IGMP                     1
#define LWIP_DHCP                     1
#define LWIP_DHCP_DOES_ACD_CHECK      0
#define LWIP_DNS                      1
#define DNS_MAX_SERVERS               3
#define LWIP_UDP                      1
#define LWIP_UDPLITE                  1
#define LWIP_IPV6_MLD                 1
#define IPV6_FRAG_COPYHEADER          1
#define LWIP_IPV6_AUTOCONFIG          1
#define LWIP_IPV6_NUM_ADDRESSES       4
#define LWIP_ND6_QUEUEING             1
#define LWIP_ND6_NUM_NEIGHBORS        64
#define LWIP_ND6_NUM_DESTINATIONS     64
#define LWIP_IPV6_SEND_ROUTER_SOLICIT 1
#define LWIP_NETIF_HOSTNAME           1
#define LWIP_NETIF_STATUS_CALLBACK    1
#define LWIP_NETIF_LOOPBACK           0
#define LWIP_HAVE_LOOPIF              0
#define LWIP_MULTICAST_TX_OPTIONS     1
#define LWIP_NETBUF_RECVINFO          0

#define LWIP_TCP 1
/*
 * The most: an interface's MTU lowers it. A small write reserves room for an Ethernet frame only.
 */
#define TCP_MSS             8960
#define TCP_OVERSIZE        1460
#define LWIP_WND_SCALE      1
#define TCP_RCV_SCALE       4
#define TCP_WND             (512 * 1024)
#define TCP_SND_BUF         (512 * 1024)
#define TCP_SND_QUEUELEN    2048
#define TCP_SNDLOWAT        16384
#define TCP_SNDQUEUELOWAT   1024
#define MEMP_NUM_TCP_SEG    TCP_SND_QUEUELEN
#define TCP_QUEUE_OOSEQ     1
#define TCP_OOSEQ_MAX_BYTES TCP_WND
#define LWIP_TCP_SACK_OUT   1
#define LWIP_TCP_TIMESTAMPS 1
#define LWIP_TCP_KEEPALIVE  1
#define TCP_LISTEN_BACKLOG  1
#define SO_REUSE            1
#define TCP_MSL             15000

#define LWIP_CHECKSUM_CTRL_PER_NETIF 1
#define LWIP_CHECKSUM_ON_COPY        0
#define LWIP_STATS                   0

struct netif;
struct ip4_addr;
struct ip_addr;
struct ip6_addr;
struct netif *ip_hook_route4(const struct ip4_addr *src, const struct ip4_addr *dest);
const struct ip4_addr *ip_hook_gateway4(struct netif *n, const struct ip4_addr *dest);
struct netif *ip_hook_route6(const struct ip6_addr *src, const struct ip6_addr *dest);
const struct ip6_addr *ip_hook_gateway6(struct netif *n, const struct ip6_addr *dest);
uint32_t ip_hook_isn(const struct ip_addr *local, uint16_t lport, const struct ip_addr *remote,
                     uint16_t rport);
#define LWIP_HOOK_IP4_ROUTE_SRC ip_hook_route4
#define LWIP_HOOK_ETHARP_GET_GW ip_hook_gateway4
#define LWIP_HOOK_IP6_ROUTE     ip_hook_route6
#define LWIP_HOOK_ND6_GET_GW    ip_hook_gateway6
#define LWIP_HOOK_TCP_ISN       ip_hook_isn
#endif
