// SPDX-License-Identifier: Apache-2.0
/*
 * Consoles: where text for people goes and where their key strokes come from (log/console.c).
 * Output functions are called in any context, one at a time, with interrupts off; they must not
 * log.
 */
#ifndef VMK_CONSOLE_H
#define VMK_CONSOLE_H
#include "vmk/types.h"

/* Serial lines, and the screen with its keyboard: each has a terminal (fs/console_port.c). */
enum console_place { CONSOLE_LINE, CONSOLE_SCREEN, CONSOLE_PLACES };
enum { CONSOLE_LINE_MAX = 640 };

struct console {
	const char *name; /* as option console= calls it: "com1", "vga", "fb" */
	enum console_place place;
	uint16_t rows, columns; /* 0: not known */
	void (*write)(struct console *c, const char *text, size_t len);
	/* Shows a little of what was written; false: nothing is left. NULL when write shows all. */
	bool (*draw)(struct console *c);
	/* Before the purple screen: white on purple, from the top; NULL when it has no colours. */
	void (*panic)(struct console *c);
	struct console *next;
};

/* From now on c gets what is logged and written. */
void console_add(struct console *c);
/* One at the place, or NULL. */
const struct console *console_at(enum console_place place);
/* A program has the place for itself: log lines stay away from it until a panic. */
void console_claim(enum console_place place);
/* A program's output. */
void console_write(enum console_place place, const char *text, size_t len);
/* A log line of at most CONSOLE_LINE_MAX bytes, with nothing in between. Returns when it is out. */
void console_write_whole(const char *text, size_t len);
/* Bytes that a person typed; interrupt context. */
void console_input(enum console_place place, const char *text, size_t len);
/* Who gets them; interrupt context. Without a receiver they are dropped. */
void console_set_input(void (*fn)(enum console_place place, const char *text, size_t len));

/* For log/ only: no lock is taken once the panic has begun. */
void console_emit(const char *text, size_t len);
void console_begin_panic(void);
#endif
