// SPDX-License-Identifier: Apache-2.0
/* The service console's terminal: one tty on all consoles that the log goes to. */
#include "vmk/console.h"
#include "vmk/log.h"
#include "vmk/tty.h"
#include "user/init.h"

#define LOG_MODULE "user"

/* Consoles make "\r\n" of "\n" themselves; the line discipline has done so already. */
static void port_write(struct tty_port *p __maybe_unused, const char *s, size_t n)
{
	size_t start = 0;

	for (size_t i = 0; i + 1 < n; i++)
		if (s[i] == '\r' && s[i + 1] == '\n') {
			console_write(s + start, i - start);
			start = i + 1;
		}
	console_write(s + start, n - start);
}

static struct tty_port port = { .name = "ttyS0", .rdev = DEV_MAKE(4, 64), .write = port_write };

static void port_input(const char *s, size_t n)
{
	tty_port_input(&port, s, n);
}

void console_port_init(void)
{
	int r = tty_port_add(&port);

	if (r) {
		log_err("no terminal on the console: error %d", -r);
		return;
	}
	console_set_input(port_input);
}
