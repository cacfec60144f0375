// SPDX-License-Identifier: Apache-2.0
/*
 * The consoles' terminals: ttyS0 on the serial line, tty1 on the screen, and /dev/console, which is
 * on both but where a program has opened the place's own terminal: so who installs may sit at
 * either.
 */
#include "vmk/console.h"
#include "vmk/log.h"
#include "vmk/tty.h"

#define LOG_MODULE "user"

/* Consoles make "\r\n" of "\n" themselves; the line discipline has done so already. */
static void port_write(struct tty_port *p, const char *s, size_t n);

enum { BOTH = CONSOLE_PLACES, PORTS };
static struct tty_port port[PORTS] = {
	[CONSOLE_LINE] = { .name = "ttyS0", .rdev = DEV_MAKE(4, 64), .write = port_write },
	[CONSOLE_SCREEN] = { .name = "tty1", .rdev = DEV_MAKE(4, 1), .write = port_write },
	[BOTH] = { .name = "tty0", .rdev = DEV_MAKE(4, 0), .write = port_write },
};

static void place_write(const struct tty_port *p, const char *s, size_t n)
{
	for (unsigned i = 0; i < CONSOLE_PLACES; i++)
		if (p == &port[i] || (p == &port[BOTH] && !READ_ONCE(port[i].used)))
			console_write(i, s, n);
}

static void port_write(struct tty_port *p, const char *s, size_t n)
{
	size_t start = 0;

	if (p == &port[CONSOLE_SCREEN])
		console_claim(CONSOLE_SCREEN);
	for (size_t i = 0; i + 1 < n; i++)
		if (s[i] == '\r' && s[i + 1] == '\n') {
			place_write(p, s + start, i - start);
			start = i + 1;
		}
	place_write(p, s + start, n - start);
}

static void port_input(enum console_place place, const char *s, size_t n)
{
	tty_port_input(&port[READ_ONCE(port[place].used) ? place : BOTH], s, n);
}

void console_port_init(void)
{
	for (unsigned i = 0; i < PORTS; i++) {
		const struct console *c = i < BOTH ? console_at(i) : NULL;
		int err;

		port[i].rows = c ? c->rows : 0;
		port[i].cols = c ? c->columns : 0;
		err = tty_port_add(&port[i]);
		if (err) {
			log_err("no terminal %s: error %d", port[i].name, -err);
			return;
		}
	}
	tty_console_select(&port[BOTH]);
	console_set_input(port_input);
}
