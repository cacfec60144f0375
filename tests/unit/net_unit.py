# SPDX-License-Identifier: Apache-2.0
"""The virtual switch as a host unit: test ports and NICs whose traffic Python sees.

`World` owns ports and uplinks; frames that reach one of them are collected in `received` as
(name, bytes, vlan tag or None, flags, gso size)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.unit import cunit

SOURCES = [
    f"vmkernel/net/{name}.c"
    for name in ("capture", "config", "deliver", "offload", "port", "team", "vlan", "vswitch")
] + ["vmkernel/ctl/capture_file.c", "vmkernel/lib/string.c"]
HEADERS = ["vmk/vswitch.h", "vmk/file.h", "ctl/capture_file.h", "vmk/mm.h", "vmk/time.h"]

CDEF = """
struct uplink *test_uplink(const char *name, uint32_t caps, unsigned mtu,
                           int (*xmit)(struct uplink *, unsigned, struct pkt *));
void test_link(struct uplink *u, bool up);
void test_receive(struct uplink *u, struct pkt *p);
void test_unplug(struct uplink *u);
struct pkt *test_pkt(const void *data, uint32_t len, uint32_t piece);
int64_t test_read(struct file *f, void *buf, size_t n);
void test_close(struct file *f);
extern uint64_t test_pkts_live;
"""

CODE = r"""
#include "vmk/errno.h"
#include "vmk/string.h"
#include "vmk/uio.h"
#include <stdlib.h>
#include "seam.h"
#include "vmk/log.h"
uint64_t test_pkts_live;

/* Machine addresses are pointers here, so that ASan sees every access through a scatter list. */
void *pa_to_va(pa_t pa) { return (void *)pa; }
pa_t va_to_pa(const void *va) { return (pa_t)va; }

static void test_pkt_release(struct pkt *p)
{
	for (unsigned i = 0; i < p->sg_count; i++)
		free((void *)p->sg[i].pa);
	free(p);
	test_pkts_live--;
}
/* Each piece is an allocation of its own: a read past a piece is an error. */
struct pkt *test_pkt(const void *data, uint32_t len, uint32_t piece)
{
	struct pkt *p = calloc(1, sizeof(*p));
	p->refs = 1;
	p->len = len;
	p->release = test_pkt_release;
	for (uint32_t off = 0; off < len; off += piece) {
		uint32_t n = MIN(piece, len - off);
		void *m = malloc(n);
		if (data)
			memcpy(m, (const char *)data + off, n);
		p->sg[p->sg_count++] = (struct sg){ .pa = (pa_t)m, .len = n };
	}
	test_pkts_live++;
	return p;
}
struct pkt *pkt_alloc(uint32_t len) { return test_pkt(NULL, len, MAX(4096u, len / 16 + 1)); }
void pkt_get(struct pkt *p) { p->refs++; }
void pkt_done(struct pkt *p)
{
	ASSERT(p->refs);
	if (--p->refs == 0)
		p->release(p);
}
static bool test_copy(const struct pkt *p, uint32_t off, void *b, uint32_t len, bool out)
{
	if (off > p->len || len > p->len - off)
		return false;
	char *at = b;
	for (unsigned i = 0; i < p->sg_count && len; i++) {
		if (off >= p->sg[i].len) {
			off -= p->sg[i].len;
			continue;
		}
		uint32_t n = MIN(len, p->sg[i].len - off);
		char *m = (char *)p->sg[i].pa + off;
		memcpy(out ? at : m, out ? m : at, n);
		at += n;
		len -= n;
		off = 0;
	}
	return true;
}
bool pkt_read(const struct pkt *p, uint32_t off, void *dst, uint32_t len)
{
	return test_copy(p, off, dst, len, true);
}
bool pkt_write(struct pkt *p, uint32_t off, const void *src, uint32_t len)
{
	return test_copy(p, off, (void *)src, len, false);
}

static struct list nics = LIST_INIT(nics);
struct uplink *uplink_find(const char *name)
{
	struct uplink *u;
	list_for_each(u, &nics, link)
		if (strcmp(u->name, name) == 0)
			return u;
	return NULL;
}
static void (*nic_added)(struct uplink *), (*nic_removed)(struct uplink *);
void uplink_watch(void (*added)(struct uplink *), void (*removed)(struct uplink *))
{
	nic_added = added;
	nic_removed = removed;
}
void uplink_for_each(void (*fn)(struct uplink *, void *), void *arg)
{
	struct uplink *u;
	list_for_each(u, &nics, link)
		fn(u, arg);
}
static int test_mtu(struct uplink *u, unsigned mtu) { u->mtu = mtu; return 0; }
static int test_up(struct uplink *u, bool up) { return 0; }
struct uplink *test_uplink(const char *name, uint32_t caps, unsigned mtu,
                           int (*xmit)(struct uplink *, unsigned, struct pkt *))
{
	struct uplink_ops *ops = calloc(1, sizeof(*ops));
	struct uplink *u = calloc(1, sizeof(*u));
	*ops = (struct uplink_ops){ .xmit = xmit, .set_mtu = test_mtu, .set_up = test_up };
	u->ops = ops;
	u->caps = caps;
	u->mtu = u->mtu_max = mtu;
	u->tx_queues = 1;
	u->link_up = true;
	str_copy(u->name, name, sizeof(u->name));
	list_push_back(&nics, &u->link);
	nic_added(u);
	return u;
}
void test_link(struct uplink *u, bool up)
{
	u->link_up = up;
	if (u->link_changed)
		u->link_changed(u);
	seam_run_work();
}
void test_receive(struct uplink *u, struct pkt *p) { u->rx(u, p); }
void test_unplug(struct uplink *u)
{
	list_remove(&u->link);
	nic_removed(u);
	free((void *)u->ops);
	free(u);
}

