// SPDX-License-Identifier: Apache-2.0
/*
 * "Port unreachable" for what a connected UDP socket sent: its next call fails with ECONNREFUSED.
 * lwIP itself drops these.
 * Spec: RFC 1122 4.1.3.3, RFC 792, RFC 4443 3.1.
 */
#include "inet.h"
#include "guard.h"
#include "lwip/inet_chksum.h"
#include "lwip/prot/ip4.h"
#include "lwip/raw.h"
#include "vmk/errno.h"

enum { ICMP_HEADER = 8, IP6_HEADER = 40 };

/* lwIP looks at it later only. */
static bool checksum_is_right(struct pbuf *p, bool v6)
{
	u16_t header = ip_current_header_tot_len();
	u16_t checks = v6 ? NETIF_CHECKSUM_CHECK_ICMP6 : NETIF_CHECKSUM_CHECK_ICMP;

	if (!(ip_current_input_netif()->chksum_flags & checks))
		return true;
	if (pbuf_remove_header(p, header))
		return false;
	u16_t sum = v6 ? ip6_chksum_pseudo(p, IP6_NEXTH_ICMP6, p->tot_len, ip6_current_src_addr(),
	                                   ip6_current_dest_addr())
	               : inet_chksum_pbuf(p);

	pbuf_add_header_force(p, header);
	return sum == 0;
}

/* Under ip_lock; the packet goes on to lwIP. */
static u8_t on_icmp(void *arg, struct raw_pcb *pcb, struct pbuf *p, const ip_addr_t *from)
{
	bool v6 = ip_current_is_v6();
	uint8_t b[ICMP_HEADER + 60 + 4], *ip = b + ICMP_HEADER;
	unsigned n = pbuf_copy_partial(p, b, sizeof(b), ip_current_header_tot_len());

	(void)arg, (void)pcb, (void)from;
	/* Destination unreachable with the code for a port: 3/3 in ICMP, 1/4 in ICMPv6. */
	if (n <= ICMP_HEADER || b[0] != (v6 ? 1 : 3) || b[1] != (v6 ? 4 : 3))
		return 0;
	unsigned header = v6 ? IP6_HEADER : (ip[0] & 15u) * 4;

	if (n < ICMP_HEADER + header + 4 || ip[v6 ? 6 : 9] != IP_PROTO_UDP ||
	    !checksum_is_right(p, v6))
		return 0;
	ip_addr_t to = { 0 };
	uint16_t ports[2];

	/*
	 * The message carries the start of what we sent: its destination, then UDP's source and
	 * destination port.
	 */
	memcpy(&to, ip + (v6 ? 24 : 16), v6 ? 16 : 4);
	IP_SET_TYPE_VAL(to, v6 ? IPADDR_TYPE_V6 : IPADDR_TYPE_V4);
	memcpy(ports, ip + header, sizeof(ports));
	dgram_refused(&to, lwip_ntohs(ports[1]), lwip_ntohs(ports[0]));
	return 0;
}

int unreach_init(void)
{
	mutex_lock(&ip_lock);
	struct raw_pcb *four = ip_raw_new_ip_type(IPADDR_TYPE_V4, IP_PROTO_ICMP);
	struct raw_pcb *six = ip_raw_new_ip_type(IPADDR_TYPE_V6, IP6_NEXTH_ICMP6);

	if (four)
		raw_recv(four, on_icmp, NULL);
	if (six)
		raw_recv(six, on_icmp, NULL);
	mutex_unlock(&ip_lock);
	return four && six ? 0 : -ENOMEM;
}
