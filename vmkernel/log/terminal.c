// SPDX-License-Identifier: Apache-2.0
/*
 * The terminal on the screen: UTF-8 text and the control sequences that programs for TERM=linux
 * use. It keeps the cells, draws what has changed a few cells at a time, and turns white on purple
 * for a panic. One screen; the consoles' lock guards it. Spec: ECMA-48 (5th ed.) 8.3;
 * console_codes(4).
 */
#include "vmk/screen.h"
#include "vmk/console.h"
#include "vmk/string.h"

enum { PARAMETERS_MAX = 8, TAB = 8, FG = 7, BG = 0, REPLACEMENT = '?', DRAW_CELLS = 2 };
enum state { TEXT, ESCAPE, CSI, SKIP_ONE, OSC };

static struct terminal {
	struct console console;
	struct screen *screen;
	struct cell cell[SCREEN_ROWS_MAX][SCREEN_COLUMNS_MAX];
	struct cell shown[SCREEN_ROWS_MAX][SCREEN_COLUMNS_MAX]; /* what the screen shows */
	struct {
		uint16_t first, last; /* changed cells [first, last) */
	} dirty[SCREEN_ROWS_MAX];
	unsigned row, column, saved_row, saved_column;
	unsigned cursor_row, cursor_column; /* where it is shown */
	unsigned top, bottom;               /* of the scrolling region: rows [top, bottom) */
	bool wrap;   /* the last column is written: the next character goes to a new line */
	bool hidden; /* cursor */
	bool stale;  /* something was written since the cursor was shown */
	uint8_t fg, bg;
	bool bold, reverse;
	enum state state;
	bool dec_private; /* CSI ? */
	unsigned parameter[PARAMETERS_MAX], parameters;
	uint32_t rune; /* UTF-8 in progress */
	unsigned rune_left;
} term;

static void touch(unsigned row, unsigned first, unsigned last)
{
	term.dirty[row].first = MIN(term.dirty[row].first, (uint16_t)first);
	term.dirty[row].last = MAX(term.dirty[row].last, (uint16_t)last);
}

static struct cell blank(void)
{
	return (struct cell){ ' ', term.fg, term.bg };
}

static void clear(unsigned row, unsigned first, unsigned last)
{
	for (unsigned c = first; c < last; c++)
		term.cell[row][c] = blank();
	touch(row, first, last);
}

/* Rows [top, bottom) move up by n; the last n become empty. Down for n < 0. */
static void scroll(unsigned top, unsigned bottom, int n)
{
	unsigned height = bottom - top, by = (unsigned)(n < 0 ? -n : n),
		 columns = term.screen->columns;

	by = MIN(by, height);
	if (n > 0)
		memmove(term.cell[top], term.cell[top + by], (height - by) * sizeof(term.cell[0]));
	else
		memmove(term.cell[top + by], term.cell[top], (height - by) * sizeof(term.cell[0]));
	for (unsigned r = top; r < bottom; r++)
		touch(r, 0, columns);
	for (unsigned i = 0; i < by; i++)
		clear(n > 0 ? bottom - 1 - i : top + i, 0, columns);
}

static void line_feed(void)
{
	term.wrap = false;
	if (term.row + 1 == term.bottom)
		scroll(term.top, term.bottom, 1);
	else if (term.row + 1 < term.screen->rows)
		term.row++;
}

static void move_to(int row, int column)
{
	int last_row = (int)term.screen->rows - 1, last_column = (int)term.screen->columns - 1;

	term.wrap = false;
	term.row = (unsigned)MAX(0, MIN(row, last_row));
	term.column = (unsigned)MAX(0, MIN(column, last_column));
}

static void put(uint32_t rune)
{
	uint8_t fg = term.bold && term.fg < 8 ? term.fg + 8 : term.fg;

	if (term.wrap) {
		term.column = 0;
		line_feed();
	}
	term.cell[term.row][term.column] = (struct cell){
		.code = rune < 0x10000 ? (uint16_t)rune : REPLACEMENT,
		.fg = term.reverse ? term.bg : fg,
		.bg = term.reverse ? fg : term.bg,
	};
	touch(term.row, term.column, term.column + 1);
	if (term.column + 1 == term.screen->columns)
		term.wrap = true;
	else
		term.column++;
}