int file_alloc(const struct file_ops *ops, void *priv, uint32_t flags, struct file **out)
{
	*out = calloc(1, sizeof(**out));
	(*out)->ops = ops;
	(*out)->priv = priv;
	(*out)->flags = flags;
	return 0;
}
void file_put(struct file *f) { f->ops->release(f); free(f); }
int uio_write(struct uio *u, const void *src, size_t n)
{
	memcpy((void *)u->one.base, src, n);
	u->one.base += n;
	u->left -= n;
	return 0;
}
int64_t test_read(struct file *f, void *buf, size_t n)
{
	struct uio u = { .left = n, .one = { (uint64_t)buf, n } };
	uint64_t pos = 0;
	f->flags |= 04000;
	return f->ops->read(f, &u, &pos);
}
void test_close(struct file *f) { file_put(f); }
"""


@dataclass(frozen=True, slots=True)
class Frame:
    """A packet that a port or an uplink was given."""

    where: str
    data: bytes
    vlan: int | None
    flags: int
    gso: int


class World:
    """Ports and NICs around the switch of one unit; leaving the `with` returns everything."""

    def __init__(self, unit: cunit.Unit) -> None:
        self.unit, self.ffi, self.lib = unit, unit.ffi, unit.lib
        self.received: list[Frame] = []
        self.ports: dict[str, Any] = {}
        self.nics: dict[str, Any] = {}
        self.full: set[str] = set()
        self.groups: list[str] = []
        self.keep: list[object] = []
        self.start = (self.lib.test_pkts_live, self.lib.seam_heap_live)

    def take(self, where: str, pkt: Any) -> None:
        data = self.ffi.new("uint8_t[]", pkt.len)
        assert self.lib.pkt_read(pkt, 0, data, pkt.len)
        tag = pkt.vlan_tci if pkt.flags & self.lib.PKT_VLAN else None
        frame = Frame(where, bytes(data), tag, pkt.flags, pkt.gso_size)
        self.received.append(frame)
        self.lib.pkt_done(pkt)

    def nic(self, name: str, caps: int = 0, mtu: int = 9000) -> Any:
        def xmit(_uplink: Any, _queue: int, pkt: Any) -> int:
            if name in self.full:
                return -16
            self.take(name, pkt)
            return 0

        callback = self.ffi.callback("int(struct uplink *, unsigned, struct pkt *)", xmit)
        self.keep.append(callback)
        nic = self.lib.test_uplink(name.encode(), caps, mtu, callback)
        self.nics[name] = nic
        return nic

    def port(self, name: str, group: str, mac: bytes, caps: int = 0) -> Any:
        def deliver(_arg: Any, pkt: Any) -> int:
            if name in self.full:
                self.lib.pkt_done(pkt)
                return -105
            self.take(name, pkt)
            return 0

        callback = self.ffi.callback("int(void *, struct pkt *)", deliver)
        ops = self.ffi.new("struct port_ops *", {"deliver": callback})
        strings = self.ffi.new("char[]", name.encode()), self.ffi.new("char[]", group.encode())
        attr = self.ffi.new("struct port_attr *")
        attr.client, attr.group, attr.ops, attr.caps = *strings, ops, caps
        self.ffi.memmove(attr.mac, mac, 6)
        out = self.ffi.new("struct port **")
        error = self.lib.port_open(attr, out)
        if error:
            raise OSError(-error, "port_open")
        self.keep += [callback, ops, *strings]
        self.ports[name] = out[0]
        return out[0]

    def packet(self, data: bytes, piece: int = 1000, **fields: int) -> Any:
        pkt = self.lib.test_pkt(data, len(data), max(piece, -(-len(data) // 20)))
        for field, value in fields.items():
            setattr(pkt, field, value)
        return pkt

    def send(self, name: str, data: bytes, piece: int = 1000, **fields: int) -> list[Frame]:
        """What arrives anywhere when a port (or a NIC, from outside) brings a frame."""
        pkt = self.packet(data, piece, **fields)
        if name in self.nics:
            self.lib.test_receive(self.nics[name], pkt)
        else:
            self.lib.port_send(self.ports[name], pkt)
        return self.drain()

    def drain(self) -> list[Frame]:
        self.lib.seam_run_bottoms()
        got, self.received = self.received, []
        return got

    def group(self, name: str, vlan: int, policy: Sequence[bool]) -> None:
        """A port group with its own policy: promiscuous, MAC changes, forged."""
        assert self.lib.portgroup_add(b"vSwitch0", name.encode()) == 0
        self.groups.append(name)
        assert self.lib.portgroup_set_vlan(name.encode(), vlan) == 0
        own = self.ffi.new("struct net_policy *", [*policy, [False] * 3])
        assert self.lib.portgroup_policy_set(name.encode(), own) == 0

    def __enter__(self) -> "World":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        for port in self.ports.values():
            self.lib.port_close(port)
        for nic in self.nics.values():
            self.lib.test_unplug(nic)
        for group in self.groups:
            assert self.lib.portgroup_remove(b"vSwitch0", group.encode()) == 0
        if kind is None:
            assert (self.lib.test_pkts_live, self.lib.seam_heap_live) == self.start


def build(name: str, sources: Sequence[str] = (), code: str = "", cdef: str = "") -> cunit.Unit:
    """The switch with the default configuration of a fresh host."""
    unit = cunit.build(
        name, [*SOURCES, *sources], headers=HEADERS, cdef=CDEF + cdef, code=CODE + code
    )
    unit.lib.net_init()
    return unit
