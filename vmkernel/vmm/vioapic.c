// SPDX-License-Identifier: Apache-2.0
/* A guest's I/O APIC. */
#include "vmm/vioapic.h"
#include "hw/apic.h"
#include "vmk/string.h"

enum { VERSION = 0x20 };

#define RTE_READONLY (RTE_PENDING | RTE_IRR)
#define RTE_WRITABLE (RTE_DEST | BITS(16, 0))

static void service(struct vioapic *io, unsigned pin)
{
	uint64_t e = io->entry[pin];
	struct apic_message m = {
		.dest = (uint32_t)GET(RTE_DEST, e),
		.vector = (uint8_t)GET(RTE_VECTOR, e),
		.mode = (uint8_t)GET(RTE_MODE, e),
		.logical = e & RTE_LOGICAL,
		.level = e & RTE_LEVEL,
	};

	/* A level that was sent waits for its EOI before it is sent again (remote IRR). */
	if ((e & RTE_MASKED) || (m.level && (e & RTE_IRR)))
		return;
	if (m.level)
		io->entry[pin] |= RTE_IRR;
	io->deliver(io, &m);
}

void vioapic_set(struct vioapic *io, unsigned pin, bool level)
{
	uint64_t flags = spin_lock_irq(&io->lock);
	uint32_t bit = 1u << pin;
	bool was = io->lines & bit;

	io->lines = level ? io->lines | bit : io->lines & ~bit;
	/* An edge is seen as it rises; a level is looked at whenever the line is driven. */
	if (level && (!was || (io->entry[pin] & RTE_LEVEL)))
		service(io, pin);
	spin_unlock_irq(&io->lock, flags);
}

static void end_of_interrupt(struct vioapic *io, uint8_t vector)
{
	for (unsigned pin = 0; pin < VIOAPIC_PINS; pin++) {
		uint64_t *e = &io->entry[pin];

		/* Several pins may share a vector: all of them are served by the EOI. */
		if (!(*e & RTE_IRR) || GET(RTE_VECTOR, *e) != vector)
			continue;
		*e &= ~RTE_IRR;
		if (io->lines & (1u << pin))
			service(io, pin);
	}
}

void vioapic_eoi(struct vioapic *io, uint8_t vector)
{
	uint64_t flags = spin_lock_irq(&io->lock);

	end_of_interrupt(io, vector);
	spin_unlock_irq(&io->lock, flags);
}

static uint32_t window_read(const struct vioapic *io)
{
	unsigned i = io->select - IOAPIC_REG_ENTRY;

	switch (io->select) {
	case IOAPIC_REG_ID:
	case IOAPIC_REG_ARBITRATION: return (uint32_t)io->id << 24;
	case IOAPIC_REG_VERSION:
		return (uint32_t)(VERSION | PUT(IOAPIC_VERSION_LAST, VIOAPIC_PINS - 1));
	default: return i / 2 < VIOAPIC_PINS ? (uint32_t)(io->entry[i / 2] >> (i & 1 ? 32 : 0)) : 0;
	}
}

static void window_write(struct vioapic *io, uint32_t v)
{
	unsigned i = io->select - IOAPIC_REG_ENTRY, pin = i / 2;
	uint64_t *e, mask;

	if (io->select == IOAPIC_REG_ID)
		io->id = (v >> 24) & 0xf;
	if (io->select < IOAPIC_REG_ENTRY || pin >= VIOAPIC_PINS)
		return;
	e = &io->entry[pin];
	mask = i & 1 ? BITS(63, 32) : BITS(31, 0);
	*e = (*e & ~(mask & RTE_WRITABLE & ~RTE_READONLY)) |
	     ((i & 1 ? (uint64_t)v << 32 : v) & mask & RTE_WRITABLE & ~RTE_READONLY);
	/* Switching a pin to edge forgets what it waits for; software clears a stuck IRR so. */
	if (!(*e & RTE_LEVEL))
		*e &= ~RTE_IRR;
	else if (io->lines & (1u << pin))
		service(io, pin);
}

static uint64_t mmio_read(struct io_range *r, uint64_t off, unsigned size)
{
	struct vioapic *io = r->dev;
	uint64_t flags = spin_lock_irq(&io->lock);
	uint32_t v = 0;

	if ((off & ~3ull) == IOAPIC_SELECT)
		v = io->select;
	else if ((off & ~3ull) == IOAPIC_WINDOW)
		v = window_read(io);
	spin_unlock_irq(&io->lock, flags);
	return v >> (8 * (off & 3));
}

static void mmio_write(struct io_range *r, uint64_t off, unsigned size, uint64_t v)
{
	struct vioapic *io = r->dev;
	uint64_t flags = spin_lock_irq(&io->lock);

	if (off == IOAPIC_SELECT)
		io->select = (uint8_t)v;
	else if (off == IOAPIC_WINDOW && size >= 4)
		window_write(io, (uint32_t)v);
	else if (off == IOAPIC_EOI)
		end_of_interrupt(io, (uint8_t)v);
	spin_unlock_irq(&io->lock, flags);
}

int vioapic_init(struct vioapic *io, struct iobus *b,
                 void (*deliver)(struct vioapic *, const struct apic_message *))
{
	static const struct io_ops ops = { mmio_read, mmio_write };

	memset(io, 0, sizeof(*io));
	spin_init(&io->lock, "vioapic", RANK_VLAPIC);
	io->deliver = deliver;
	for (unsigned i = 0; i < VIOAPIC_PINS; i++)
		io->entry[i] = RTE_MASKED;
	io->range =
		(struct io_range){ .ops = &ops, .dev = io, .base = VM_IOAPIC, .len = IOAPIC_SIZE };
	return iobus_add_mmio(b, &io->range);
}
