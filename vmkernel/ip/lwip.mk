# SPDX-License-Identifier: Apache-2.0
# lwIP as the vmkernel compiles it: the core with IPv4 and IPv6, and ARP over Ethernet. The port is in ip/.
LWIP_CORE := init def dns inet_chksum ip mem memp netif pbuf raw stats sys tcp tcp_in tcp_out timeouts udp
LWIP_CORE += $(addprefix ipv4/,acd dhcp etharp icmp igmp ip4 ip4_addr ip4_frag)
LWIP_CORE += $(addprefix ipv6/,ethip6 icmp6 inet6 ip6 ip6_addr ip6_frag mld6 nd6)
LWIP_SOURCES := $(LWIP_CORE:%=build/src/lwip/src/core/%.c) build/src/lwip/src/netif/ethernet.c
LWIP_INCLUDES := -isystem build/src/lwip/src/include -Ivmkernel/ip
# <stdlib.h>'s own inline atoi would call strtol.
LWIP_CFLAGS := -D__NO_INLINE__ -Wno-address -Wno-type-limits -fno-sanitize=shift
