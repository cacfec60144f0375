// SPDX-License-Identifier: Apache-2.0
/*
 * Capture: the frames of a port or an uplink as a pcap stream in a ring (nanosecond magic
 * 0xa1b23c4d; spec: draft-ietf-opsawg-pcap), which one reader empties (ctl/capture_file.c).
 * Producers are bottom halves and senders, which never wait: a frame that finds no room is dropped
 * and counted.
 */
#include "net.h"
#include "vmk/errno.h"
#include "vmk/mm.h"
#include "vmk/stat.h"
#include "vmk/string.h"
#include "vmk/time.h"
#include "vmk/world.h"

STAT(capture_lost, "net.capture.lost", "frames that captures had no room for");

enum { RING = 1 << 20, PCAP_HEADER = 24, PCAP_RECORD = 16 };
enum { LINKTYPE_ETHERNET = 1, SNAP_DEFAULT = 262144 };

struct capture {
	struct list link;
	const void *what; /* port or uplink; NULL: it is gone, nothing more will come */
	struct port *port;
	unsigned snap;
	struct spinlock lock; /* tail and the ring behind it */
	/* Bytes since the start: head is the reader's, tail the producers'. */
	uint64_t head, tail;
	uint8_t *ring;
	struct waitq wait;
};

static struct list captures = LIST_INIT(captures);
static struct spinlock captures_lock; /* the list; taken by forwarding while anything is captured */
unsigned capture_uplinks;

static void put(struct capture *c, const void *src, uint32_t n)
{
	uint32_t at = (uint32_t)(c->tail % RING), first = MIN(n, RING - at);

	memcpy(c->ring + at, src, first);
	memcpy(c->ring, (const uint8_t *)src + first, n - first);
	c->tail += n;
}

static void put_frame(struct capture *c, const struct pkt *p)
{
	uint8_t tag[4] = { 0x81, 0, (uint8_t)(p->vlan_tci >> 8), (uint8_t)p->vlan_tci };
	uint32_t extra = p->flags & PKT_VLAN ? sizeof(tag) : 0, len = p->len + extra;
	uint32_t keep = c->snap ? MIN(len, c->snap) : len, pos = 0;
	ns_t now = time_realtime();
	uint32_t record[4] = { (uint32_t)(now / NS_PER_S), (uint32_t)(now % NS_PER_S), keep, len };
	uint64_t flags = spin_lock_irq(&c->lock);

	/* A record goes in as a whole or not at all: the stream has no way to resynchronize. */
	if (RING - (c->tail - c->head) < PCAP_RECORD + keep) {
		spin_unlock_irq(&c->lock, flags);
		stat_inc(capture_lost);
		return;
	}
	put(c, record, sizeof(record));
	for (unsigned i = 0; i < p->sg_count && keep; i++) {
		const uint8_t *from = pa_to_va(p->sg[i].pa);
		uint32_t left = p->sg[i].len;

		while (left && keep) {
			/* The tag is metadata here; on a wire it follows the MACs. */
			uint32_t n = extra && pos < 2 * ETH_ALEN ? MIN(left, 2 * ETH_ALEN - pos)
			                                         : left;

			n = MIN(n, keep);
			put(c, from, n);
			from += n;
			left -= n;
			keep -= n;
			pos += n;
			if (extra && pos == 2 * ETH_ALEN) {
				uint32_t t = MIN(extra, keep);

				put(c, tag, t);
				keep -= t;
				extra = 0;
			}
		}
	}
	spin_unlock_irq(&c->lock, flags);
	waitq_wake_all(&c->wait);
}

void capture_frame(const void *what, const struct pkt *p, enum capture_dir dir)
{
	(void)dir;
	struct capture *c;
	uint64_t flags = spin_lock_irq(&captures_lock);

	/* Under the lock, so that a capture is not freed while a frame is copied into it. */
	list_for_each(c, &captures, link)
		if (c->what == what)
			put_frame(c, p);
	spin_unlock_irq(&captures_lock, flags);
}

/* Ends the watching, once: by the reader, or because the port or uplink goes. captures_lock. */
static void detach(struct capture *c)
{
	if (!c->what)
		return;
	if (c->port)
		c->port->taps--;
	else
		capture_uplinks--;
	c->what = NULL;
	c->port = NULL;
}

void capture_forget(const void *what)
{
	struct capture *c;
	uint64_t flags = spin_lock_irq(&captures_lock);

	list_for_each(c, &captures, link)
		if (c->what == what) {
			detach(c);
			waitq_wake_all(&c->wait);
		}
	spin_unlock_irq(&captures_lock, flags);
}

size_t capture_peek(struct capture *c, const uint8_t **data)
{
	/* Acquire: the bytes before tail are seen as put_frame left them. */
	uint64_t avail = load_acquire(&c->tail) - c->head;
	uint32_t at = (uint32_t)(c->head % RING);

	*data = c->ring + at;
	return MIN(avail, RING - at);
}

void capture_consume(struct capture *c, size_t n)
{
	/* Release: put_frame writes over these bytes only after the reader has copied them. */
	store_release(&c->head, c->head + n);
}

bool capture_live(const struct capture *c)
{
	return READ_ONCE(c->what) != NULL;
}

struct waitq *capture_waitq(struct capture *c)
{
	return &c->wait;
}

static void capture_free(struct capture *c)
{
	vfree(c->ring);
	kfree(c);
}

void capture_stop(struct capture *c)
{
	uint64_t flags = spin_lock_irq(&captures_lock);

	detach(c);
	list_remove(&c->link);
	spin_unlock_irq(&captures_lock, flags);
	capture_free(c);
}

/* "port:ID" or an uplink's name; NULL when there is none. net_config is held. */
static const void *find(const char *what, struct port **port)
{
	const struct uplink *u = uplink_find(what);
	uint64_t id;

	*port = NULL;
	if (!u && strncmp(what, "port:", 5) == 0 && str_to_u64(what + 5, &id) == 0)
		*port = port_find((uint32_t)id);
	return *port ? (const void *)*port : u;
}

int capture_start(const char *what, unsigned snap, struct capture **out)
{
	const uint32_t header[PCAP_HEADER / 4] = {
		0xa1b23c4d, 4 << 16 | 2, 0, 0, snap ? snap : SNAP_DEFAULT, LINKTYPE_ETHERNET
	};
	struct capture *c = kzalloc(sizeof(*c));
	struct port *port;

	if (!c)
		return -ENOMEM;
	c->ring = vmalloc(RING);
	if (!c->ring) {
		kfree(c);
		return -ENOMEM;
	}
	c->snap = snap;
	spin_init(&c->lock, "capture", RANK_NET + 3);
	waitq_init(&c->wait, "capture");
	put(c, header, sizeof(header));
	/* Under net_config neither a port nor an uplink goes between the search and the list. */
	mutex_lock(&net_config);
	const void *found = find(what, &port);

	if (found) {
		uint64_t flags = spin_lock_irq(&captures_lock);

		c->port = port;
		c->what = found;
		if (port)
			port->taps++;
		else
			capture_uplinks++;
		list_push_back(&captures, &c->link);
		spin_unlock_irq(&captures_lock, flags);
	}
	mutex_unlock(&net_config);
	if (!found) {
		capture_free(c);
		return -ENOENT;
	}
	*out = c;
	return 0;
}

void capture_init(void)
{
	spin_init(&captures_lock, "captures", RANK_NET + 2);
}
