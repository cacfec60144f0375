// SPDX-License-Identifier: Apache-2.0
/*
 * AF_NETLINK, NETLINK_ROUTE: dumps of links, addresses and routes, which is what libc's
 * getaddrinfo, if_nameindex and getifaddrs ask. A request is answered at once into the socket's
 * buffer. Spec: rtnetlink(7), netlink(7).
 */
#include "inet.h"
#include "vmk/errno.h"
#include "vmk/mm.h"
#include "vmk/user.h"

enum { NETLINK_ROUTE = 0, NLMSG_ERROR = 2, NLMSG_DONE = 3, NLM_F_MULTI = 2, NLM_F_DUMP = 0x300 };
enum {
	RTM_NEWLINK = 16,
	RTM_GETLINK = 18,
	RTM_NEWADDR = 20,
	RTM_GETADDR = 22,
	RTM_NEWROUTE = 24,
	RTM_GETROUTE = 26
};
enum {
	IFLA_ADDRESS = 1,
	IFLA_IFNAME = 3,
	IFLA_MTU = 4,
	IFA_ADDRESS = 1,
	IFA_LOCAL = 2,
	IFA_LABEL = 3,
	IFA_BROADCAST = 4,
	RTA_OIF = 4,
	RTA_GATEWAY = 5
};
enum {
	ARPHRD_ETHER = 1,
	ARPHRD_LOOPBACK = 772,
	RT_SCOPE_LINK = 253,
	RT_SCOPE_HOST = 254,
	BUFFER = 16384
};

struct nlmsghdr {
	uint32_t len;
	uint16_t type, flags;
	uint32_t seq, pid;
};
struct nl {
	struct mutex lock;
	uint8_t *buf;
	uint32_t used, read; /* messages in buf; bytes already handed out */
	uint32_t pid;
	bool full; /* something of the answer that is being written found no room */
	unsigned events;
};

static void *put(struct nl *n, size_t size)
{
	size_t room = ALIGN_UP(size, (size_t)4);

	if (n->used + room > BUFFER) {
		n->full = true;
		return NULL;
	}
	void *p = n->buf + n->used;

	/* Padding is sent too: no byte of the heap leaves with it. */
	memset(p, 0, room);
	n->used += (uint32_t)room;
	return p;
}

static uint32_t begin(struct nl *n, uint16_t type, const struct nlmsghdr *req, const void *body,
                      size_t size)
{
	uint32_t at = n->used;
	struct nlmsghdr *h = put(n, sizeof(*h));
	void *b = h ? put(n, size) : NULL;

	if (!b)
		return BUFFER;
	*h = (struct nlmsghdr){
		.type = type, .flags = NLM_F_MULTI, .seq = req->seq, .pid = n->pid
	};
	memcpy(b, body, size);
	return at;
}

static void attribute(struct nl *n, uint16_t type, const void *data, size_t size)
{
	uint16_t *a = put(n, 4 + size);

	if (!a)
		return;
	a[0] = (uint16_t)(4 + size);
	a[1] = type;
	memcpy(a + 2, data, size);
}

static void end(struct nl *n, uint32_t at)
{
	if (at != BUFFER)
		((struct nlmsghdr *)(n->buf + at))->len = n->used - at;
}

static void put_link(struct nl *n, const struct nlmsghdr *req, const struct netif *i)
{
	struct {
		uint8_t family, pad;
		uint16_t type;
		uint32_t index, flags, change;
	} m = { .type = i == &ip_loop ? ARPHRD_LOOPBACK : ARPHRD_ETHER,
		.index = ip_netif_index(i),
		.flags = ip_netif_flags(i),
		.change = 0xffffffff };
	static const uint8_t none[ETH_ALEN];
	const char *name = ip_netif_name(i);
	uint32_t mtu = i->mtu;
	uint32_t at = begin(n, RTM_NEWLINK, req, &m, sizeof(m));

	attribute(n, IFLA_IFNAME, name, strlen(name) + 1);
	attribute(n, IFLA_MTU, &mtu, sizeof(mtu));
	attribute(n, IFLA_ADDRESS, i == &ip_loop ? none : i->hwaddr, ETH_ALEN);
	end(n, at);
}

struct ifaddrmsg {
	uint8_t family, prefix, flags, scope;
	uint32_t index;
};

