// SPDX-License-Identifier: Apache-2.0
/* A guest's ACPI fixed hardware. */
#include "vdev/vacpi.h"
#include "vmk/string.h"

enum { STATUS = 0, ENABLE = 2, CONTROL = 4, TIMER = 8, LENGTH = 12 };
enum { PWRBTN = 1 << 8, SCI_EN = 1, SLP_TYP_S5 = 5, STATUS_BITS = 0x8f31 };
#define SLP_TYP BITS(12, 10)
#define SLP_EN  BIT(13)

static void update(struct vacpi *a)
{
	virq_set(a->sci, (a->control & SCI_EN) && (a->status & a->enable));
}

static uint32_t timer_now(void)
{
	ns_t now = time_now();

	/* Seconds and the rest apart: the product would overflow after an hour and a half. */
	return (uint32_t)(now / NS_PER_S * PM_TIMER_HZ + now % NS_PER_S * PM_TIMER_HZ / NS_PER_S);
}

static uint64_t pm_read(struct io_range *r, uint64_t off, unsigned size)
{
	struct vacpi *a = r->dev;
	/* Each register is read whole; a read over two of them need not be of one moment. */
	uint64_t regs = a->status | (uint64_t)a->enable << 16 | (uint64_t)a->control << 32;

	if (off >= TIMER)
		return timer_now() >> (8 * (off - TIMER));
	return regs >> (8 * off);
}

static void sleep(struct vacpi *a, uint16_t v)
{
	if ((v & SLP_EN) && GET(SLP_TYP, v) == SLP_TYP_S5)
		vm_request_end(a->vm, VM_OFF, 0, "the guest switched itself off");
}

static void pm_write(struct io_range *r, uint64_t off, unsigned size, uint64_t v)
{
	struct vacpi *a = r->dev;
	uint64_t flags = spin_lock_irq(&a->lock);

	if (off == STATUS)
		a->status &= (uint16_t)~v;
	/* A write of 4 bytes to PM1 events covers status and enable. */
	if (off == ENABLE || (off == STATUS && size == 4))
		a->enable = (uint16_t)(off == ENABLE ? v : v >> 16) & STATUS_BITS;
	if (off == CONTROL) {
		a->control = (uint16_t)(v & ~SLP_EN) | SCI_EN; /* there is no SMM to go back to */
		sleep(a, (uint16_t)v);
	}
	update(a);
	spin_unlock_irq(&a->lock, flags);
}

void vacpi_power_button(struct vacpi *a)
{
	uint64_t flags = spin_lock_irq(&a->lock);

	a->status |= PWRBTN;
	update(a);
	spin_unlock_irq(&a->lock, flags);
}

int vacpi_init(struct vacpi *a, struct vm *vm, struct iobus *b, struct virq *sci)
{
	static const struct io_ops ops = { pm_read, pm_write };

	memset(a, 0, sizeof(*a));
	spin_init(&a->lock, "vacpi", RANK_VDEV);
	a->vm = vm;
	a->sci = sci;
	a->control = SCI_EN;
	a->range = (struct io_range){ .ops = &ops, .dev = a, .base = VM_PM1_EVENT, .len = LENGTH };
	return iobus_add_ports(b, &a->range);
}
