// SPDX-License-Identifier: Apache-2.0
/*
 * I/O APIC. ioapic_lock guards the index/data register pairs. Spec: Intel 82093AA data sheet, 3;
 * the 8259s: Intel 8259A data sheet.
 */
#include "x86/ioapic.h"
#include "acpi/acpi.h"
#include "hw/apic.h"
#include "vmk/io.h"
#include "vmk/lock.h"
#include "vmk/log.h"
#include "x86/paging.h"

#define LOG_MODULE "ioapic"

enum { IOAPIC_USED = 0x20 }; /* of its page */
enum { PIC_MASTER = 0x20, PIC_SLAVE = 0xa0, PIC_VECTOR = 0x20 };
#define PIC_ICW1 0x11 /* edge, cascade, ICW4 */
#define PIC_ICW4 0x01 /* 8086 mode */

static struct ioapic {
	char *registers;
	uint32_t first, last; /* GSIs */
} ioapic[ACPI_IOAPICS_MAX];
static unsigned ioapics;
static struct spinlock ioapic_lock = SPINLOCK_INIT("ioapic", RANK_LEAF);

static uint32_t io_read(const struct ioapic *io, unsigned reg)
{
	mmio_write32(io->registers + IOAPIC_SELECT, reg);
	return mmio_read32(io->registers + IOAPIC_WINDOW);
}

static void io_write(const struct ioapic *io, unsigned reg, uint64_t v)
{
	mmio_write32(io->registers + IOAPIC_SELECT, reg);
	mmio_write32(io->registers + IOAPIC_WINDOW, (uint32_t)v);
}

static const struct ioapic *find(uint32_t gsi)
{
	for (unsigned i = 0; i < ioapics; i++)
		if (gsi >= ioapic[i].first && gsi <= ioapic[i].last)
			return &ioapic[i];
	return NULL;
}

bool ioapic_has(uint32_t gsi)
{
	return find(gsi) != NULL;
}

static void set_entry(uint32_t gsi, uint64_t low, uint32_t apic_id)
{
	const struct ioapic *io = find(gsi);
	unsigned reg = IOAPIC_REG_ENTRY + 2 * (gsi - io->first);
	uint64_t flags = spin_lock_irq(&ioapic_lock);

	/* Masked while the two halves disagree. */
	io_write(io, reg, RTE_MASKED);
	io_write(io, reg + 1, PUT(RTE_DEST, apic_id) >> 32);
	io_write(io, reg, low);
	spin_unlock_irq(&ioapic_lock, flags);
}

void ioapic_route(uint32_t gsi, unsigned vector, uint32_t apic_id, bool level, bool active_low)
{
	set_entry(gsi, RTE_MASKED | (level ? RTE_LEVEL : 0) | (active_low ? RTE_LOW : 0) | vector,
	          apic_id);
}

void ioapic_route_nmi(uint32_t gsi, uint32_t apic_id)
{
	set_entry(gsi, PUT(RTE_MODE, APIC_NMI), apic_id);
}

void ioapic_mask(uint32_t gsi, bool masked)
{
	const struct ioapic *io = find(gsi);
	unsigned reg = IOAPIC_REG_ENTRY + 2 * (gsi - io->first);
	uint64_t flags = spin_lock_irq(&ioapic_lock), low = io_read(io, reg);

	io_write(io, reg, masked ? low | RTE_MASKED : low & ~RTE_MASKED);
	spin_unlock_irq(&ioapic_lock, flags);
}

/* Out of the way of the exceptions, then masked: a spurious IRQ 7 or 15 may still come. */
static void mask_8259(void)
{
	for (unsigned i = 0; i < 2; i++) {
		uint16_t base = i == 0 ? PIC_MASTER : PIC_SLAVE;

		out8(base, PIC_ICW1);
		out8(base + 1, (uint8_t)(PIC_VECTOR + 8 * i));
		out8(base + 1, i == 0 ? 1 << 2 : 2); /* the slave is on line 2 */
		out8(base + 1, PIC_ICW4);
		out8(base + 1, 0xff);
	}
}

void ioapic_init(void)
{
	mask_8259();
	for (unsigned i = 0; i < acpi_info.ioapics; i++) {
		const struct acpi_ioapic *a = &acpi_info.ioapic[i];
		struct ioapic *io = &ioapic[ioapics];

		io->registers = paging_map_device(a->base, IOAPIC_USED);
		/* All ones from both registers: the address answers nothing. */
		if (mmio_read32(io->registers + IOAPIC_WINDOW) == UINT32_MAX &&
		    io_read(io, IOAPIC_REG_VERSION) == UINT32_MAX) {
			log_warn("nothing at %#llx", (unsigned long long)a->base);
			continue;
		}
		io->first = a->gsi_base;
		io->last = a->gsi_base +
		           (uint32_t)GET(IOAPIC_VERSION_LAST, io_read(io, IOAPIC_REG_VERSION));
		ioapics++;
		for (uint32_t gsi = io->first; gsi <= io->last; gsi++)
			set_entry(gsi, RTE_MASKED, 0);
		log_info("at %#llx: GSI %u to %u", (unsigned long long)a->base, io->first,
		         io->last);
	}
}