static void control(char c)
{
	switch (c) {
	case '\n':
	case '\v':
	case '\f': line_feed(); break;
	case '\r': move_to((int)term.row, 0); break;
	case '\b': move_to((int)term.row, (int)term.column - 1); break;
	case '\t': move_to((int)term.row, (int)ALIGN_UP(term.column + 1, TAB)); break;
	case '\033':
		term.state = ESCAPE;
		term.rune_left = 0;
		break;
	}
}

/* ECMA colours count red as 1 and blue as 4. */
static uint8_t colour(unsigned n)
{
	return (uint8_t)((n & 2) | (n & 1) << 2 | (n & 4) >> 2 | (n & 8));
}

static void reset_attributes(void)
{
	term.fg = FG;
	term.bg = BG;
	term.bold = term.reverse = false;
}

/* 38 or 48 at i: ;5;N or ;2;R;G;B. Returns where it ends. */
static unsigned extended_colour(unsigned i, uint8_t *out)
{
	if (i + 2 < term.parameters && term.parameter[i + 1] == 5) {
		if (term.parameter[i + 2] < 16)
			*out = colour(term.parameter[i + 2]);
		return i + 2;
	}
	return term.parameters;
}

static void set_attributes(void)
{
	for (unsigned i = 0; i < MAX(term.parameters, 1u); i++) {
		unsigned p = term.parameter[i];

		/* SGR (8.3.117); 38 and 48 take the parameters behind them too. */
		switch (p) {
		case 0: reset_attributes(); break;
		case 1: term.bold = true; break;
		case 22: term.bold = false; break;
		case 7: term.reverse = true; break;
		case 27: term.reverse = false; break;
		case 38: i = extended_colour(i, &term.fg); break;
		case 48: i = extended_colour(i, &term.bg); break;
		case 39: term.fg = FG; break;
		case 49: term.bg = BG; break;
		default:
			if (p >= 30 && p < 38)
				term.fg = colour(p - 30);
			else if (p >= 40 && p < 48)
				term.bg = colour(p - 40);
			else if (p >= 90 && p < 98)
				term.fg = colour(p - 90 + 8);
			else if (p >= 100 && p < 108)
				term.bg = colour(p - 100 + 8);
		}
	}
}

/* ED: 0 from the cursor on, 1 up to it, 2 and 3 all. */
static void erase_display(unsigned how)
{
	unsigned columns = term.screen->columns;

	for (unsigned r = 0; r < term.screen->rows; r++) {
		if (r == term.row && how < 2)
			clear(r, how == 0 ? term.column : 0, how == 0 ? columns : term.column + 1);
		else if (how >= 2 || (how == 0 ? r > term.row : r < term.row))
			clear(r, 0, columns);
	}
}

static void erase_line(unsigned how)
{
	unsigned columns = term.screen->columns;

	clear(term.row, how == 0 ? term.column : 0, how == 1 ? term.column + 1 : columns);
}

/* ICH and DCH: n characters from the cursor on come in or go out. */
static void shift_line(unsigned n, bool in)
{
	unsigned columns = term.screen->columns, rest = columns - term.column;
	struct cell *at = &term.cell[term.row][term.column];

	n = MIN(n, rest);
	if (in)
		memmove(at + n, at, (rest - n) * sizeof(*at));
	else
		memmove(at, at + n, (rest - n) * sizeof(*at));
	touch(term.row, term.column, columns);
	clear(term.row, in ? term.column : columns - n, in ? term.column + n : columns);
}

