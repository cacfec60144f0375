# SPDX-License-Identifier: Apache-2.0
"""The host's TCP/IP as a host unit: sockets of one `Host`, whose only NIC Python connects.

Each Host is a library of its own, so two of them talk like two machines. Blocking calls let time
pass and the wire carry frames until their condition holds."""

import socket
import struct
from collections.abc import Callable
from typing import Any

from tests.unit import cunit, net_unit

IP = "vmkernel/ip"
LWIP = "build/src/lwip/src"
CORE = (
    "init def dns inet_chksum ip mem memp netif pbuf raw stats sys tcp tcp_in tcp_out timeouts udp"
)
CORE4 = "acd dhcp etharp icmp igmp ip4 ip4_addr ip4_frag"
OURS = (
    "cmsg conn core dgram guard ifioctl inet init loop netlink procnet route tcp tcp_data tcp_opt "
    "unreach vmknic"
)
CORE6 = "ethip6 icmp6 inet6 ip6 ip6_addr ip6_frag mld6 nd6"
SOURCES = [
    *(f"{LWIP}/core/{name}.c" for name in CORE.split()),
    *(f"{LWIP}/core/ipv4/{name}.c" for name in CORE4.split()),
    *(f"{LWIP}/core/ipv6/{name}.c" for name in CORE6.split()),
    f"{LWIP}/netif/ethernet.c",
    *(f"{IP}/{name}.c" for name in OURS.split()),
    "vmkernel/fs/cmsg.c",
    "vmkernel/lib/siphash.c",
]

CDEF = """
int t_state(struct socket *s, int state);
void ipstack_init(void);
uint64_t ip_test_round(void);
struct socket *t_socket(unsigned family, unsigned type, unsigned protocol, int *err);
int t_bind(struct socket *s, const void *addr, unsigned len);
int t_connect(struct socket *s, const void *addr, unsigned len, bool nonblock);
int t_listen(struct socket *s, unsigned backlog);
struct socket *t_accept(struct socket *s, bool nonblock, int *err);
long t_send(struct socket *s, const void *data, size_t n, unsigned flags, const void *addr,
            unsigned len);
long t_recv(struct socket *s, void *data, size_t n, unsigned flags, void *addr);
long t_send_control(struct socket *s, const void *addr, unsigned len, const void *control,
                    uint32_t n);
long t_recv_control(struct socket *s, void *control, uint32_t room, unsigned *flags);
int t_shutdown(struct socket *s, int how);
int t_name(struct socket *s, void *addr, bool peer);
int t_option(struct socket *s, int level, int opt, int value);
unsigned t_poll(struct socket *s);
int t_error(struct socket *s);
void t_linger(struct socket *s, int seconds);
void t_close(struct socket *s);
long t_proc(const char *path, char *buf, size_t size);
int vmknic_set_ipv4(const char *, const uint8_t *, const uint8_t *, const uint8_t *);
int vmknic_add_ipv6(const char *, const uint8_t *);
int vmknic_set_dhcp(const char *);
int ip_route_add(bool v6, const uint8_t *dest, unsigned prefix, const uint8_t *gw);
int ip_route_remove(bool v6, const uint8_t *dest, unsigned prefix, const uint8_t *gw);
uint64_t siphash(const uint64_t *key, const void *data, size_t len);
"""

