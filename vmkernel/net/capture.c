// SPDX-License-Identifier: Apache-2.0
/*
 * Capture: a file from which a pcap stream is read (LINKTYPE_ETHERNET, nanosecond magic 0xa1b23c4d;
 * spec: draft-ietf-opsawg-pcap). A frame that finds no room in the ring is counted, never waited
 * for.
 */
#include "net.h"
#include "vmk/errno.h"
#include "vmk/file.h"
#include "vmk/mm.h"
#include "vmk/stat.h"
#include "vmk/string.h"
#include "vmk/time.h"
#include "vmk/world.h"

STAT(capture_lost, "net.capture.lost", "frames that captures had no room for");

enum { RING = 1 << 20, PCAP_HEADER = 24, PCAP_RECORD = 16, O_NONBLOCK_ = 04000 };

struct capture {
	struct list link;
	const void *what; /* port or uplink; NULL: gone */
	struct port *port;
	unsigned snap;
	struct spinlock lock; /* head, tail, ring */
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

	list_for_each(c, &captures, link)
		if (c->what == what)
			put_frame(c, p);
	spin_unlock_irq(&captures_lock, flags);
}

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

static ssize_t capture_read(struct file *f, struct uio *u, uint64_t *pos)
{
	struct capture *c = f->priv;

	(void)pos;
	if (load_acquire(&c->tail) == c->head && READ_ONCE(c->what)) {
		if (f->flags & O_NONBLOCK_)
			return -EAGAIN;
		int err = wait_event_interruptible(&c->wait, load_acquire(&c->tail) != c->head ||
		                                                     !READ_ONCE(c->what));

		if (err)
			return err;
	}
	/*
	 * Only readers move head, and pos_lock admits one; the producers leave what is before tail
	 * alone.
	 */
	size_t done = 0, avail = load_acquire(&c->tail) - c->head;

	while (avail && u->left) {
		size_t at = c->head % RING, n = MIN(MIN(avail, RING - at), u->left);

		if (uio_write(u, c->ring + at, n))
			return done ? (ssize_t)done : -EFAULT;
		store_release(&c->head, c->head + n);
		avail -= n;
		done += n;
	}
	return (ssize_t)done;
}

static unsigned capture_poll(struct file *f, struct waitq **q)
{
	struct capture *c = f->priv;

	*q = &c->wait;
	return (load_acquire(&c->tail) != c->head ? FPOLLIN : 0u) |
	       (READ_ONCE(c->what) ? 0u : FPOLLHUP);
}

static void capture_release(struct file *f)
{
	struct capture *c = f->priv;
	uint64_t flags = spin_lock_irq(&captures_lock);

	detach(c);
	list_remove(&c->link);
	spin_unlock_irq(&captures_lock, flags);
	vfree(c->ring);
	kfree(c);
}

static const struct file_ops capture_ops = {
	.name = "capture",
	.read = capture_read,
	.poll = capture_poll,
	.release = capture_release,
};

int capture_open(const char *what, unsigned snap, struct file **out)
{
	uint64_t id;
	struct capture *c = kzalloc(sizeof(*c));

	if (c)
		c->ring = vmalloc(RING);
	if (!c || !c->ring) {
		kfree(c);
		return -ENOMEM;
	}
	c->snap = snap;
	list_init(&c->link);
	spin_init(&c->lock, "capture", RANK_NET + 3);
	waitq_init(&c->wait, "capture");
	int err = file_alloc(&capture_ops, c, 0, out);

	if (err) {
		vfree(c->ring);
		kfree(c);
		return err;
	}
	const uint32_t header[PCAP_HEADER / 4] = { 0xa1b23c4d, 4 << 16 | 2,          0,
		                                   0,          snap ? snap : 262144, 1 };

	put(c, header, sizeof(header));
	mutex_lock(&net_config);
	struct uplink *u = uplink_find(what);
	struct port *p = NULL;

	if (!u && strncmp(what, "port:", 5) == 0 && str_to_u64(what + 5, &id) == 0)
		p = port_find((uint32_t)id);
	uint64_t flags = spin_lock_irq(&captures_lock);

	c->port = p;
	c->what = p ? (void *)p : (void *)u;
	if (p)
		p->taps++;
	else if (u)
		capture_uplinks++;
	list_push_back(&captures, &c->link);
	spin_unlock_irq(&captures_lock, flags);
	mutex_unlock(&net_config);
	if (p || u)
		return 0;
	file_put(*out);
	return -ENOENT;
}

void capture_init(void)
{
	spin_init(&captures_lock, "captures", RANK_NET + 2);
}