static void set_region(void)
{
	unsigned top = MAX(term.parameter[0], 1u) - 1;
	unsigned bottom = term.parameters > 1 && term.parameter[1] != 0 ? term.parameter[1]
	                                                                : term.screen->rows;

	bottom = MIN(bottom, term.screen->rows);
	if (top + 1 >= bottom)
		return;
	term.top = top;
	term.bottom = bottom;
	move_to(0, 0);
}

static void save_cursor(void)
{
	term.saved_row = term.row;
	term.saved_column = term.column;
}

static void finish_csi(char c)
{
	unsigned first = term.parameter[0], n = MAX(first, 1u);
	int row = (int)term.row, column = (int)term.column, by = (int)MIN(n, 1000u);
	bool in_region = term.row >= term.top && term.row < term.bottom;

	/* A count that is missing or 0 is 1, but for ED and EL, whose parameter selects. */
	switch (c) {
	case 'A': move_to(row - by, column); break;
	case 'B': move_to(row + by, column); break;
	case 'C': move_to(row, column + by); break;
	case 'D': move_to(row, column - by); break;
	case 'E': move_to(row + by, 0); break;
	case 'F': move_to(row - by, 0); break;
	case 'G': move_to(row, by - 1); break;
	case 'd': move_to(by - 1, column); break;
	case 'H':
	case 'f': move_to(by - 1, (int)MIN(MAX(term.parameter[1], 1u), 1000u) - 1); break;
	case 'J': erase_display(first); break;
	case 'K': erase_line(first); break;
	case 'X': clear(term.row, term.column, MIN(term.column + n, term.screen->columns)); break;
	case 'L':
	case 'M':
		if (in_region)
			scroll(term.row, term.bottom, c == 'M' ? by : -by);
		break;
	case 'S': scroll(term.top, term.bottom, by); break;
	case 'T': scroll(term.top, term.bottom, -by); break;
	case 'P':
	case '@': shift_line(n, c == '@'); break;
	case 'm': set_attributes(); break;
	case 'r': set_region(); break;
	case 's': save_cursor(); break;
	case 'u': move_to((int)term.saved_row, (int)term.saved_column); break;
	case 'h':
	case 'l':
		if (term.dec_private && first == 25)
			term.hidden = c == 'l';
		break;
	}
}

static void in_csi(char c)
{
	if (c >= '0' && c <= '9') {
		unsigned *p =
			&term.parameter[MIN(MAX(term.parameters, 1u), (unsigned)PARAMETERS_MAX) -
		                        1];

		term.parameters = MAX(term.parameters, 1u);
		*p = MIN(*p * 10 + (unsigned)(c - '0'), 9999u);
	} else if (c == ';') {
		term.parameters = MIN(MAX(term.parameters, 1u) + 1, (unsigned)PARAMETERS_MAX);
	} else if (c == '?') {
		term.dec_private = true;
	} else if (c >= '@') {
		term.state = TEXT;
		finish_csi(c);
	}
}

static void in_escape(char c)
{
	term.state = TEXT;
	switch (c) {
	case '[':
		term.state = CSI;
		term.dec_private = false;
		term.parameters = 0;
		memset(term.parameter, 0, sizeof(term.parameter));
		break;
	/* A window title, or a palette: skipped up to BEL or ESC. */
	case ']': term.state = OSC; break;
	/* Character sets and line sizes: one more byte, ignored. */
	case '(':
	case ')':
	case '#': term.state = SKIP_ONE; break;
	case '7': save_cursor(); break;
	case '8': move_to((int)term.saved_row, (int)term.saved_column); break;
	case 'D': line_feed(); break;
	case 'M':
		if (term.row == term.top)
			scroll(term.top, term.bottom, -1);
		else
			move_to((int)term.row - 1, (int)term.column);
		break;
	case 'c': /* RIS: all as at the start */
		reset_attributes();
		term.top = 0;
		term.bottom = term.screen->rows;
		erase_display(2);
		move_to(0, 0);
		break;
	}
}

