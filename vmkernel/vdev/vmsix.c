// SPDX-License-Identifier: Apache-2.0
/*
 * MSI-X of a guest's PCI device: table at 0, pending bits at 800h of a BAR. Spec: PCI 3.0, 6.8.2.
 */
#include "vdev/vpci.h"
#include "vmk/string.h"

enum { CAPABILITY_ID = 0x11, CAPABILITY_LENGTH = 12, PENDING = 0x800, BAR_SIZE = 0x1000 };
#define CONTROL_ENABLE BIT(15)
#define CONTROL_MASK   BIT(14)
#define ENTRY_MASKED   BIT(0)

bool vmsix_enabled(const struct vpci_dev *d)
{
	return READ_ONCE(d->msix.control) & CONTROL_ENABLE;
}

/* Sends what waits and is not masked any more. */
static void flush(struct vpci_dev *d)
{
	struct vmsix *x = &d->msix;

	if (!(x->control & CONTROL_ENABLE) || (x->control & CONTROL_MASK))
		return;
	/* A vector's pending bit goes as its message is sent; masked ones keep theirs. */
	for (uint64_t rest = x->pending; rest; rest &= rest - 1) {
		unsigned i = (unsigned)__builtin_ctzll(rest);

		if (x->entry[i].control & ENTRY_MASKED)
			continue;
		x->pending &= ~BIT(i);
		vm_msi(d->bus->vm, x->entry[i].address, x->entry[i].data);
	}
}

void vmsix_raise(struct vpci_dev *d, unsigned vector)
{
	uint64_t flags;

	if (vector >= d->msix.count)
		return;
	flags = spin_lock_irq(&d->msix_lock);
	/* Set first: if the vector is masked, flush leaves the bit for the unmasking (6.8.2.8). */
	d->msix.pending |= BIT(vector);
	flush(d);
	spin_unlock_irq(&d->msix_lock, flags);
}

void vmsix_control(struct vpci_dev *d)
{
	uint64_t flags = spin_lock_irq(&d->msix_lock);

	memcpy(&d->msix.control, d->config + d->msix.capability + 2, 2);
	flush(d);
	spin_unlock_irq(&d->msix_lock, flags);
}

/* Whether an access is inside of the first `end` bytes; no sum that could wrap. */
static bool within(uint64_t off, unsigned size, uint64_t end)
{
	return off < end && size <= end - off;
}

static uint64_t table_read(struct io_range *r, uint64_t off, unsigned size)
{
	struct vpci_dev *d = r->dev;
	uint64_t flags = spin_lock_irq(&d->msix_lock), v = 0;

	if (off >= PENDING && within(off - PENDING, size, sizeof(d->msix.pending)))
		memcpy(&v, (uint8_t *)&d->msix.pending + (off - PENDING), size);
	else if (within(off, size, d->msix.count * sizeof(d->msix.entry[0])))
		memcpy(&v, (uint8_t *)d->msix.entry + off, size);
	spin_unlock_irq(&d->msix_lock, flags);
	return v;
}

static void table_write(struct io_range *r, uint64_t off, unsigned size, uint64_t v)
{
	struct vpci_dev *d = r->dev;
	uint64_t flags;

	if (size < 4 || (off & 3) || !within(off, size, d->msix.count * sizeof(d->msix.entry[0])))
		return;
	flags = spin_lock_irq(&d->msix_lock);
	memcpy((uint8_t *)d->msix.entry + off, &v, size);
	flush(d);
	spin_unlock_irq(&d->msix_lock, flags);
}

void vmsix_init(struct vpci_dev *d, unsigned bar, unsigned count)
{
	static const struct io_ops ops = { table_read, table_write };
	uint32_t table = bar, pending = PENDING | bar;
	uint16_t control = (uint16_t)(count - 1);
	uint8_t at = vpci_capability(d, CAPABILITY_ID, CAPABILITY_LENGTH);

	d->msix.count = (uint16_t)count;
	d->msix.capability = at;
	for (unsigned i = 0; i < count; i++)
		d->msix.entry[i].control = ENTRY_MASKED;
	memcpy(d->config + at + 2, &control, 2);
	memcpy(d->config + at + 4, &table, 4);
	memcpy(d->config + at + 8, &pending, 4);
	d->writable[at + 3] = 0xc0;
	vpci_bar(d, bar, false, BAR_SIZE, &ops, d);
}
