// SPDX-License-Identifier: Apache-2.0
/*
 * A screen of character cells (drivers/char/vga.c, framebuffer.c) and the terminal that draws on it
 * (log/terminal.c). The terminal is a console; what guards consoles (vmk/console.h) guards the
 * screen.
 */
#ifndef VMK_SCREEN_H
#define VMK_SCREEN_H
#include "vmk/types.h"

enum { SCREEN_COLUMNS_MAX = 240, SCREEN_ROWS_MAX = 100 };

/* Colours 0 to 15 as on a PC: 8 added is bright; red is 4, green 2, blue 1. */
struct cell {
	uint16_t code; /* Unicode, below 65536 */
	uint8_t fg, bg;
};
#define SCREEN_PURPLE 5

struct screen {
	const char *name; /* of the console: "vga", "fb" */
	unsigned columns, rows;
	/* Draws cells [first, last) of the row. */
	void (*draw)(struct screen *s, unsigned row, unsigned first, unsigned last,
	             const struct cell *cells);
	/* Shows the cursor on the cell; draw() of the cell takes it away again. NULL: hides it. */
	void (*cursor)(struct screen *s, unsigned row, unsigned column, const struct cell *cell);
};

/* Clears it and makes it a console. Only the first screen is used. */
void terminal_init(struct screen *s);
#endif
