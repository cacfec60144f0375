// SPDX-License-Identifier: Apache-2.0
/* A guest's PCI bus: configuration space, BARs, INTx. */
#include "vdev/vpci.h"
#include "vmk/errno.h"
#include "vmk/string.h"

enum { PORT_ADDRESS = 0xcf8, PORT_DATA = 4, RESET = 1, RESET_FULL = 6 };
enum {
	VENDOR = 0x00,
	DEVICE = 0x02,
	COMMAND = 0x04,
	STATUS = 0x06,
	REVISION = 0x08,
	CLASS = 0x09,
	BAR0 = 0x10,
	SUBVENDOR = 0x2c,
	SUBDEVICE = 0x2e,
	CAPABILITIES = 0x34,
	LINE = 0x3c,
	PIN = 0x3d,
	FIRST_CAPABILITY = 0x40
};
enum {
	COMMAND_IO = 1,
	COMMAND_MEMORY = 2,
	COMMAND_MASTER = 4,
	COMMAND_INTX_OFF = 0x400,
	STATUS_CAPABILITIES = 0x10,
	STATUS_INTX = 8
};
#define ADDRESS_ENABLE BIT(31)

static uint16_t get16(const struct vpci_dev *d, unsigned off)
{
	return (uint16_t)(d->config[off] | d->config[off + 1] << 8);
}

static void put(struct vpci_dev *d, unsigned off, uint32_t v, unsigned size)
{
	memcpy(d->config + off, &v, size);
}

static uint32_t bar_value(const struct vpci_dev *d, unsigned i)
{
	uint32_t v;

	memcpy(&v, d->config + BAR0 + 4 * i, 4);
	return v & ~(d->bar[i].io ? 3u : 15u);
}

/* Decoding as command and BARs say now; an address in use elsewhere is not decoded. */
static void remap(struct vpci_dev *d)
{
	uint16_t command = get16(d, COMMAND);

	for (unsigned i = 0; i < VPCI_BARS; i++) {
		struct vpci_bar *bar = &d->bar[i];
		bool on = command & (bar->io ? COMMAND_IO : COMMAND_MEMORY);
		uint32_t base = bar_value(d, i);

		/* Most writes of the command register change no decoding. */
		if (!bar->size || (on && bar->range.mapped && bar->range.base == base))
			continue;
		iobus_remove(d->bus->io, &bar->range, bar->io);
		bar->range.base = base;
		bar->range.len = bar->size;
		if (on && base &&
		    (bar->io ? iobus_add_ports(d->bus->io, &bar->range)
		             : iobus_add_mmio(d->bus->io, &bar->range)))
			bar->range.mapped = false;
	}
}

static void intx_update(struct vpci_dev *d)
{
	struct vpci_bus *b = d->bus;
	unsigned line = d->slot % VM_INTX_LINES;
	bool on = (d->config[STATUS] & STATUS_INTX) && !(get16(d, COMMAND) & COMMAND_INTX_OFF);

	b->asserted[line] = on ? b->asserted[line] | 1u << d->slot
	                       : b->asserted[line] & ~(1u << d->slot);
	virq_set(vm_irq(b->vm, VM_INTX_GSI + line), b->asserted[line]);
}

void vpci_set_intx(struct vpci_dev *d, bool level)
{
	uint64_t flags = spin_lock_irq(&d->bus->lock);

	d->config[STATUS] = level ? d->config[STATUS] | STATUS_INTX
	                          : d->config[STATUS] & ~STATUS_INTX;
	intx_update(d);
	spin_unlock_irq(&d->bus->lock, flags);
}

static uint32_t config_read(struct vpci_bus *b, unsigned slot, unsigned off, unsigned size)
{
	struct vpci_dev *d = b->slot[slot];
	uint32_t v = 0;

	if (!d)
		return ~0u;
	/* ECAM reaches 4 KiB; extended capabilities there are none. */
	if (off + size > VPCI_CONFIG)
		return 0;
	memcpy(&v, d->config + off, size);
	return v;
}

