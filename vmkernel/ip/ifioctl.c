// SPDX-License-Identifier: Apache-2.0
/*
 * Interfaces as Linux's ioctls show and change them: what ifconfig, route and if_nameindex use.
 * Spec: netdevice(7), struct ifreq (40 bytes) and rtentry of linux/if.h and linux/route.h.
 */
#include "inet.h"
#include "guard.h"
#include "lwip/ip4_addr.h"
#include "vmk/errno.h"
#include "vmk/user.h"

enum {
	IFF_UP = 1,
	IFF_BROADCAST = 2,
	IFF_LOOPBACK = 8,
	IFF_RUNNING = 0x40,
	IFF_MULTICAST = 0x1000
};
enum { ARPHRD_ETHER = 1, ARPHRD_LOOPBACK = 772, RTF_GATEWAY = 2 };

struct sockaddr4 {
	uint16_t family, port;
	uint32_t addr;
	uint8_t zero[8];
};
struct ifreq {
	char name[16];
	union {
		struct sockaddr4 addr;
		uint8_t bytes[24];
		int32_t number;
		int16_t flags;
		struct {
			uint16_t family;
			uint8_t mac[14];
		} hw;
	};
};
ASSERT_SIZE(struct ifreq, 40);
struct rtentry {
	uint64_t pad1;
	struct sockaddr4 dest, gateway, mask;
	uint16_t flags;
	int16_t pad2;
	uint64_t pad3;
	uint64_t pad4;
	int16_t metric;
	uint64_t dev, mtu, window;
	uint16_t irtt;
};
ASSERT_SIZE(struct rtentry, 120);

struct netif *ip_netif_by_index(unsigned index)
{
	struct vmknic *nic;

	if (index == 1)
		return &ip_loop;
	list_for_each(nic, &vmknics, link)
		if (nic->index == index)
			return &nic->netif;
	return NULL;
}

static struct netif *netif_by_name(const char *name)
{
	struct vmknic *nic = vmknic_find(name);

	return nic ? &nic->netif : strcmp(name, "lo") == 0 ? &ip_loop : NULL;
}

unsigned ip_netif_index(const struct netif *n)
{
	const struct vmknic *nic = vmknic_of(n);

	return nic ? nic->index : 1;
}

const char *ip_netif_name(const struct netif *n)
{
	const struct vmknic *nic = vmknic_of(n);

	return nic ? nic->name : "lo";
}

unsigned ip_netif_flags(const struct netif *n)
{
	unsigned f = netif_is_up(n) ? IFF_UP : 0;

	f |= netif_is_link_up(n) ? IFF_RUNNING : 0;
	return f | (n == &ip_loop ? IFF_LOOPBACK : IFF_BROADCAST | IFF_MULTICAST);
}

static void put4(struct ifreq *r, uint32_t addr)
{
	r->addr = (struct sockaddr4){ .family = AF_INET, .addr = addr };
}

static int get(const struct netif *n, unsigned cmd, struct ifreq *r)
{
	uint32_t addr = netif_ip4_addr(n)->addr, mask = netif_ip4_netmask(n)->addr;

	memset(r->bytes, 0, sizeof(r->bytes));
	switch (cmd) {
	case 0x8913: /* SIOCGIFFLAGS */ r->flags = (int16_t)ip_netif_flags(n); return 0;
	case 0x8915: /* SIOCGIFADDR */
	case 0x8917: /* SIOCGIFDSTADDR */ put4(r, addr); return addr ? 0 : -EADDRNOTAVAIL;
	case 0x8919: /* SIOCGIFBRDADDR */
		put4(r, n == &ip_loop ? 0 : addr | ~mask);
		return addr ? 0 : -EADDRNOTAVAIL;
	case 0x891b: /* SIOCGIFNETMASK */ put4(r, mask); return addr ? 0 : -EADDRNOTAVAIL;
	case 0x891d: /* SIOCGIFMETRIC */
	case 0x8970: /* SIOCGIFMAP */ return 0;
	case 0x8921: /* SIOCGIFMTU */ r->number = n->mtu; return 0;
	case 0x8927: /* SIOCGIFHWADDR */
		r->hw.family = n == &ip_loop ? ARPHRD_LOOPBACK : ARPHRD_ETHER;
		memcpy(r->hw.mac, n->hwaddr, n->hwaddr_len);
		return 0;
	case 0x8933: /* SIOCGIFINDEX */ r->number = (int32_t)ip_netif_index(n); return 0;
	case 0x8942: /* SIOCGIFTXQLEN */ r->number = 1000; return 0;
	}
	return -ENOTTY;
}

