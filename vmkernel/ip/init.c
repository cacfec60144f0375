// SPDX-License-Identifier: Apache-2.0
/*
 * Brings the host's TCP/IP up: loopback, socket families, and vmk0 by DHCP on the management
 * network.
 */
#include "inet.h"
#include "net/net.h"
#include "vmk/log.h"

#define LOG_MODULE "ip"

/* vmk0 carries the address of the first NIC, as on ESXi, so that a DHCP server knows the host. */
static void first_mac(struct uplink *u, void *arg)
{
	uint8_t *mac = arg;
	static const uint8_t none[ETH_ALEN];

	if (memcmp(mac, none, ETH_ALEN) == 0)
		memcpy(mac, u->mac, ETH_ALEN);
}

static void must(int err, const char *what)
{
	if (err)
		log_err("%s: error %d", what, -err);
}

void ipstack_init(void)
{
	uint8_t mac[ETH_ALEN] = { 0 };

	/* Interfaces exist before sockets do, and before the net world feeds them. */
	ip_core_init();
	vmknic_init();
	ip_core_start();
	must(inet_register(), "socket family inet");
	must(unreach_init(), "ICMP errors");
	must(netlink_register(), "socket family netlink");
	procnet_init();
	uplink_for_each(first_mac, mac);
	must(vmknic_add("vmk0", "Management Network",
	                mac[0] | mac[1] | mac[2] | mac[5] ? mac : NULL),
	     "vmk0");
	must(vmknic_set_dhcp("vmk0"), "DHCP on vmk0");
}
