// SPDX-License-Identifier: Apache-2.0
/*
 * A linear framebuffer that the boot loader set up, as a screen of 8 x 16 cells. The glyphs are
 * made by the build (iso/workshop/font.py). Spec: Multiboot2 2.0, 3.6.12.
 */
#include "font.h"
#include "vmk/boot.h"
#include "vmk/io.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/platform.h"
#include "vmk/screen.h"

#define LOG_MODULE "fb"

enum { CURSOR_ROW = 14 }; /* the cursor is the last two lines of a cell */

static struct framebuffer {
	struct screen screen;
	char *pixels;
	uint32_t colour[16]; /* as pixels */
} fb;

/* The PC's sixteen; purple is ESXi's. */
static const uint32_t rgb[16] = {
	0x000000, 0x0000aa, 0x00aa00, 0x00aaaa, 0xaa0000, 0x7a007a, 0xaa5500, 0xc0c0c0,
	0x555555, 0x5555ff, 0x55ff55, 0x55ffff, 0xff5555, 0xff55ff, 0xffff55, 0xffffff,
};

static uint32_t channel(uint32_t value, uint8_t pos, uint8_t size)
{
	return size <= 8 ? (value >> (8 - size)) << pos : value << (pos + size - 8);
}

static uint32_t to_pixel(uint32_t c)
{
	const struct boot_framebuffer *f = &boot_info.fb;

	return channel(c >> 16 & 0xff, f->red_pos, f->red_size) |
	       channel(c >> 8 & 0xff, f->green_pos, f->green_size) |
	       channel(c & 0xff, f->blue_pos, f->blue_size);
}

static const uint8_t *glyph(uint16_t code)
{
	unsigned low = 0, high = ARRAY_SIZE(font_code);

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (font_code[middle] == code)
			return font_glyph[middle];
		if (font_code[middle] < code)
			low = middle + 1;
		else
			high = middle;
	}
	return code == '?' ? font_glyph[0] : glyph('?');
}

static void put_pixel(char *at, unsigned bytes, uint32_t v)
{
	if (bytes == 4)
		mmio_write32(at, v);
	else if (bytes == 2)
		mmio_write16(at, (uint16_t)v);
	else
		for (unsigned i = 0; i < 3; i++)
			mmio_write8(at + i, (uint8_t)(v >> 8 * i));
}

static void draw_cell(unsigned row, unsigned column, struct cell c, bool cursor)
{
	const uint8_t *bits = glyph(c.code);
	unsigned bytes = boot_info.fb.bpp / 8;
	char *line = fb.pixels + (size_t)row * FONT_HEIGHT * boot_info.fb.pitch +
	             (size_t)column * FONT_WIDTH * bytes;

	for (unsigned y = 0; y < FONT_HEIGHT; y++, line += boot_info.fb.pitch) {
		unsigned on = cursor && y >= CURSOR_ROW ? 0xff : bits[y];

		for (unsigned x = 0; x < FONT_WIDTH; x++)
			put_pixel(line + x * bytes, bytes,
			          fb.colour[on >> (7 - x) & 1 ? c.fg & 15 : c.bg & 15]);
	}
}

static void fb_draw(struct screen *s, unsigned row, unsigned first, unsigned last,
                    const struct cell *cells)
{
	for (unsigned c = first; c < last; c++)
		draw_cell(row, c, cells[c], false);
}

static void fb_cursor(struct screen *s, unsigned row, unsigned column, const struct cell *cell)
{
	if (cell != NULL)
		draw_cell(row, column, *cell, true);
}

/* Shows the terminal on the framebuffer that the loader set up, if there is one of known depth. */
void framebuffer_init(void)
{
	const struct boot_framebuffer *f = &boot_info.fb;

	if (f->base == 0 || f->text)
		return;
	if ((f->bpp != 16 && f->bpp != 24 && f->bpp != 32) || f->pitch < f->width * (f->bpp / 8)) {
		log_warn("%u x %u with %u bits a pixel: not used", f->width, f->height, f->bpp);
		return;
	}
	fb.pixels = kmap_device(f->base, (size_t)f->pitch * f->height, KMAP_WC);
	if (fb.pixels == NULL)
		return;
	for (unsigned i = 0; i < ARRAY_SIZE(rgb); i++)
		fb.colour[i] = to_pixel(rgb[i]);
	fb.screen = (struct screen){ .name = "fb",
		                     .columns = f->width / FONT_WIDTH,
		                     .rows = f->height / FONT_HEIGHT,
		                     .draw = fb_draw,
		                     .cursor = fb_cursor };
	log_info("%u x %u, %u bits a pixel", f->width, f->height, f->bpp);
	terminal_init(&fb.screen);
}
