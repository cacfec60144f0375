// SPDX-License-Identifier: Apache-2.0
/* VGA text mode: 80 x 25 cells of code page 437. Spec: IBM VGA technical reference (1992), 2. */
#include "vmk/boot.h"
#include "vmk/io.h"
#include "vmk/layout.h"
#include "vmk/platform.h"
#include "vmk/screen.h"

enum { VGA_TEXT = 0xb8000, VGA_COLUMNS = 80, VGA_ROWS = 25 };
enum {
	CRTC_INDEX = 0x3d4,
	CRTC_DATA = 0x3d5,
	CURSOR_START = 0x0a,
	CURSOR_HIGH = 0x0e,
	CURSOR_LOW = 0x0f
};
#define CURSOR_OFF   BIT(5)
#define CURSOR_LINES 14

/* Code page 437 from 0x80 on, in Unicode. */
static const uint16_t cp437[128] = {
	0xc7,   0xfc,   0xe9,   0xe2,   0xe4,   0xe0,   0xe5,   0xe7,   0xea,   0xeb,   0xe8,
	0xef,   0xee,   0xec,   0xc4,   0xc5,   0xc9,   0xe6,   0xc6,   0xf4,   0xf6,   0xf2,
	0xfb,   0xf9,   0xff,   0xd6,   0xdc,   0xa2,   0xa3,   0xa5,   0x20a7, 0x192,  0xe1,
	0xed,   0xf3,   0xfa,   0xf1,   0xd1,   0xaa,   0xba,   0xbf,   0x2310, 0xac,   0xbd,
	0xbc,   0xa1,   0xab,   0xbb,   0x2591, 0x2592, 0x2593, 0x2502, 0x2524, 0x2561, 0x2562,
	0x2556, 0x2555, 0x2563, 0x2551, 0x2557, 0x255d, 0x255c, 0x255b, 0x2510, 0x2514, 0x2534,
	0x252c, 0x251c, 0x2500, 0x253c, 0x255e, 0x255f, 0x255a, 0x2554, 0x2569, 0x2566, 0x2560,
	0x2550, 0x256c, 0x2567, 0x2568, 0x2564, 0x2565, 0x2559, 0x2558, 0x2552, 0x2553, 0x256b,
	0x256a, 0x2518, 0x250c, 0x2588, 0x2584, 0x258c, 0x2590, 0x2580, 0x3b1,  0xdf,   0x393,
	0x3c0,  0x3a3,  0x3c3,  0xb5,   0x3c4,  0x3a6,  0x398,  0x3a9,  0x3b4,  0x221e, 0x3c6,
	0x3b5,  0x2229, 0x2261, 0xb1,   0x2265, 0x2264, 0x2320, 0x2321, 0xf7,   0x2248, 0xb0,
	0x2219, 0xb7,   0x221a, 0x207f, 0xb2,   0x25a0, 0xa0,
};

static uint8_t encode(uint16_t code)
{
	if (code < 0x80)
		return (uint8_t)code;
	for (unsigned i = 0; i < ARRAY_SIZE(cp437); i++)
		if (cp437[i] == code)
			return (uint8_t)(0x80 + i);
	return '?';
}

static void vga_draw(struct screen *s, unsigned row, unsigned first, unsigned last,
                     const struct cell *cells)
{
	char *text = direct_va(VGA_TEXT);

	for (unsigned c = first; c < last; c++) {
		unsigned attribute = (cells[c].fg & 15u) | (cells[c].bg & 7u) << 4;

		mmio_write16(text + 2 * (row * s->columns + c),
		             (uint16_t)(encode(cells[c].code) | attribute << 8));
	}
}

static void crtc_write(uint8_t reg, unsigned v)
{
	out8(CRTC_INDEX, reg);
	out8(CRTC_DATA, (uint8_t)v);
}

static void vga_cursor(struct screen *s, unsigned row, unsigned column, const struct cell *cell)
{
	unsigned at = row * s->columns + column;

	crtc_write(CURSOR_START, cell != NULL ? CURSOR_LINES : CURSOR_OFF);
	crtc_write(CURSOR_HIGH, at >> 8);
	crtc_write(CURSOR_LOW, at);
}

void vga_init(void)
{
	static struct screen vga = { .name = "vga",
		                     .columns = VGA_COLUMNS,
		                     .rows = VGA_ROWS,
		                     .draw = vga_draw,
		                     .cursor = vga_cursor };

	if (boot_info.fb.base == VGA_TEXT && boot_info.fb.text)
		terminal_init(&vga);
}