CODE = r"""
#include "ip/conn.h"
#include "vmk/socket.h"
#include "vmk/user.h"
#include "vmk/world.h"
#include "vmk/stat.h"
#include "vmk/random.h"
#include <stdio.h>
static int (*families[AF_MAX])(struct socket *s);
int socket_register(unsigned family, int (*create)(struct socket *s))
{
	families[family] = create;
	return 0;
}
void socket_register_ioctl(long (*interfaces)(unsigned cmd, uva_t arg)) {}
ns_t socket_deadline(ns_t timeout) { return timeout ? time_now() + timeout : NS_NEVER; }
static const struct cred root;
const struct cred *cred_current(void) { return &root; }
struct proc *proc_current(void) { return NULL; }
int proc_pid(const struct proc *p) { return 7; }
int world_create(const struct world_attr *a, struct world **out) { return 0; }
void world_start(struct world *w) {}
void world_put(struct world *w) {}
static uint64_t seed = 88172645463325252ull;
uint64_t random_u64(void)
{
	seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
	return seed;
}
void random_bytes(void *buf, size_t n)
{
	for (uint8_t *b = buf; n--;)
		*b++ = (uint8_t)random_u64();
}
int copy_from_user(void *dst, uva_t src, size_t n) { memcpy(dst, (void *)src, n); return 0; }
int copy_to_user(uva_t dst, const void *src, size_t n) { memcpy((void *)dst, src, n); return 0; }
int uio_read(struct uio *u, void *dst, size_t n)
{
	memcpy(dst, (void *)u->one.base, n);
	uio_advance(u, n);
	return 0;
}
void uio_advance(struct uio *u, size_t n) { u->one.base += n; u->left -= n; }
struct text_buf { char *at; size_t left, len; };
void text_printf(struct text_buf *t, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(t->at + t->len, t->left - t->len, fmt, ap);
	va_end(ap);
	t->len += n;
}
static struct { const char *path; void (*fn)(struct text_buf *, void *); void *arg; } procs[16];
static unsigned nprocs;
int procfs_add(const char *path, void (*fn)(struct text_buf *t, void *arg), void *arg)
{
	procs[nprocs].path = path, procs[nprocs].fn = fn, procs[nprocs++].arg = arg;
	return 0;
}
long t_proc(const char *path, char *buf, size_t size)
{
	struct text_buf t = { buf, size, 0 };
	for (unsigned i = 0; i < nprocs; i++)
		if (strcmp(procs[i].path, path) == 0)
			procs[i].fn(&t, procs[i].arg);
	return t.len;
}
int vfs_symlink(const char *target, const char *path) { return 0; }

static struct socket *fresh(unsigned family, unsigned type, unsigned protocol)
{
	struct socket *s = calloc(1, sizeof(*s));
	s->family = family, s->type = type, s->protocol = protocol;
	s->rcvbuf = s->sndbuf = 212992;
	s->linger = -1;
	waitq_init(&s->wait, "test");
	return s;
}
struct socket *t_socket(unsigned family, unsigned type, unsigned protocol, int *err)
{
	struct socket *s = fresh(family, type, protocol);
	*err = families[family](s);
	if (*err) {
		free(s);
		return NULL;
	}
	return s;
}
static struct sockaddr_any any(const void *addr, unsigned len)
{
	struct sockaddr_any a = { .len = len };
	memcpy(a.bytes, addr, len);
	return a;
}
int t_bind(struct socket *s, const void *addr, unsigned len)
{
	struct sockaddr_any a = any(addr, len);
	return s->ops->bind(s, &a);
}
int t_connect(struct socket *s, const void *addr, unsigned len, bool nonblock)
{
	struct sockaddr_any a = any(addr, len);
	return s->ops->connect(s, &a, nonblock);
}
int t_listen(struct socket *s, unsigned backlog) { return s->ops->listen(s, backlog); }
struct socket *t_accept(struct socket *s, bool nonblock, int *err)
{
	struct socket *f = fresh(s->family, s->type, s->protocol);
	f->ops = s->ops;
	f->rcvbuf = s->rcvbuf, f->sndbuf = s->sndbuf;
	ASSERT(s->listening); /* the socket layer refuses otherwise */
	*err = s->ops->accept(s, f, nonblock);
	if (*err) {
		free(f);
		return NULL;
	}
	return f;
}
long t_send(struct socket *s, const void *data, size_t n, unsigned flags, const void *addr,
            unsigned len)
{
	struct uio u = { .left = n, .one = { (uint64_t)data, n } };
	struct sock_msg m = { .u = &u, .flags = flags };
	if (len)
		m.addr = any(addr, len);
	return s->ops->send(s, &m);
}
long t_recv(struct socket *s, void *data, size_t n, unsigned flags, void *addr)
{
	struct uio u = { .left = n, .one = { (uint64_t)data, n } };
	struct sock_msg m = { .u = &u, .flags = flags };
	long r = s->ops->recv(s, &m);
	memcpy(addr, m.addr.bytes, 28);
	return r;
}
/* One byte with control messages; returns what send does. */
long t_send_control(struct socket *s, const void *addr, unsigned len, const void *control,
                    uint32_t n)
{
	struct uio u = { .left = 1, .one = { (uint64_t)"x", 1 } };
	struct sock_msg m = { .u = &u, .control = (void *)control, .control_len = n };
	m.addr = any(addr, len);
	return s->ops->send(s, &m);
}
/* Only the control messages of what comes: their length. */
long t_recv_control(struct socket *s, void *control, uint32_t room, unsigned *flags)
{
	char data[9];
	struct uio u = { .left = sizeof(data), .one = { (uint64_t)data, sizeof(data) } };
	struct sock_msg m = { .u = &u, .control = control, .control_max = room };
	long r = s->ops->recv(s, &m);
	*flags = m.flags_out;
	return r < 0 ? r : m.control_len;
}
int t_shutdown(struct socket *s, int how) { return s->ops->shutdown(s, how); }
int t_name(struct socket *s, void *addr, bool peer)
{
	struct sockaddr_any a;
	int err = s->ops->getname(s, &a, peer);
	memcpy(addr, a.bytes, 28);
	return err;
}
int t_option(struct socket *s, int level, int opt, int value)
{
	if (level == SOL_SOCKET) { /* the socket layer keeps them */
		if (opt == 2)
			s->reuse_addr = value;
		else
			*(opt == 7 ? &s->sndbuf : &s->rcvbuf) = (uint32_t)value;
		return 0;
	}
	return s->ops->setsockopt(s, level, opt, &value, sizeof(value));
}
unsigned t_poll(struct socket *s) { return s->ops->poll(s); }
int t_error(struct socket *s) { int e = s->error; s->error = 0; return e; }
/* lwIP's state of a connection: a wrong one makes it assert. Returns the one before. */
int t_state(struct socket *s, int state)
{
	struct conn *c = s->priv;
	int was = c->pcb->state;
	c->pcb->state = state;
	return was;
}
void t_linger(struct socket *s, int seconds) { s->linger = seconds; }
void t_close(struct socket *s) { s->ops->release(s); free(s); }
"""