/* One byte of UTF-8 text; what is no UTF-8 shows as itself. */
static void in_text(uint8_t c)
{
	if (c >= 0x80 && c < 0xc0 && term.rune_left > 0) {
		term.rune = term.rune << 6 | (c & 0x3f);
		if (--term.rune_left == 0)
			put(term.rune);
		return;
	}
	term.rune_left = 0;
	if (c >= 0xf0 && c < 0xf8)
		term.rune_left = 3, term.rune = c & 7;
	else if (c >= 0xe0)
		term.rune_left = 2, term.rune = c & 15;
	else if (c >= 0xc0)
		term.rune_left = 1, term.rune = c & 31;
	else
		put(c);
}

static void feed(char c)
{
	if ((uint8_t)c < ' ' && term.state != OSC) {
		control(c);
		return;
	}
	switch (term.state) {
	case TEXT: in_text((uint8_t)c); break;
	case ESCAPE: in_escape(c); break;
	case CSI: in_csi(c); break;
	case SKIP_ONE: term.state = TEXT; break;
	case OSC:
		if (c == '\a' || c == '\033')
			term.state = c == '\a' ? TEXT : SKIP_ONE;
		break;
	}
}

static bool same(struct cell a, struct cell b)
{
	return a.code == b.code && a.fg == b.fg && a.bg == b.bg;
}

/* Draws the first few changed cells of a row that has some. */
static void draw_some(unsigned r)
{
	unsigned first = term.dirty[r].first, last = term.dirty[r].last, end;

	while (first < last && same(term.cell[r][first], term.shown[r][first]))
		first++;
	for (end = first; end < last && end - first < DRAW_CELLS; end++)
		term.shown[r][end] = term.cell[r][end];
	if (first < end)
		term.screen->draw(term.screen, r, first, end, term.cell[r]);
	if (end < last) {
		term.dirty[r].first = (uint16_t)end;
		return;
	}
	term.dirty[r].first = UINT16_MAX;
	term.dirty[r].last = 0;
}

static bool terminal_draw(struct console *c)
{
	struct screen *s = term.screen;

	for (unsigned r = 0; r < s->rows; r++) {
		if (term.dirty[r].last > 0) {
			draw_some(r);
			return true;
		}
	}
	if (!term.stale)
		return false;
	term.stale = false;
	term.cursor_row = term.row;
	term.cursor_column = term.column;
	s->cursor(s, term.row, term.column, term.hidden ? NULL : &term.cell[term.row][term.column]);
	return true;
}

/* The cursor goes away by drawing its cell, whether that has changed or not. */
static void begin(void)
{
	if (term.stale)
		return;
	term.stale = true;
	term.shown[term.cursor_row][term.cursor_column].code = 0;
	touch(term.cursor_row, term.cursor_column, term.cursor_column + 1);
}

static void terminal_write(struct console *c, const char *text, size_t len)
{
	begin();
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\n' && term.state == TEXT)
			move_to((int)term.row, 0);
		feed(text[i]);
	}
}

static void terminal_panic(struct console *c)
{
	begin();
	term.state = TEXT;
	term.top = 0;
	term.bottom = term.screen->rows;
	reset_attributes();
	term.fg = 15;
	term.bg = SCREEN_PURPLE;
	term.hidden = true;
	erase_display(2);
	move_to(0, 0);
}

void terminal_init(struct screen *s)
{
	if (term.screen != NULL)
		return;
	s->columns = MIN(s->columns, (unsigned)SCREEN_COLUMNS_MAX);
	s->rows = MIN(s->rows, (unsigned)SCREEN_ROWS_MAX);
	term.screen = s;
	term.bottom = s->rows;
	reset_attributes();
	begin();
	erase_display(2);
	while (terminal_draw(NULL))
		;
	term.console = (struct console){ .name = s->name,
		                         .place = CONSOLE_SCREEN,
		                         .rows = (uint16_t)s->rows,
		                         .columns = (uint16_t)s->columns,
		                         .write = terminal_write,
		                         .draw = terminal_draw,
		                         .panic = terminal_panic };
	console_add(&term.console);
}
