// SPDX-License-Identifier: Apache-2.0
/*
 * The first serial port as a console: polled output, input by interrupt. Spec: National PC16550D
 * data sheet, 8.
 */
#include "vmk/console.h"
#include "vmk/io.h"
#include "vmk/irq.h"
#include "vmk/log.h"
#include "vmk/platform.h"

#define LOG_MODULE "uart"

enum {
	UART_COM1 = 0x3f8,
	UART_IRQ = 4,
	UART_DIVISOR = 1,        /* 115200 baud */
	UART_TX_POLLS = 3000000, /* some seconds: a virtual machine's reader may be slow */
	UART_FIFO = 16,
	UART_BUFFER = 1024,   /* more than is written before it is drawn */
	UART_IRQ_BYTES = 256, /* the most one interrupt reads: a stuck LSR.DR must not hang us */
};
enum {
	RBR = 0,
	THR = 0,
	DLL = 0,
	IER = 1,
	DLM = 1,
	IIR = 2,
	FCR = 2,
	LCR = 3,
	MCR = 4,
	LSR = 5,
	SCR = 7
};
#define IER_ERBFI  BIT(0)
#define FCR_ENABLE BIT(0)
#define FCR_CLEAR  BITS(2, 1)
#define FCR_RX_8   BIT(7)
#define LCR_8N1    BITS(1, 0)
#define LCR_DLAB   BIT(7)
#define MCR_DTR    BIT(0)
#define MCR_RTS    BIT(1)
#define MCR_OUT2   BIT(3) /* lets the interrupt through on a PC */
#define LSR_DR     BIT(0)
#define LSR_THRE   BIT(5)

static struct uart {
	struct console console;
	uint16_t base;
	bool stalled; /* nobody takes its output: dropped until it is ready again */
	uint32_t polls;
	size_t at, len; /* buffer[at, len) is still to be written */
	char buffer[UART_BUFFER];
} com1;

static uint8_t uart_read(const struct uart *u, unsigned reg)
{
	return in8((uint16_t)(u->base + reg));
}

static void uart_write(const struct uart *u, unsigned reg, uint64_t v)
{
	out8((uint16_t)(u->base + reg), (uint8_t)v);
}

static bool uart_ready(const struct uart *u)
{
	return uart_read(u, LSR) & LSR_THRE;
}

static void uart_put(struct uart *u, char c)
{
	if (u->len < sizeof(u->buffer))
		u->buffer[u->len++] = c;
}

static void uart_console_write(struct console *c, const char *text, size_t len)
{
	struct uart *u = container_of(c, struct uart, console);

	if (u->stalled && uart_ready(u))
		u->stalled = false;
	for (size_t i = 0; i < len && !u->stalled; i++) {
		if (text[i] == '\n')
			uart_put(u, '\r');
		uart_put(u, text[i]);
	}
}

/* What the FIFO takes now: waiting for it is the caller's, who may do so with interrupts on. */
static bool uart_console_draw(struct console *c)
{
	struct uart *u = container_of(c, struct uart, console);

	if (u->at == u->len) {
		u->at = u->len = 0;
		return false;
	}
	if (!uart_ready(u)) {
		u->stalled = ++u->polls == UART_TX_POLLS;
		if (u->stalled)
			u->at = u->len;
		return true;
	}
	u->polls = 0;
	for (unsigned n = 0; n < UART_FIFO && u->at < u->len; n++)
		uart_write(u, THR, (uint8_t)u->buffer[u->at++]);
	return true;
}

static enum irq_return uart_irq(void *arg)
{
	struct uart *u = arg;
	enum irq_return r = IRQ_NONE;

	for (int i = 0; i < UART_IRQ_BYTES && (uart_read(u, LSR) & LSR_DR); i++) {
		char c = (char)uart_read(u, RBR);

		console_input(CONSOLE_LINE, &c, 1);
		r = IRQ_HANDLED;
	}
	return r;
}

void uart_early_init(void)
{
	struct uart *u = &com1;

	u->base = UART_COM1;
	uart_write(u, SCR, 0x5a);
	if (uart_read(u, SCR) != 0x5a)
		return;
	uart_write(u, IER, 0);
	uart_write(u, LCR, LCR_DLAB | LCR_8N1);
	uart_write(u, DLL, UART_DIVISOR);
	uart_write(u, DLM, 0);
	uart_write(u, LCR, LCR_8N1);
	uart_write(u, FCR, FCR_ENABLE | FCR_CLEAR | FCR_RX_8);
	uart_write(u, MCR, MCR_DTR | MCR_RTS | MCR_OUT2);
	u->console = (struct console){ .name = "com1",
		                       .write = uart_console_write,
		                       .draw = uart_console_draw };
	console_add(&u->console);
}

void uart_irq_init(void)
{
	struct irq *irq;
	int err;

	if (com1.console.write == NULL)
		return;
	err = irq_alloc_isa("com1", UART_IRQ, uart_irq, &com1, &irq);
	if (err != 0) {
		log_warn("no interrupt, no input: error %d", -err);
		return;
	}
	uart_write(&com1, IER, IER_ERBFI);
}