static void config_write(struct vpci_bus *b, unsigned slot, unsigned off, unsigned size, uint32_t v)
{
	struct vpci_dev *d = b->slot[slot];

	if (!d || off + size > VPCI_CONFIG)
		return;
	/* Byte by byte through the mask of bits that software may write. */
	for (unsigned i = 0; i < size; i++) {
		uint8_t w = d->writable[off + i];

		d->config[off + i] = (d->config[off + i] & ~w) | ((uint8_t)(v >> (8 * i)) & w);
	}
	/* The command register or a BAR: what is decoded where may have changed. */
	if (off < BAR0 + 4 * VPCI_BARS) {
		remap(d);
		if (off <= COMMAND + 1)
			intx_update(d);
	}
	/* Message control is the third and fourth byte of the capability. */
	if (d->msix.count && off <= d->msix.capability + 3u && off + size > d->msix.capability + 2u)
		vmsix_control(d);
}

/* Ports CF8h to CFFh: the address, the reset register in its second byte, the data. */
static uint64_t port_read(struct io_range *r, uint64_t off, unsigned size)
{
	struct vpci_bus *b = r->dev;
	uint64_t flags = spin_lock_irq(&b->lock);
	/* What names no function of bus 0 reads as all ones, as a bus without answer. */
	uint32_t a = b->address, v = ~0u;

	if (off < PORT_DATA)
		v = size == 4 ? a : 0;
	else if ((a & ADDRESS_ENABLE) && !(a >> 16 & 0xff) && !(a >> 8 & 7))
		v = config_read(b, a >> 11 & 31, (a & 0xfc) + (off & 3), size);
	spin_unlock_irq(&b->lock, flags);
	return v;
}

static void port_write(struct io_range *r, uint64_t off, unsigned size, uint64_t v)
{
	struct vpci_bus *b = r->dev;
	uint64_t flags = spin_lock_irq(&b->lock);
	uint32_t a = b->address;

	if (off == 0 && size == 4)
		b->address = (uint32_t)v;
	else if (off == RESET && size == 1 && (v & RESET_FULL) == RESET_FULL)
		vm_request_end(b->vm, VM_RESETTING, 0, "the guest wrote the reset register");
	else if (off >= PORT_DATA && (a & ADDRESS_ENABLE) && !(a >> 16 & 0xff) && !(a >> 8 & 7))
		config_write(b, a >> 11 & 31, (a & 0xfc) + (off & 3), size, (uint32_t)v);
	spin_unlock_irq(&b->lock, flags);
}

/* ECAM: bits 19-15 the device, 14-12 the function, 11-0 the register. */
static bool ecam_target(uint64_t off, unsigned size, unsigned *slot, unsigned *reg)
{
	/* Only function 0 exists, and no device has registers of 8 bytes. */
	*slot = off >> 15 & 31;
	*reg = off & 0xfff;
	return !(off >> 12 & 7) && size <= 4;
}

static uint64_t ecam_read(struct io_range *r, uint64_t off, unsigned size)
{
	struct vpci_bus *b = r->dev;
	unsigned slot, reg;
	uint64_t flags, v;

	if (!ecam_target(off, size, &slot, &reg))
		return ~0ull;
	flags = spin_lock_irq(&b->lock);
	v = config_read(b, slot, reg, size);
	spin_unlock_irq(&b->lock, flags);
	return v;
}

static void ecam_write(struct io_range *r, uint64_t off, unsigned size, uint64_t v)
{
	struct vpci_bus *b = r->dev;
	unsigned slot, reg;
	uint64_t flags;

	if (!ecam_target(off, size, &slot, &reg))
		return;
	flags = spin_lock_irq(&b->lock);
	config_write(b, slot, reg, size, (uint32_t)v);
	spin_unlock_irq(&b->lock, flags);
}

void vpci_dev_init(struct vpci_dev *d, const struct vpci_id *id, bool intx)
{
	memset(d, 0, sizeof(*d));
	spin_init(&d->msix_lock, "vmsix", RANK_VDEV + 2);
	put(d, VENDOR, id->vendor, 2);
	put(d, DEVICE, id->device, 2);
	put(d, REVISION, id->revision, 1);
	put(d, CLASS, id->class_code, 3);
	put(d, SUBVENDOR, id->subvendor, 2);
	put(d, SUBDEVICE, id->subdevice, 2);
	put(d, PIN, intx, 1);
	d->writable[COMMAND] = COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER;
	d->writable[COMMAND + 1] = COMMAND_INTX_OFF >> 8;
	d->writable[LINE] = 0xff;
	d->capability_end = FIRST_CAPABILITY;
}

