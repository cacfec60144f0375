// SPDX-License-Identifier: Apache-2.0
/*
 * Operations on the network (vmkernel/ctl/ops_net.c, ops_ip.c): NICs, switches, port groups, ports,
 * capture; vmk NICs, routes, name servers, connections. Lists are paged (struct ctl_page_req).
 * Addresses stand in network order, an IPv4 address in the first four bytes. Names are
 * 0-terminated.
 */
#ifndef ABI_NET_H
#define ABI_NET_H
#include "abi/host.h"

enum ctl_net_op {
	CTL_NET_NICS = CTL_BASE_NET,
	CTL_NET_VSWITCHES,
	CTL_NET_PORTGROUPS,
	CTL_NET_PORTS,
	CTL_NET_VSWITCH_ADD,    /* ctl_net_vswitch_set */
	CTL_NET_VSWITCH_REMOVE, /* ctl_net_name */
	CTL_NET_VSWITCH_SET,    /* ctl_net_vswitch_set: the MTU */
	CTL_NET_UPLINK_ADD,     /* ctl_net_member */
	CTL_NET_UPLINK_REMOVE,
	CTL_NET_PORTGROUP_ADD, /* ctl_net_member */
	CTL_NET_PORTGROUP_REMOVE,
	CTL_NET_PORTGROUP_VLAN, /* ctl_net_vlan */
	CTL_NET_POLICY,         /* ctl_net_policy_set */
	CTL_NET_CAPTURE,        /* ctl_net_capture; the reply carries a file: a pcap stream */
	CTL_NET_VMKNICS = CTL_BASE_NET + 0x40,
	CTL_NET_VMKNIC_ADD,      /* ctl_net_vmknic_add */
	CTL_NET_VMKNIC_REMOVE,   /* ctl_net_name */
	CTL_NET_VMKNIC_IPV4,     /* ctl_net_ipv4 */
	CTL_NET_VMKNIC_IPV6_ADD, /* ctl_net_ipv6 */
	CTL_NET_VMKNIC_IPV6_REMOVE,
	CTL_NET_ROUTES,
	CTL_NET_ROUTE_ADD, /* ctl_net_route */
	CTL_NET_ROUTE_REMOVE,
	CTL_NET_DNS, /* ctl_net_dns */
	CTL_NET_DNS_SET,
	CTL_NET_CONNECTIONS,
	CTL_NET_NEIGHBORS,
};

enum ctl_net_limits {
	CTL_NET_NAME = 64,
	CTL_NET_UPLINKS = 8,
	CTL_NET_IPV6 = 4,
	CTL_NET_DNS_MAX = 3
};

struct ctl_net_name {
	char name[64];
};
/* A port group or an uplink of a switch. */
struct ctl_net_member {
	char vswitch[64];
	char name[64];
};

struct ctl_net_counters {
	uint64_t rx_packets, rx_bytes, rx_multicast, rx_broadcast, rx_dropped;
	uint64_t tx_packets, tx_bytes, tx_multicast, tx_broadcast, tx_dropped;
};

struct ctl_nic {
	char name[16];
	char driver[16];
	char pci[16];
	char desc[96];
	uint8_t mac[6];
	uint8_t admin_up;
	uint8_t link_up;
	uint8_t full_duplex;
	uint8_t reserved[3];
	uint32_t speed_mbps;
	uint32_t mtu;
	uint32_t caps; /* enum uplink_caps */
	uint32_t reserved2;
	struct ctl_net_counters counters;
	uint64_t rx_errors, rx_length_errors, rx_crc_errors, rx_no_buffer, tx_errors;
};
ABI_SIZE(struct ctl_nic, 296);
struct ctl_net_nics {
	struct ctl_page page;
	struct ctl_nic nic[64];
};

struct ctl_net_policy {
	uint8_t promiscuous;
	uint8_t mac_changes;
	uint8_t forged;
	uint8_t inherit_promiscuous; /* port groups: the switch's holds */
	uint8_t inherit_mac_changes;
	uint8_t inherit_forged;
	uint8_t reserved[2];
};
ABI_SIZE(struct ctl_net_policy, 8);
struct ctl_net_policy_set {
	char name[64];
	uint32_t portgroup; /* 1: name is a port group, 0: a switch */
	uint32_t reserved;
	struct ctl_net_policy policy;
};