def pack(family: int, address: str, port: int) -> bytes:
    """Linux's sockaddr_in or sockaddr_in6."""
    raw = socket.inet_pton(family, address)
    head = struct.pack("=H", family) + struct.pack(">H", port)
    return head + raw + bytes(8) if family == socket.AF_INET else head + bytes(4) + raw + bytes(4)


def unpack(data: bytes) -> tuple[str, int]:
    (family,) = struct.unpack_from("=H", data)
    (port,) = struct.unpack_from(">H", data, 2)
    if family == socket.AF_INET:
        return socket.inet_ntop(family, data[4:8]), port
    return socket.inet_ntop(family, data[8:24]), port


class Socket:
    """A socket of a Host; errors are OSError as in Python's own."""

    def __init__(self, host: "Host", handle: Any, family: int) -> None:
        self.host, self.handle, self.family = host, handle, family

    def check(self, value: int) -> int:
        if value < 0:
            raise OSError(-value, "socket")
        return value

    def bind(self, address: str, port: int) -> None:
        raw = pack(self.family, address, port)
        self.check(self.host.lib.t_bind(self.handle, raw, len(raw)))

    def connect(self, address: str, port: int, nonblock: bool = False) -> None:
        raw = pack(self.family, address, port)
        self.check(self.host.lib.t_connect(self.handle, raw, len(raw), nonblock))

    def listen(self, backlog: int = 5) -> None:
        self.check(self.host.lib.t_listen(self.handle, backlog))

    def accept(self, nonblock: bool = False) -> "Socket":
        error = self.host.ffi.new("int *")
        handle = self.host.lib.t_accept(self.handle, nonblock, error)
        self.check(error[0])
        return Socket(self.host, handle, self.family)

    def send(self, data: bytes, to: tuple[str, int] | None = None, flags: int = 0) -> int:
        raw = pack(self.family, *to) if to else b""
        return self.check(self.host.lib.t_send(self.handle, data, len(data), flags, raw, len(raw)))

    def recvfrom(self, size: int, flags: int = 0) -> tuple[bytes, tuple[str, int]]:
        buffer, address = self.host.ffi.new("char[]", size + 1), self.host.ffi.new("char[28]")
        n = self.check(self.host.lib.t_recv(self.handle, buffer, size, flags, address))
        source = bytes(self.host.ffi.buffer(address))
        return bytes(self.host.ffi.buffer(buffer, n)), unpack(source) if any(source) else ("", 0)

    def recv(self, size: int, flags: int = 0) -> bytes:
        return self.recvfrom(size, flags)[0]

    def option(self, level: int, option: int, value: int) -> None:
        self.check(self.host.lib.t_option(self.handle, level, option, value))

    def send_control(self, to: tuple[str, int], *messages: tuple[int, int, bytes]) -> None:
        """One byte with control messages (level, type, data)."""
        raw, control = pack(self.family, *to), b""
        for level, kind, data in messages:
            control += struct.pack("=Qii", 16 + len(data), level, kind) + data
            control += bytes(-len(control) % 8)
        n = len(control)
        self.check(self.host.lib.t_send_control(self.handle, raw, len(raw), control, n))

    def recv_control(self, room: int) -> tuple[dict[tuple[int, int], bytes], int]:
        """The control messages of a datagram by level and type, in `room` bytes; the flags."""
        buffer, flags = self.host.ffi.new("char[]", room + 1), self.host.ffi.new("unsigned *")
        n = self.check(self.host.lib.t_recv_control(self.handle, buffer, room, flags))
        raw, out = bytes(self.host.ffi.buffer(buffer, n)), {}
        while len(raw) >= 16:
            size, level, kind = struct.unpack_from("=Qii", raw)
            out[level, kind] = raw[16:size]
            raw = raw[(size + 7) & ~7 :]
        return out, flags[0]

    def name(self, peer: bool = False) -> tuple[str, int]:
        address = self.host.ffi.new("char[28]")
        self.check(self.host.lib.t_name(self.handle, address, peer))
        return unpack(bytes(self.host.ffi.buffer(address)))

    def poll(self) -> int:
        return int(self.host.lib.t_poll(self.handle))

    def close(self) -> None:
        self.host.lib.t_close(self.handle)


