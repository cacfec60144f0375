// SPDX-License-Identifier: Apache-2.0
/*
 * The control server: one world accepts, one world a connection reads frames, runs the operation
 * and answers. A connection's `send` mutex keeps replies and events whole; the list of connections
 * is guarded by `lock`. Events go through one bounded ring, emptied by a work item, so that any
 * context may raise them; a subscriber that does not read loses its connection, never others'
 * events.
 */
#include "ctl/vm_console.h"
#include "abi/vm.h"
#include "dispatch.h"

#include "vmk/boot.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/socket.h"
#include "vmk/stat.h"
#include "vmk/string.h"
#include "vmk/work.h"
#include "vmk/world.h"

#define LOG_MODULE "ctl"
#define CTL_SOCKET "/run/vmkernel.sock"

STAT(connections, "ctl.connections", "connections accepted");
STAT(too_many, "ctl.too_many", "connections refused because too many were open");
STAT(events, "ctl.events", "events raised");
STAT(events_lost, "ctl.events_lost", "events dropped because the ring was full");
STAT(bad_frames, "ctl.bad_frames", "connections closed for a frame that is too long or cut off");

enum { CONNS_MAX = 64, EVENTS_MAX = 256, EVENT_BYTES = 144 };
STATIC_ASSERT(sizeof(struct vm_event) <= EVENT_BYTES);

struct ctl_conn {
	struct list link;
	struct file *sock;
	struct ctl_peer peer;
	struct mutex send;
	bool missed; /* an event came while a reply was on its way: CTL_EVENT says so after it */
	struct ctl_header head;
	uint8_t request[CTL_PAYLOAD_MAX] __aligned(8); /* both hold structures of the ABI */
	uint8_t reply[CTL_PAYLOAD_MAX] __aligned(8);
};

struct event {
	struct ctl_header head;
	uint8_t data[EVENT_BYTES];
};

static struct mutex lock;
static struct list conns;
static unsigned conn_count;

static struct spinlock event_lock = SPINLOCK_INIT("ctl events", RANK_LEAF);
static struct event ring[EVENTS_MAX];
static unsigned ring_head, ring_count;
static struct work event_work;

static int recv_all(struct file *f, void *buf, size_t n)
{
	uint8_t *p = buf;

	while (n) {
		/* 0 is the end of the stream: in the middle of a frame it is an error too. */
		ssize_t got = socket_recv_kernel(f, p, n, true);

		if (got <= 0)
			return got < 0 ? (int)got : -ECONNRESET;
		p += got;
		n -= (size_t)got;
	}
	return 0;
}

/* Header and payload in one message: the descriptors travel with the first byte. */
static int answer(struct ctl_conn *conn, struct ctl_call *c, int status)
{
	struct ctl_header h = { c->reply_len, conn->head.operation, conn->head.sequence, status };
	int err;

	mutex_lock(&conn->send);
	err = socket_send_kernel(conn->sock, &h, sizeof(h), c->fds, c->nfds);
	for (unsigned i = 0; err && i < c->nfds; i++)
		file_put(c->fds[i]); /* the client has gone: they are still ours */
	if (err == 0 && c->reply_len)
		err = socket_send_kernel(conn->sock, conn->reply, c->reply_len, NULL, 0);
	if (err == 0 && __atomic_exchange_n(&conn->missed, false, __ATOMIC_ACQ_REL)) {
		struct ctl_header lost = { .operation = CTL_EVENT };

		err = socket_send_kernel(conn->sock, &lost, sizeof(lost), NULL, 0);
	}
	mutex_unlock(&conn->send);
	return err;
}

static void serve(struct ctl_conn *conn)
{
	for (;;) {
		struct ctl_call c = { .req = conn->request, .reply = conn->reply, .conn = conn };
		enum ctl_verdict verdict;
		int status;

		if (recv_all(conn->sock, &conn->head, sizeof(conn->head)) != 0)
			return;
		/*
		 * Sequence 0 is for events. After a bad header the stream has no place to go on
		 * from.
		 */
		if (!ctl_length_ok(&conn->head) || conn->head.sequence == 0 ||
		    recv_all(conn->sock, conn->request, conn->head.length) != 0) {
			stat_inc(bad_frames);
			return;
		}
		/* Handlers fill what they know: no byte of an earlier reply goes to the client. */
		memset(conn->reply, 0, sizeof(conn->reply));
		verdict = ctl_dispatch(&conn->peer, &conn->head, &c, &status);
		if (answer(conn, &c, status) != 0 || verdict == CTL_CLOSE)
			return;
	}
}

static void conn_main(void *arg)
{
	struct ctl_conn *conn = arg;

	serve(conn);
	mutex_lock(&lock);
	list_remove(&conn->link);
	conn_count--;
	mutex_unlock(&lock);
	/*
	 * Out of the list, so no event is being sent to it: send_events walks the list under the
	 * lock.
	 */
	file_put(conn->sock);
	vfree(conn);
}

