// SPDX-License-Identifier: Apache-2.0
/*
 * The loopback interface. lwIP's own delivers without bound once it has begun; here a packet waits
 * in a queue for its sender or the net world, each of which takes a bounded batch at a time.
 * ip_lock guards all.
 */
#include "ip.h"
#include "lwip/ip.h"
#include "lwip/ip6_addr.h"
#include "vmk/stat.h"

STAT(loop_full, "ip.loop.dropped", "loopback packets dropped: queue full or memory short");

enum { QUEUE = 1024, LOOP_MTU = 16384 };

struct netif ip_loop;
static struct pbuf *queue[QUEUE];
static unsigned head, tail;

static err_t loop_output(struct netif *n, struct pbuf *p)
{
	(void)n;
	struct pbuf *copy = tail - head < QUEUE ? pbuf_alloc(PBUF_RAW, p->tot_len, PBUF_RAM) : NULL;

	if (!copy) {
		stat_inc(loop_full);
		return ERR_MEM;
	}
	/* The sender may still change its pbuf (a retransmission) and keeps it. */
	(void)pbuf_copy(copy, p);
	queue[tail++ % QUEUE] = copy;
	ip_wake();
	return ERR_OK;
}

static err_t output4(struct netif *n, struct pbuf *p, const ip4_addr_t *a)
{
	(void)a;
	return loop_output(n, p);
}

static err_t output6(struct netif *n, struct pbuf *p, const ip6_addr_t *a)
{
	(void)a;
	return loop_output(n, p);
}

static void feed(void *arg)
{
	(void)ip_input(arg, &ip_loop);
}

unsigned loop_poll(unsigned budget)
{
	unsigned n = 0;

	/* What this provokes is queued behind and waits for the next batch. */
	for (unsigned end = tail; n < budget && head != end; n++)
		/* ip_input frees the pbuf, failure included. */
		(void)ip_guarded(feed, queue[head++ % QUEUE]);
	return n;
}

static err_t loop_netif_init(struct netif *n)
{
	n->name[0] = 'l';
	n->name[1] = 'o';
	n->mtu = LOOP_MTU;
	n->output = output4;
	n->output_ip6 = output6;
	/* It never leaves memory: nothing to check. */
	NETIF_SET_CHECKSUM_CTRL(n, 0);
	return ERR_OK;
}

void loop_init(void)
{
	ip4_addr_t addr, mask, none = { 0 };

	IP4_ADDR(&addr, 127, 0, 0, 1);
	IP4_ADDR(&mask, 255, 0, 0, 0);
	/* Index 1, as on Linux: vmk NICs begin at 2. */
	netif_add(&ip_loop, &addr, &mask, &none, NULL, loop_netif_init, ip_input);
	IP_ADDR6_HOST(&ip_loop.ip6_addr[0], 0, 0, 0, 1);
	netif_ip6_addr_set_state(&ip_loop, 0, IP6_ADDR_PREFERRED);
	netif_set_link_up(&ip_loop);
	netif_set_up(&ip_loop);
}