static void put_addrs(struct nl *n, const struct nlmsghdr *req, const struct netif *i,
                      uint8_t family)
{
	const char *name = ip_netif_name(i);
	uint32_t addr = netif_ip4_addr(i)->addr, mask = netif_ip4_netmask(i)->addr,
		 bcast = addr | ~mask;
	struct ifaddrmsg m = { .index = ip_netif_index(i),
		               .scope = i == &ip_loop ? RT_SCOPE_HOST : 0 };

	/*
	 * Linux gives the peer's address as IFA_ADDRESS, which is the own one but for
	 * point-to-point links.
	 */
	if (addr && (family == AF_UNSPEC || family == AF_INET)) {
		m.family = AF_INET;
		m.prefix = (uint8_t)ip_prefix(mask);
		uint32_t at = begin(n, RTM_NEWADDR, req, &m, sizeof(m));

		attribute(n, IFA_ADDRESS, &addr, 4);
		attribute(n, IFA_LOCAL, &addr, 4);
		if (i != &ip_loop)
			attribute(n, IFA_BROADCAST, &bcast, 4);
		attribute(n, IFA_LABEL, name, strlen(name) + 1);
		end(n, at);
	}
	if (family != AF_UNSPEC && family != AF_INET6)
		return;
	for (int k = 0; k < LWIP_IPV6_NUM_ADDRESSES; k++) {
		if (!ip6_addr_isvalid(netif_ip6_addr_state(i, k)))
			continue;
		m.family = AF_INET6;
		m.prefix = i == &ip_loop ? 128 : 64;
		if (i != &ip_loop)
			m.scope = ip6_addr_islinklocal(netif_ip6_addr(i, k)) ? RT_SCOPE_LINK : 0;
		uint32_t at = begin(n, RTM_NEWADDR, req, &m, sizeof(m));

		attribute(n, IFA_ADDRESS, netif_ip6_addr(i, k)->addr, 16);
		end(n, at);
	}
}

static void put_default_route(struct nl *n, const struct nlmsghdr *req)
{
	struct {
		uint8_t family, dst_len, src_len, tos, table, protocol, scope, type;
		uint32_t flags;
	} m = { .family = AF_INET, .table = 254, .protocol = 4, .type = 1 };

	if (!netif_default || ip4_addr_isany_val(*netif_ip4_gw(netif_default)))
		return;
	uint32_t index = ip_netif_index(netif_default),
		 at = begin(n, RTM_NEWROUTE, req, &m, sizeof(m));

	attribute(n, RTA_GATEWAY, &netif_ip4_gw(netif_default)->addr, 4);
	attribute(n, RTA_OIF, &index, 4);
	end(n, at);
}

/*
 * Appends the whole answer or nothing: -ENOBUFS while what is unread leaves no room. Any answer
 * fits the empty buffer, and a reader never finds a message without an end.
 */
static int answer(struct nl *n, const struct nlmsghdr *req, uint8_t family)
{
	uint32_t start = n->used;
	struct vmknic *nic;
	int32_t err = 0;
	bool dump = (req->flags & NLM_F_DUMP) == NLM_F_DUMP;

	n->full = false;
	mutex_lock(&ip_lock);
	/* Only dumps: libc asks for nothing else. */
	if (dump && req->type == RTM_GETLINK) {
		put_link(n, req, &ip_loop);
		list_for_each(nic, &vmknics, link)
			put_link(n, req, &nic->netif);
	} else if (dump && req->type == RTM_GETADDR) {
		put_addrs(n, req, &ip_loop, family);
		list_for_each(nic, &vmknics, link)
			put_addrs(n, req, &nic->netif, family);
	} else if (dump && req->type == RTM_GETROUTE) {
		put_default_route(n, req);
	} else {
		err = -EOPNOTSUPP;
	}
	mutex_unlock(&ip_lock);
	struct {
		int32_t error;
		struct nlmsghdr req;
	} e = { err, *req };
	uint32_t at = err ? begin(n, NLMSG_ERROR, req, &e, sizeof(e))
	                  : begin(n, NLMSG_DONE, req, &err, sizeof(err));

	end(n, at);
	if (err && at != BUFFER)
		((struct nlmsghdr *)(n->buf + at))->flags = 0;
	if (n->full)
		n->used = start;
	return n->full ? -ENOBUFS : 0;
}