/* SIOCSIFADDR and SIOCSIFNETMASK; the other two settings stay. */
static int set(const char *name, unsigned cmd, const struct ifreq *r)
{
	enum { SIFFLAGS = 0x8914, SIFADDR = 0x8916, SIFBRDADDR = 0x891a, SIFNETMASK = 0x891c };
	uint8_t addr[4], mask[4], gw[4];

	if (cred_current()->euid != 0)
		return -EPERM;
	if (cmd == SIFBRDADDR)
		return 0; /* follows from the mask */
	mutex_lock(&ip_lock);
	struct netif *n = netif_by_name(name);

	if (n) {
		memcpy(addr, &netif_ip4_addr(n)->addr, 4);
		memcpy(mask, &netif_ip4_netmask(n)->addr, 4);
		memcpy(gw, &netif_ip4_gw(n)->addr, 4);
	}
	if (n && cmd == SIFFLAGS) {
		if (r->flags & IFF_UP)
			ip_netif_set_up(n);
		else
			ip_netif_set_down(n);
	}
	mutex_unlock(&ip_lock);
	if (!n || cmd == SIFFLAGS)
		return n ? 0 : -ENODEV;
	if (cmd == SIFADDR) {
		memcpy(addr, &r->addr.addr, 4);
		if (mask[0] == 0)
			memcpy(mask, "\xff\xff\xff", 4);
	} else if (cmd == SIFNETMASK) {
		memcpy(mask, &r->addr.addr, 4);
	} else {
		return -ENOTTY;
	}
	return vmknic_set_ipv4(name, addr, mask, gw);
}

static long get_conf(uva_t arg)
{
	struct {
		int32_t len, pad;
		uint64_t buf;
	} conf;
	/* 32 vmk NICs and lo. */
	struct ifreq r[33];
	unsigned n = 0;
	struct vmknic *nic;

	if (copy_from_user(&conf, arg, sizeof(conf)))
		return -EFAULT;
	memset(r, 0, sizeof(r));
	mutex_lock(&ip_lock);
	str_copy(r[0].name, "lo", sizeof(r[0].name));
	(void)get(&ip_loop, 0x8915, &r[n++]);
	list_for_each(nic, &vmknics, link) {
		if (n == ARRAY_SIZE(r) || ip4_addr_isany_val(*netif_ip4_addr(&nic->netif)))
			continue;
		memcpy(r[n].name, nic->name, sizeof(r[n].name));
		(void)get(&nic->netif, 0x8915, &r[n++]);
	}
	mutex_unlock(&ip_lock);
	int32_t want = (int32_t)(n * sizeof(r[0]));

	/*
	 * Without a buffer the caller asks how long one must be; with one only whole entries are
	 * copied.
	 */
	if (conf.buf) {
		conf.len = MIN(want, conf.len - conf.len % (int32_t)sizeof(r[0]));
		if (conf.len < 0 || copy_to_user(conf.buf, r, (size_t)conf.len))
			return conf.len < 0 ? -EINVAL : -EFAULT;
	} else {
		conf.len = want;
	}
	return copy_to_user(arg, &conf, sizeof(conf));
}

static long change_route(uva_t arg, bool add)
{
	struct rtentry rt;
	uint8_t dest[4], gw[4];

	if (cred_current()->euid != 0)
		return -EPERM;
	if (copy_from_user(&rt, arg, sizeof(rt)))
		return -EFAULT;
	if (!(rt.flags & RTF_GATEWAY))
		return -EOPNOTSUPP; /* networks on a link come from the interfaces */
	unsigned prefix = ip_prefix(rt.mask.addr);

	memcpy(dest, &rt.dest.addr, 4);
	memcpy(gw, &rt.gateway.addr, 4);
	return add ? ip_route_add(false, dest, prefix, gw)
	           : ip_route_remove(false, dest, prefix, gw);
}

long inet_ioctl(unsigned cmd, uva_t arg)
{
	struct ifreq r;

	if (cmd == 0x8912) /* SIOCGIFCONF */
		return get_conf(arg);
	if (cmd == 0x890b || cmd == 0x890c) /* SIOCADDRT, SIOCDELRT */
		return change_route(arg, cmd == 0x890b);
	if (cmd < 0x8910 || cmd > 0x8970)
		return -ENOTTY;
	if (copy_from_user(&r, arg, sizeof(r)))
		return -EFAULT;
	/* The caller's name may have no end. */
	r.name[sizeof(r.name) - 1] = 0;
	if (cmd == 0x8914 || cmd == 0x8916 || cmd == 0x891a || cmd == 0x891c)
		return set(r.name, cmd, &r);
	mutex_lock(&ip_lock);
	struct netif *n = cmd == 0x8910 ? ip_netif_by_index((unsigned)r.number)
	                                : netif_by_name(r.name);
	int err = n ? 0 : -ENODEV;

	if (n && cmd == 0x8910) /* SIOCGIFNAME */
		str_copy(r.name, ip_netif_name(n), sizeof(r.name));
	else if (n)
		err = get(n, cmd, &r);
	mutex_unlock(&ip_lock);
	return err ? err : copy_to_user(arg, &r, sizeof(r));
}
