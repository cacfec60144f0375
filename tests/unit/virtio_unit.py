# SPDX-License-Identifier: Apache-2.0
"""The devices that guests see (vdev/virtio), on a bus of their own, with a driver in Python.

Below them are fakes: RAM of 1 MiB, a block device that holds its requests until `finish`, a port
that keeps what is sent, and work that runs one item at a time."""

import struct
from typing import Any

from tests.unit import cunit

SOURCES = [
    *(f"vmkernel/vdev/virtio/{name}.c" for name in ("virtio", "vqueue", "blk", "rng")),
    *(f"vmkernel/vdev/virtio/{name}.c" for name in ("net", "net_control")),
    *("vmkernel/vdev/vpci.c", "vmkernel/vdev/vmsix.c", "vmkernel/vmm/iobus.c"),
]
CODE = """
#include <string.h>
#include "vdev/virtio/net.h"
#include "vmk/blk.h"
#include "vmk/mm.h"
#include "vmk/vdisk.h"
static uint8_t ram[1 << 20];
uint8_t *guest_ram(void) { return ram; }
void *gmem_ptr(struct gmem *g, gpa_t gpa, size_t len)
{
	return gpa < sizeof ram && len <= sizeof ram - gpa ? ram + gpa : NULL;
}
int gmem_read(struct gmem *g, gpa_t gpa, void *dst, size_t len)
{
	void *p = gmem_ptr(g, gpa, len);
	return p ? (memcpy(dst, p, len), 0) : -14;
}
int gmem_write(struct gmem *g, gpa_t gpa, const void *src, size_t len)
{
	void *p = gmem_ptr(g, gpa, len);
	return p ? (memcpy(p, src, len), 0) : -14;
}
int pins;
int gmem_pin(struct gmem *g, gpa_t gpa, size_t len, struct sg *sg, unsigned max)
{
	void *p = gmem_ptr(g, gpa, len);
	if (!max || !p)
		return max ? -14 : -7;
	pins++;
	sg[0] = (struct sg){ .pa = gpa, .len = len };
	return 1;
}
void gmem_unpin(struct gmem *g) { pins--; }

/* Work: counted, so that a test sees who asks for it without end. */
static struct work *works[8];
static unsigned queued;
void work_init(struct work *w, void (*fn)(struct work *)) { w->fn = fn; w->pending = 0; }
void work_queue(struct work *w)
{
	if (w->pending)
		return;
	w->pending = 1;
	works[queued++] = w;
}
unsigned work_run(unsigned max)
{
	unsigned n = 0;
	for (; n < max && queued; n++) {
		struct work *w = works[--queued];
		w->pending = 0;
		w->fn(w);
	}
	return n;
}
void work_flush(struct work *w) { work_run(1000); }

static struct iobus io;

static unsigned messages;
static void set(struct virq *q, bool level) {}
static struct virq line = { set };
static struct vm_config config = { .name = "vm", .cpus = 2 };
struct gmem *vm_gmem(struct vm *vm) { return NULL; }
struct iobus *vm_iobus(struct vm *vm) { return &io; }
const struct vm_config *vm_config(const struct vm *vm) { return &config; }
struct virq *vm_irq(struct vm *vm, unsigned gsi) { return &line; }
void vm_msi(struct vm *vm, uint64_t address, uint32_t data) { messages++; }
void vm_request_end(struct vm *vm, enum vm_state s, uint32_t code, const char *why) {}

static struct blk_dev disk = { .limits = { .blocks = 1 << 20, .block_size = 512 } };
struct blk_dev *blk_find(const char *id) { return &disk; }
int blk_open(struct blk_dev *d, bool write) { return 0; }
void blk_close(struct blk_dev *d, bool write) {}
static struct blk_req *held[4096];
unsigned held_count;
void blk_submit(struct blk_req *r, struct blk_dev *d) { held[held_count++] = r; }
void finish(void)
{
	struct blk_req *r = held[--held_count];
	r->status = 0;
	r->done(r);
}
int vdisk_open(const char *path, unsigned flags, struct vdisk **out) { return -2; }
void vdisk_close(struct vdisk *d) {}
void vdisk_submit(struct vdisk *d, struct vdisk_req *r) {}
const struct blk_limits *vdisk_limits(const struct vdisk *d) { return NULL; }

void random_bytes(void *buf, size_t size) { memset(buf, 7, size); }

/* A port: what is sent stays until `let_go`. */
struct port { int dummy; } the_port;
static struct pkt *sent[4096];
unsigned sent_count;
struct pkt last_sent;
uint8_t port_mac[6];
unsigned port_mtu_value = 1500;
int port_open(const struct port_attr *a, struct port **out) { *out = &the_port; return 0; }
void port_close(struct port *p) {}
bool port_link_up(const struct port *p) { return true; }
void port_set_connected(struct port *p, bool on) {}
void port_set_promisc(struct port *p, bool on) {}
void port_set_caps(struct port *p, uint32_t caps) {}
void port_set_mac(struct port *p, const uint8_t mac[6]) { memcpy(port_mac, mac, 6); }
unsigned port_mtu(const struct port *p) { return port_mtu_value; }
void port_send(struct port *p, struct pkt *pkt) { last_sent = *pkt; sent[sent_count++] = pkt; }
struct pkt *pkt_alloc(uint32_t len) { return NULL; }
bool pkt_read(const struct pkt *p, uint32_t off, void *dst, uint32_t len)
{
	memset(dst, 0, len);
	return true;
}
void pkt_done(struct pkt *p)
{
	if (--p->refs == 0)
		p->release(p);
}
void let_go(void) { pkt_done(sent[--sent_count]); }

static struct vpci_bus bus;
static struct vdev *device;
int device_make(uint32_t kind)
{
	struct vm_device cfg = { .kind = kind, .backend = "x", .queues = 1 };
	int err = iobus_init(&io);

	queued = held_count = sent_count = 0;
	messages = 0;
	memset(ram, 0, sizeof ram);
	if (!err)
		err = vpci_init(&bus, NULL, &io);
	SECTION_FOR_EACH(struct vdev_class, c, vdevs) {
		if (err || c->kind != kind)
			continue;
		err = c->create(NULL, &bus, &cfg, &device);
		if (!err)
			device->class = c;
	}
	return err;
}
void device_stop(void) { device->class->stop(device); }
void device_destroy(void)
{
	device->class->destroy(device);
	iobus_destroy(&io);
}
struct iobus *the_bus(void) { return &io; }
struct virtio *the_device(void) { return container_of(device, struct virtio, vdev); }
"""
CDEF = """
uint8_t *guest_ram(void); unsigned work_run(unsigned max); void finish(void); void let_go(void);
extern int pins; extern unsigned held_count, sent_count, port_mtu_value; extern uint8_t port_mac[6];
extern struct pkt last_sent;
int device_make(uint32_t kind); void device_stop(void); void device_destroy(void);
struct iobus *the_bus(void); struct virtio *the_device(void);
"""
HEADERS = ["vdev/virtio/virtio.h", "vmk/pkt.h", "seam.h"]
BLK, NET, CONSOLE, RNG = range(1, 5)
#: Where vpci gives out the first device's BARs: MSI-X, then the memory BAR at its own size.
PORTS, MEMORY = 0xC000, 0xC000_4000
DESC, AVAIL, USED, DATA = 0x1000, 0x4000, 0x5000, 0x8000
NEXT, WRITE = 1, 2
NEEDS_RESET = 64
RAM = 1 << 20