void vpci_bar(struct vpci_dev *d, unsigned index, bool io, uint32_t size, const struct io_ops *ops,
              void *dev)
{
	uint32_t mask = ~(size - 1);

	d->bar[index] =
		(struct vpci_bar){ .size = size, .io = io, .range = { .ops = ops, .dev = dev } };
	/* Writing all ones gives the size back, for the bits below it are not writable. */
	put(d, BAR0 + 4 * index, io, 4);
	memcpy(d->writable + BAR0 + 4 * index, &mask, 4);
}

uint8_t vpci_capability(struct vpci_dev *d, uint8_t id, unsigned length)
{
	uint8_t at = d->capability_end;

	put(d, at, id | (uint32_t)d->config[CAPABILITIES] << 8, 2);
	put(d, CAPABILITIES, at, 1);
	d->config[STATUS] |= STATUS_CAPABILITIES;
	d->capability_end = (uint8_t)ALIGN_UP(at + length, 4u);
	return at;
}

/* Addresses in the windows that the DSDT names, decoding on. */
static void assign(struct vpci_bus *b, struct vpci_dev *d)
{
	for (unsigned i = 0; i < VPCI_BARS; i++) {
		const struct vpci_bar *bar = &d->bar[i];

		if (!bar->size)
			continue;
		if (bar->io) {
			/*
			 * Sizes are powers of two, and a BAR lies at a multiple of its size. 28
			 * devices fit into either window many times over.
			 */
			b->next_io = (uint16_t)ALIGN_UP(b->next_io, bar->size);
			put(d, BAR0 + 4 * i, b->next_io | 1, 4);
			b->next_io += (uint16_t)bar->size;
		} else {
			b->next_mem = ALIGN_UP(b->next_mem, bar->size);
			put(d, BAR0 + 4 * i, b->next_mem, 4);
			b->next_mem += bar->size;
		}
	}
	d->config[COMMAND] = COMMAND_IO | COMMAND_MEMORY;
	d->config[LINE] = (uint8_t)(VM_INTX_GSI + d->slot % VM_INTX_LINES);
	remap(d);
}

int vpci_add(struct vpci_bus *b, struct vpci_dev *d, unsigned slot)
{
	uint64_t flags = spin_lock_irq(&b->lock);
	bool any = !slot;
	int err = 0;

	for (slot = any ? 1 : slot; any && slot < VM_PCI_SLOTS && b->slot[slot]; slot++)
		;
	if (slot >= VM_PCI_SLOTS) {
		err = -ENOSPC;
	} else if (b->slot[slot]) {
		err = -EBUSY;
	} else {
		b->slot[slot] = d;
		d->slot = (uint8_t)slot;
		d->bus = b;
		assign(b, d);
	}
	spin_unlock_irq(&b->lock, flags);
	return err;
}

void vpci_remove(struct vpci_dev *d)
{
	struct vpci_bus *b = d->bus;
	uint64_t flags = spin_lock_irq(&b->lock);

	b->slot[d->slot] = NULL;
	for (unsigned i = 0; i < VPCI_BARS; i++)
		iobus_remove(b->io, &d->bar[i].range, d->bar[i].io);
	spin_unlock_irq(&b->lock, flags);
}

int vpci_init(struct vpci_bus *b, struct vm *vm, struct iobus *io)
{
	static const struct io_ops port_ops = { port_read, port_write };
	static const struct io_ops ecam_ops = { ecam_read, ecam_write };
	/* What Linux and firmware know as the host bridge of QEMU's q35. */
	static const struct vpci_id host = { 0x8086, 0x29c0, 0x1af4, 0x1100, 0x060000, 0 };
	int err;

	memset(b, 0, sizeof(*b));
	spin_init(&b->lock, "vpci", RANK_VDEV + 1);
	b->vm = vm;
	b->io = io;
	b->next_mem = VM_PCI_MEM;
	b->next_io = VM_PCI_IO;
	vpci_dev_init(&b->host, &host, false);
	b->slot[0] = &b->host;
	b->host.bus = b;
	b->ports = (struct io_range){ .ops = &port_ops, .dev = b, .base = PORT_ADDRESS, .len = 8 };
	b->ecam = (struct io_range){
		.ops = &ecam_ops, .dev = b, .base = VM_ECAM, .len = VM_ECAM_SIZE
	};
	err = iobus_add_ports(io, &b->ports);
	return err ? err : iobus_add_mmio(io, &b->ecam);
}
