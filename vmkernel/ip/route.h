// SPDX-License-Identifier: Apache-2.0
/* Static routes, for those who show them. ip_lock is held. */
#ifndef NET_IP_ROUTE_H
#define NET_IP_ROUTE_H
#include "vmk/types.h"
struct ip_route {
	bool v6;
	uint8_t prefix;
	uint8_t dest[16], gw[16];
};
const struct ip_route *ip_route_at(unsigned i); /* NULL behind the last */
#endif