class Driver:
    """The driver's side of one device, of which one queue of `size` entries is used."""

    def __init__(
        self, unit: cunit.Unit, kind: int, queue: int = 0, size: int = 8, features: int = 0
    ) -> None:
        self.lib, self.ffi, self.queue, self.size = unit.lib, unit.ffi, queue, size
        assert unit.lib.device_make(kind) == 0
        self.ram = unit.ffi.buffer(unit.lib.guest_ram(), RAM)
        self.index = 0
        for at, size_of, value in (
            (0x14, 1, 3), (0x08, 4, 0), (0x0C, 4, features & 0xFFFF_FFFF), (0x08, 4, 1),
            (0x0C, 4, 1), (0x14, 1, 0xB), (0x16, 2, queue), (0x18, 2, size),
            (0x20, 8, DESC), (0x28, 8, AVAIL), (0x30, 8, USED), (0x1C, 2, 1), (0x14, 1, 0xF),
        ):  # fmt: skip
            self.write(at, size_of, value)
        assert self.status() == 0xF

    def write(self, at: int, size: int, value: int) -> None:
        self.lib.iobus_mmio_write(self.lib.the_bus(), MEMORY + at, size, value)

    def status(self) -> int:
        return int(self.lib.iobus_mmio_read(self.lib.the_bus(), MEMORY + 0x14, 1))

    def descriptor(self, n: int, addr: int, length: int, flags: int, following: int = 0) -> None:
        struct.pack_into("<QIHH", self.ram, DESC + 16 * n, addr, length, flags, following)

    def offer(self, head: int) -> None:
        struct.pack_into("<H", self.ram, AVAIL + 4 + 2 * (self.index % self.size), head)
        self.index = (self.index + 1) & 0xFFFF
        struct.pack_into("<H", self.ram, AVAIL + 2, self.index)

    def kick(self) -> None:
        self.lib.iobus_port_write(self.lib.the_bus(), PORTS + 4 * self.queue, 2, 0)

    def used(self) -> int:
        (count,) = struct.unpack_from("<H", self.ram, USED + 2)
        return int(count)

    def end(self) -> None:
        self.lib.device_stop()
        self.lib.device_destroy()


def build(name: str) -> cunit.Unit:
    return cunit.build(name, SOURCES, HEADERS, CDEF, code=CODE)


def inflight(unit: cunit.Unit) -> Any:
    return unit.lib.the_device().inflight