static ssize_t nl_send(struct socket *s, struct sock_msg *m)
{
	struct nl *n = s->priv;
	struct {
		struct nlmsghdr h;
		uint8_t family, rest[3];
	} req = { 0 };
	size_t len = m->u->left;

	if (len < sizeof(req.h) + 1)
		return -EINVAL;
	if (uio_read(m->u, &req, MIN(len, sizeof(req))))
		return -EFAULT;
	/* What follows the header and the family byte only filters, which libc does itself. */
	uio_advance(m->u, m->u->left);
	mutex_lock(&n->lock);
	/* All was read: begin at the front again. Otherwise the answer goes behind what waits. */
	if (n->read == n->used)
		n->read = n->used = 0;
	int err = answer(n, &req.h, req.family);

	store_release(&n->events, n->read < n->used ? FPOLLIN | FPOLLOUT : FPOLLOUT);
	mutex_unlock(&n->lock);
	waitq_wake_all(&s->wait);
	return err ? err : (ssize_t)len;
}

static ssize_t nl_recv(struct socket *s, struct sock_msg *m)
{
	struct nl *n = s->priv;

	for (;;) {
		mutex_lock(&n->lock);
		uint32_t have = n->used - n->read, len = 0;

		/* As many whole messages as fit; one that does not is cut. */
		while (len < have) {
			uint32_t next = ((struct nlmsghdr *)(n->buf + n->read + len))->len;

			if (len && len + next > m->u->left)
				break;
			len += next;
		}
		uint32_t copy = MIN(len, (uint32_t)MIN(m->u->left, (size_t)BUFFER));
		int err = copy && uio_write(m->u, n->buf + n->read, copy) ? -EFAULT : 0;

		if (copy < len)
			m->flags_out |= MSG_TRUNC;
		/*
		 * What did not fit the reader's buffer is lost, as with any datagram (MSG_TRUNC
		 * tells).
		 */
		if (!err && !(m->flags & MSG_PEEK))
			n->read += len;
		store_release(&n->events, n->read < n->used ? FPOLLIN | FPOLLOUT : FPOLLOUT);
		mutex_unlock(&n->lock);
		if (err)
			return err;
		if (len) {
			/* struct sockaddr_nl of the kernel: port 0. */
			memset(&m->addr, 0, sizeof(m->addr));
			m->addr.len = 12;
			m->addr.family = AF_NETLINK;
			return m->flags & MSG_TRUNC ? len : copy;
		}
		if (m->flags & MSG_DONTWAIT)
			return -EAGAIN;
		err = wait_event_intr_until(&s->wait, load_acquire(&n->events) & FPOLLIN,
		                            socket_deadline(s->rcv_timeout));
		if (err)
			return err == -ETIMEDOUT ? -EAGAIN : err;
	}
}

static int nl_bind(struct socket *s, const struct sockaddr_any *a)
{
	struct nl *n = s->priv;
	uint32_t pid;

	if (a->len < 12 || a->family != AF_NETLINK)
		return -EINVAL;
	memcpy(&pid, a->bytes + 4, 4);
	if (pid)
		n->pid = pid;
	return 0;
}

static int nl_getname(struct socket *s, struct sockaddr_any *a, bool peer)
{
	struct nl *n = s->priv;

	memset(a, 0, sizeof(*a));
	a->len = 12;
	a->family = AF_NETLINK;
	if (!peer)
		memcpy(a->bytes + 4, &n->pid, 4);
	return 0;
}

static int nl_setsockopt(struct socket *s, int level, int opt, const void *val, uint32_t len)
{
	(void)s, (void)opt, (void)val, (void)len;
	return level == 270 /* SOL_NETLINK */ ? 0 : -ENOPROTOOPT;
}

static unsigned nl_poll(struct socket *s)
{
	return load_acquire(&((struct nl *)s->priv)->events);
}

static void nl_release(struct socket *s)
{
	struct nl *n = s->priv;

	if (n)
		kfree(n->buf);
	kfree(n);
}

static const struct sock_ops nl_ops = {
	.bind = nl_bind,
	.getname = nl_getname,
	.send = nl_send,
	.recv = nl_recv,
	.setsockopt = nl_setsockopt,
	.poll = nl_poll,
	.release = nl_release,
};

static int nl_create(struct socket *s)
{
	if (s->protocol != NETLINK_ROUTE)
		return -EPROTONOSUPPORT;
	struct nl *n = kzalloc_charged(sizeof(*n));

	if (n)
		n->buf = kmalloc_charged(BUFFER);
	if (!n || !n->buf) {
		kfree(n);
		return -ENOBUFS;
	}
	mutex_init(&n->lock, "netlink");
	n->pid = (uint32_t)proc_pid(proc_current());
	n->events = FPOLLOUT;
	s->priv = n;
	s->ops = &nl_ops;
	return 0;
}

int netlink_register(void)
{
	return socket_register(AF_NETLINK, nl_create);
}