static int conn_start(struct file *sock, const struct ucred *peer)
{
	struct ctl_conn *conn = vmalloc(sizeof(*conn));
	struct world_attr attr = {
		.name = "ctl-conn", .kind = WORLD_KERNEL, .cpu = -1, .fn = conn_main, .arg = conn
	};
	struct world *w;
	int err;

	if (!conn)
		return -ENOMEM;
	conn->sock = sock;
	conn->peer.priv = peer->uid == 0 ? CTL_ADMIN : CTL_READ;
	mutex_init(&conn->send, "ctl send");
	err = world_create(&attr, &w);
	if (err) {
		vfree(conn);
		return err;
	}
	/* In the list before it runs: conn_main takes it out. */
	mutex_lock(&lock);
	list_push_back(&conns, &conn->link);
	conn_count++;
	mutex_unlock(&lock);
	world_start(w);
	world_put(w);
	return 0;
}

static void listen_main(void *arg)
{
	struct file *listener = arg;

	for (;;) {
		struct file *sock;
		struct ucred peer;
		/*
		 * Out of memory passes: the socket is the only way to control the host, so this
		 * world never ends.
		 */
		int err = unix_accept_kernel(listener, &sock, &peer);

		if (err) {
			log_warn("accept: error %d", -err);
			world_sleep_until(time_now() + 100 * NS_PER_MS);
			continue;
		}
		stat_inc(connections);
		/*
		 * This world alone adds connections, so the bound holds although others only lower
		 * the count.
		 */
		if (READ_ONCE(conn_count) >= CONNS_MAX) {
			stat_inc(too_many);
			file_put(sock);
		} else if (conn_start(sock, &peer) != 0) {
			file_put(sock);
		}
	}
}

void ctl_event(uint32_t kind, const void *data, uint32_t len)
{
	uint64_t flags = spin_lock_irq(&event_lock);

	stat_inc(events);
	/* Any context: what has no room is dropped and counted, never waited for. */
	if (ring_count == EVENTS_MAX || len > EVENT_BYTES) {
		stat_inc(events_lost);
	} else {
		struct event *e = &ring[(ring_head + ring_count++) % EVENTS_MAX];

		e->head = (struct ctl_header){ .length = len, .operation = kind };
		memcpy(e->data, data, len);
	}
	spin_unlock_irq(&event_lock, flags);
	/*
	 * Outside of the lock, and also when the event was lost: the work may be what makes room.
	 */
	work_queue(&event_work);
}

static bool next_event(struct event *e)
{
	uint64_t flags = spin_lock_irq(&event_lock);
	bool any = ring_count > 0;

	if (any) {
		*e = ring[ring_head];
		ring_head = (ring_head + 1) % EVENTS_MAX;
		ring_count--;
	}
	/* Copied out: sending sleeps, and the ring is a spin lock's. */
	spin_unlock_irq(&event_lock, flags);
	return any;
}

/* Events are small: a socket without room for one belongs to a client that has stopped reading. */
static void send_event(struct ctl_conn *conn, struct event *e)
{
	struct waitq *q;

	/*
	 * Set by the connection's own world and only ever to true: reading it without a lock is
	 * enough.
	 */
	if (!conn->peer.subscribed)
		return;
	/*
	 * A reply is on its way, perhaps blocked: the event may not go into the middle of it, and
	 * others must not wait.
	 */
	if (!mutex_trylock(&conn->send)) {
		store_release(&conn->missed, true);
		return;
	}
	if (!(conn->sock->ops->poll(conn->sock, &q) & FPOLLOUT) ||
	    socket_send_kernel(conn->sock, &e->head, sizeof(e->head) + e->head.length, NULL, 0) !=
	            0)
		socket_shutdown_kernel(conn->sock, SHUT_RDWR);
	mutex_unlock(&conn->send);
}

/* Two workers may be here at once: the lock comes first, so that events leave in their order. */
static void send_events(struct work *w __maybe_unused)
{
	struct ctl_conn *conn;
	struct event e;

	mutex_lock(&lock);
	/* Each event to all before the next one: subscribers see one order. */
	while (next_event(&e))
		list_for_each(conn, &conns, link)
			send_event(conn, &e);
	mutex_unlock(&lock);
}

void ctl_init(void)
{
	struct world_attr attr = {
		.name = "ctl-listen", .kind = WORLD_KERNEL, .cpu = -1, .fn = listen_main
	};
	struct file *listener;
	struct world *w;
	int err;

	ctl_dispatch_init();
	mutex_init(&lock, "ctl connections");
	list_init(&conns);
	work_init(&event_work, send_events);
	/* 0600: root alone connects; hostd, which runs as root, decides about accounts. */
	err = unix_listen_kernel(CTL_SOCKET, 0600, 16, &listener);
	if (err == 0) {
		attr.arg = listener;
		err = world_create(&attr, &w);
	}
	if (err) {
		log_err("%s: error %d: the host has no control socket", CTL_SOCKET, -err);
		return;
	}
	world_start(w);
	world_put(w);
	ctl_vm_init();
	log_info("control socket %s", CTL_SOCKET);
}