class Host:
    """One machine; `wire` is called with every frame that its NIC sends."""

    def __init__(self, name: str) -> None:
        self.unit = cunit.build(
            "ip",
            [*net_unit.SOURCES, *SOURCES],
            headers=[*net_unit.HEADERS, "vmk/socket.h"],
            cdef=net_unit.CDEF + CDEF,
            code=net_unit.CODE + CODE,
            options=[
                "-isystem",
                f"{LWIP}/include",
                "-I",
                IP,
                "-I",
                "vmkernel",
                "-Wno-address",
                "-fno-sanitize=shift",
            ],
        ).copy(name)
        self.ffi, self.lib = self.unit.ffi, self.unit.lib
        self.wire: Callable[[bytes], None] = lambda _frame: None
        self.pump: Callable[[], bool] = self.step
        self.lib.net_init()
        self.callbacks = (
            self.ffi.callback("int(struct uplink *, unsigned, struct pkt *)", self.xmit),
            self.ffi.callback("bool(uint64_t)", lambda _deadline: self.pump()),
        )
        self.nic = self.lib.test_uplink(b"vmnic0", 0, 1500, self.callbacks[0])
        self.mac = bytes([0, 0x0C, 0x29]) + name.encode()[-3:]
        self.ffi.memmove(self.nic.mac, self.mac, 6)
        self.lib.seam_sleep = self.callbacks[1]
        self.lib.ipstack_init()

    def xmit(self, _uplink: Any, _queue: int, pkt: Any) -> int:
        data = self.ffi.new("uint8_t[]", pkt.len)
        assert self.lib.pkt_read(pkt, 0, data, pkt.len)
        self.lib.pkt_done(pkt)
        self.wire(bytes(data))
        return 0

    def receive(self, frame: bytes) -> None:
        piece = max(1600, -(-len(frame) // 20))
        self.lib.test_receive(self.nic, self.lib.test_pkt(frame, len(frame), piece))

    def step(self, ns: int = 1_000_000) -> bool:
        """Lets a millisecond pass and everything run that is due."""
        self.lib.seam_run_bottoms()
        self.lib.seam_run_work()
        self.lib.ip_test_round()
        self.lib.seam_advance(ns)
        return True

    def socket(
        self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM, proto: int = 0
    ) -> Socket:
        error = self.ffi.new("int *")
        handle = self.lib.t_socket(family, kind, proto, error)
        if error[0]:
            raise OSError(-error[0], "socket")
        return Socket(self, handle, family)

    def address(self, own: str, gateway: str = "0.0.0.0") -> None:
        raw = [socket.inet_aton(text) for text in (own, "255.255.255.0", gateway)]
        assert self.lib.vmknic_set_ipv4(b"vmk0", *raw) == 0

    def proc(self, path: str) -> str:
        buffer = self.ffi.new("char[]", 65536)
        n = self.lib.t_proc(path.encode(), buffer, 65536)
        return bytes(self.ffi.buffer(buffer, n)).decode()