struct ctl_vswitch {
	char name[64];
	uint32_t ports_max;
	uint32_t ports;
	uint32_t mtu;
	uint32_t uplinks;
	char uplink[8][16];
	char active[16];
	struct ctl_net_policy policy;
};
ABI_SIZE(struct ctl_vswitch, 232);
struct ctl_net_vswitches {
	struct ctl_page page;
	struct ctl_vswitch vswitch[64];
};
struct ctl_net_vswitch_set {
	char name[64];
	uint32_t ports_max;
	uint32_t mtu;
};

struct ctl_portgroup {
	char name[64];
	char vswitch[64];
	uint32_t vlan;
	uint32_t clients;
	struct ctl_net_policy policy; /* as configured */
};
ABI_SIZE(struct ctl_portgroup, 144);
struct ctl_net_portgroups {
	struct ctl_page page;
	struct ctl_portgroup portgroup[64];
};
struct ctl_net_vlan {
	char name[64];
	uint32_t vlan; /* 0 none, 4095 all */
	uint32_t reserved;
};

struct ctl_port {
	uint32_t id;
	uint32_t world; /* 0: the vmkernel's own */
	char client[64];
	char portgroup[64];
	char vswitch[64];
	char uplink[16];
	uint8_t mac[6];
	uint8_t connected;
	uint8_t promiscuous;
	struct ctl_net_counters counters;
};
ABI_SIZE(struct ctl_port, 304);
struct ctl_net_ports {
	struct ctl_page page;
	struct ctl_port port[64];
};

struct ctl_net_capture {
	char what[64]; /* an uplink's name, or "port:ID" */
	uint32_t snap; /* bytes kept of a frame, 0: all */
	uint32_t reserved;
};

struct ctl_vmknic {
	char name[16];
	char portgroup[64];
	uint8_t mac[6];
	uint8_t dhcp;
	uint8_t up;
	uint32_t mtu;
	uint32_t port;
	uint8_t ipv4[4];
	uint8_t mask[4];
	uint8_t gateway[4];
	uint32_t ipv6_count;
	uint8_t ipv6[4][16];
	uint8_t ipv6_state[4]; /* 0 tentative, 1 valid, 2 preferred, 3 duplicated; | 4: by hand */
	uint32_t reserved;
	struct ctl_net_counters counters;
};
ABI_SIZE(struct ctl_vmknic, 264);
struct ctl_net_vmknics {
	struct ctl_page page;
	struct ctl_vmknic vmknic[64];
};
struct ctl_net_vmknic_add {
	char name[16];
	char portgroup[64];
	uint8_t mac[6]; /* all zero: made up */
	uint8_t reserved[2];
};
struct ctl_net_ipv4 {
	char name[16];
	uint32_t dhcp; /* 1: the rest is ignored */
	uint8_t addr[4];
	uint8_t mask[4];
	uint8_t gateway[4];
};
struct ctl_net_ipv6 {
	char name[16];
	uint8_t addr[16];
};

enum ctl_route_source { CTL_ROUTE_INTERFACE = 0, CTL_ROUTE_STATIC = 1, CTL_ROUTE_DHCP = 2 };
struct ctl_net_route {
	uint32_t v6;
	uint32_t prefix;
	uint8_t dest[16];
	uint8_t gateway[16];
	char vmknic[16];
	uint32_t source; /* enum ctl_route_source */
	uint32_t reserved;
};
ABI_SIZE(struct ctl_net_route, 64);
struct ctl_net_routes {
	struct ctl_page page;
	struct ctl_net_route route[64];
};

struct ctl_net_dns {
	uint32_t count;
	uint8_t ipv4[3][4];
};

enum ctl_conn_proto { CTL_CONN_TCP = 6, CTL_CONN_UDP = 17 };
struct ctl_connection {
	uint8_t proto; /* enum ctl_conn_proto */
	uint8_t v6;
	uint8_t state; /* Linux's numbers: 1 established ... 10 listen */
	uint8_t reserved;
	uint16_t local_port;
	uint16_t remote_port;
	uint32_t recv_queue;
	uint32_t send_queue;
	uint8_t local[16];
	uint8_t remote[16];
};
ABI_SIZE(struct ctl_connection, 48);
struct ctl_net_connections {
	struct ctl_page page;
	struct ctl_connection connection[512];
};

struct ctl_neighbor {
	uint8_t addr[16];
	uint8_t mac[6];
	uint8_t v6;
	uint8_t state; /* 1: complete */
	char vmknic[16];
};
ABI_SIZE(struct ctl_neighbor, 40);
struct ctl_net_neighbors {
	struct ctl_page page;
	struct ctl_neighbor neighbor[256];
};
#endif
