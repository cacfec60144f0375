// SPDX-License-Identifier: Apache-2.0
/* A guest's 16550A. Bytes take no time on the wire; the FIFOs are the console's rings. */
#include "vdev/vuart.h"
#include "vmk/errno.h"
#include "vmk/string.h"

enum { DATA = 0, IER = 1, IIR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCR = 7, PORTS = 8 };
enum { IER_RX = 1, IER_THR = 2, IER_LINE = 4, IER_MODEM = 8 };
enum { IIR_NONE = 1, IIR_THR = 2, IIR_RX = 4, IIR_FIFO = 0xc0 };
enum {
	LCR_DLAB = 0x80,
	MCR_LOOP = 0x10,
	LSR_DATA = 1,
	LSR_THRE = 0x20,
	LSR_IDLE = 0x40,
	FCR_ENABLE = 1
};
enum { MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_RI = 0x40, MSR_DCD = 0x80 };

static bool has_data(struct vuart *u)
{
	return u->mcr & MCR_LOOP ? u->loopback_full : vconsole_input(&u->console);
}

static void update(struct vuart *u)
{
	virq_set(u->irq,
	         ((u->ier & IER_RX) && has_data(u)) || ((u->ier & IER_THR) && u->thr_interrupt));
}

static void transmit(struct vuart *u, uint8_t byte)
{
	if (u->mcr & MCR_LOOP) {
		u->loopback = byte;
		u->loopback_full = true;
	} else if (!vconsole_put(&u->console, byte)) {
		u->thr = byte;
		u->thr_full = true;
		u->thr_interrupt = false;
		return;
	}
	u->thr_interrupt = true;
}

/* The console has room again, or bytes for the guest. */
static void notify(struct vconsole *c)
{
	struct vuart *u = container_of(c, struct vuart, console);
	uint64_t flags = spin_lock_irq(&u->lock);

	/* A byte was held back by a full console: THR is empty once it is through. */
	if (u->thr_full && vconsole_put(c, u->thr)) {
		u->thr_full = false;
		u->thr_interrupt = true;
	}
	update(u);
	spin_unlock_irq(&u->lock, flags);
}

static uint8_t receive(struct vuart *u)
{
	int byte;

	/* Loopback has one byte and no overrun: the last byte sent is the one received. */
	if (u->mcr & MCR_LOOP) {
		u->loopback_full = false;
		return u->loopback;
	}
	byte = vconsole_get(&u->console);
	return byte < 0 ? 0 : (uint8_t)byte;
}

static uint8_t iir(struct vuart *u)
{
	uint8_t fifo = u->fcr & FCR_ENABLE ? IIR_FIFO : 0;

	/* Priority: received data before an empty transmitter. */
	if ((u->ier & IER_RX) && has_data(u))
		return fifo | IIR_RX;
	if ((u->ier & IER_THR) && u->thr_interrupt) {
		u->thr_interrupt = false; /* reading tells */
		return fifo | IIR_THR;
	}
	return fifo | IIR_NONE;
}

static uint8_t modem(const struct vuart *u)
{
	uint8_t m = u->mcr;

	if (!(m & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (uint8_t)((m & 1 ? MSR_DSR : 0) | (m & 2 ? MSR_CTS : 0) | (m & 4 ? MSR_RI : 0) |
	                 (m & 8 ? MSR_DCD : 0));
}

static uint8_t register_read(struct vuart *u, unsigned reg)
{
	bool dlab = u->lcr & LCR_DLAB;

	switch (reg) {
	case DATA: return dlab ? (uint8_t)u->divisor : receive(u);
	case IER: return dlab ? (uint8_t)(u->divisor >> 8) : u->ier;
	case IIR: return iir(u);
	case LCR: return u->lcr;
	case MCR: return u->mcr;
	case LSR: return (has_data(u) ? LSR_DATA : 0) | (u->thr_full ? 0 : LSR_THRE | LSR_IDLE);
	case MSR: return modem(u);
	default: return u->scratch;
	}
}

static void register_write(struct vuart *u, unsigned reg, uint8_t v)
{
	bool dlab = u->lcr & LCR_DLAB;

	switch (reg) {
	case DATA:
		if (dlab)
			u->divisor = (u->divisor & 0xff00) | v;
		else
			transmit(u, v);
		break;
	case IER:
		if (dlab) {
			u->divisor = (uint16_t)((u->divisor & 0xff) | v << 8);
			break;
		}
		/* Turning it on with an empty register is an interrupt at once. */
		if ((v & ~u->ier & IER_THR) && !u->thr_full)
			u->thr_interrupt = true;
		u->ier = v & 0xf;
		break;
	case IIR: u->fcr = v & 0xc9; break;
	case LCR: u->lcr = v; break;
	case MCR: u->mcr = v & 0x1f; break;
	case SCR: u->scratch = v; break;
	default: /* LSR, MSR: read only */ break;
	}
}

static uint64_t port_read(struct io_range *r, uint64_t off, unsigned size)
{
	struct vuart *u = r->dev;
	uint64_t flags = spin_lock_irq(&u->lock);
	uint8_t v = register_read(u, (unsigned)off);

	if (off == DATA || off == IIR)
		update(u);
	spin_unlock_irq(&u->lock, flags);
	return v;
}

static void port_write(struct io_range *r, uint64_t off, unsigned size, uint64_t v)
{
	struct vuart *u = r->dev;
	uint64_t flags = spin_lock_irq(&u->lock);

	register_write(u, (unsigned)off, (uint8_t)v);
	update(u);
	spin_unlock_irq(&u->lock, flags);
}

int vuart_init(struct vuart *u, struct iobus *b, struct virq *irq, uint16_t port)
{
	static const struct io_ops ops = { port_read, port_write };
	int err;

	memset(u, 0, sizeof(*u));
	spin_init(&u->lock, "vuart", RANK_VDEV);
	u->irq = irq;
	u->divisor = 1;
	err = vconsole_init(&u->console, notify);
	if (err)
		return err;
	u->range = (struct io_range){ .ops = &ops, .dev = u, .base = port, .len = PORTS };
	err = iobus_add_ports(b, &u->range);
	if (err)
		vuart_destroy(u);
	return err;
}

void vuart_destroy(struct vuart *u)
{
	vconsole_destroy(&u->console);
}
