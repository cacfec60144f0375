// SPDX-License-Identifier: Apache-2.0
/*
 * Boot option bench=net: what a packet costs from one port of a switch to another and to an uplink,
 * its completion included, in TSC counts (instructions under -icount shift=0). One CPU; bursts of
 * BENCH_DEPTH, the sender with interrupts off as in a guest's kick, delivery in the windows after
 * it. The clients and the NIC at the ends cost nothing themselves, and the sender is one as a
 * guest's NIC is: its headers are copied before they are judged.
 */
#include "test/bench.h"
#include "vmk/mm.h"
#include "vmk/string.h"
#include "vmk/vswitch.h"
#include "x86/insn.h"

#include "vmk/log.h"

#define LOG_MODULE "bench"

enum { PORTS = 1000, IP_AT = ETH_HLEN, TCP_AT = IP_AT + 20, HEADERS = TCP_AT + 20, WINDOWS = 8 };
enum { CAPS = PORT_CSUM | PORT_TSO4 | PORT_TSO6 | PORT_VOLATILE };

static struct port *port[PORTS];
static struct pkt packet[BENCH_DEPTH];
static unsigned arrived, returned;

static int deliver(void *arg, struct pkt *p)
{
	arrived++;
	pkt_done(p);
	return 0;
}

static int xmit(struct uplink *u, unsigned q, struct pkt *p)
{
	return deliver(u, p);
}

static int set_up(struct uplink *u, bool up)
{
	return 0;
}

static void release(struct pkt *p)
{
	returned++;
}

static const struct port_ops client = { .deliver = deliver };
static const struct uplink_ops nic_ops = { .xmit = xmit, .set_up = set_up };
static struct uplink nic = {
	.name = "bench",
	.mtu = 1500,
	.mtu_max = 1500,
	.caps = UPLINK_TX_CSUM | UPLINK_TSO4 | UPLINK_TSO6 | UPLINK_VLAN,
	.tx_queues = 1,
	.link_up = true,
	.driver = "bench",
	.ops = &nic_ops,
};

static void mac_of(uint8_t mac[ETH_ALEN], unsigned vendor, unsigned i)
{
	const uint8_t m[ETH_ALEN] = { 0x02, 0, (uint8_t)vendor, 0, (uint8_t)(i >> 8), (uint8_t)i };

	memcpy(mac, m, ETH_ALEN);
}

/* Frame number i, `len` bytes to a MAC; longer than the MTU: TCP that the receiver's side cuts. */
static void prepare(struct pkt *p, pa_t headers, pa_t rest, uint32_t len, unsigned vendor,
                    unsigned to)
{
	static const uint8_t ip[] = { 0x45, [8] = 64, [9] = 6 };
	uint8_t *h = pa_to_va(headers);

	memset(p, 0, offsetof(struct pkt, sg));
	list_init(&p->link);
	p->refs = 1;
	p->release = release;
	mac_of(h, vendor, to);
	mac_of(h + ETH_ALEN, 0, 0);
	h[2 * ETH_ALEN] = 0x08;
	memcpy(h + IP_AT, ip, sizeof(ip));
	h[TCP_AT + 12] = 5 << 4;
	bool fits = pkt_add_page(p, headers, 0, MIN(len, (uint32_t)PAGE_SIZE));

	while (fits && p->len < len)
		fits = pkt_add_page(p, rest, 0, MIN(len - p->len, (uint32_t)PAGE_SIZE));
	ASSERT(fits);
	p->flags = PKT_CSUM_PARTIAL | (len > PAGE_SIZE ? PKT_TSO4 : 0);
	p->csum_start = TCP_AT;
	p->csum_offset = 16;
	p->hdr_len = HEADERS;
	p->gso_size = 1460;
}

/* Instructions a packet; vendor 0: to the other `ports` in turn, 1: to MACs outside. */
static void measure(const char *where, unsigned ports, uint32_t len, unsigned vendor, pa_t pages)
{
	uint64_t cost = 0, sent = 0, flags = irq_save();
	char what[32];

	arrived = returned = 0;
	for (unsigned round = 0; round < BENCH_ROUNDS; round++) {
		for (unsigned i = 0; i < BENCH_DEPTH; i++, sent++) {
			struct pkt *p = &packet[i];

			prepare(p, pages + i * PAGE_SIZE, pages + BENCH_DEPTH * PAGE_SIZE, len,
			        vendor, (unsigned)(1 + sent % (ports - 1)));
			uint64_t start = rdtsc();

			port_send(port[0], p);
			cost += rdtsc() - start;
		}
		for (unsigned i = 0; i < WINDOWS; i++)
			cost += bench_window();
	}
	irq_restore(flags);
	if (arrived != sent || returned != sent)
		log_err("%s: %u of %u packets arrived, %u came back", where, arrived,
		        (unsigned)sent, returned);
	vmk_snprintf(what, sizeof(what), "%s.%u.ports%u", where, len, ports);
	bench_report("net", what, cost, sent, "instructions");
}

static int open_ports(unsigned from, unsigned to)
{
	struct port_attr a = { .client = "bench", .group = "bench", .caps = CAPS, .ops = &client };
	int err = 0;

	for (unsigned i = from; i < to && !err; i++) {
		mac_of(a.mac, 0, i);
		err = port_open(&a, &port[i]);
	}
	return err;
}

void bench_net_run(void)
{
	static const uint32_t lengths[] = { 64, 1500, 65536 };
	pa_t pages = page_alloc(6, FRAME_KERNEL, 0); /* a header each, and one for all payload */
	uint64_t flags = irq_save();
	unsigned open = 0;

	bench_calibrate();
	irq_restore(flags);
	int err = pages == PA_NONE ? -1 : vswitch_add("bench", 2 * PORTS, 1500);

	err = err ? err : vswitch_uplink_add("bench", nic.name);
	err = err ? err : portgroup_add("bench", "bench");
	err = err ? err : uplink_register(&nic);
	for (unsigned ports = 2; !err && ports <= PORTS; ports *= PORTS / 2) {
		err = open_ports(open, ports);
		open = ports;
		for (unsigned i = 0; i < ARRAY_SIZE(lengths) && !err; i++) {
			measure("port_to_port", ports, lengths[i], 0, pages);
			measure("port_to_uplink", ports, lengths[i], 1, pages);
		}
	}
	if (err)
		log_err("net: error %d", -err);
}
