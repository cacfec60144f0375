// SPDX-License-Identifier: Apache-2.0
/*
 * Consoles: where text for people goes and where their key strokes come from (log/console.c). Output functions are
 * called in any context, one at a time, with interrupts off; they must not log.
 */
#ifndef VMK_CONSOLE_H
#define VMK_CONSOLE_H
#include "vmk/types.h"

struct console {
	const char *name; /* as option console= calls it: "com1", "vga", "fb" */
	void (*write)(struct console *c, const char *text, size_t len);
	/* Before the purple screen: white on purple, from the top; NULL when it has no colours. */
	void (*panic)(struct console *c);
	struct console *next;
};

/* From now on c gets what is logged and written. */
void console_add(struct console *c);
/* Output of the service console; the text goes to every console. */
void console_write(const char *text, size_t len);
/* The same with nothing in between: a log line. */
void console_write_whole(const char *text, size_t len);
/* Bytes that a person typed at any console; interrupt context. */
void console_input(const char *text, size_t len);
/* Who gets them; interrupt context. Without a receiver they are dropped. */
void console_set_input(void (*fn)(const char *text, size_t len));

/* For log/ only: no lock is taken once the panic has begun. */
void console_emit(const char *text, size_t len);
void console_begin_panic(void);
#endif
