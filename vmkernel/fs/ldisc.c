// SPDX-License-Identifier: Apache-2.0
/*
 * The line discipline, N_TTY of Linux without its rarities. Input is one ring with three positions
 * that only rise: a reader takes from tail, bytes before `ready` may be read, those behind it are
 * the line that is being edited and can still be erased. A mark beside a byte says that it ends a
 * line; an end of file that was typed is a marked 0 that the reader never sees. Erasing must take
 * off the screen what echo put there, so the screen's column is followed byte by byte.
 */
#include "fs/ldisc.h"
#include "proc/signal.h"
#include "vmk/string.h"

enum { TAB = 8, BEL = 7 };

static bool lflag(const struct ldisc *d, uint32_t bits)
{
	return (d->t.lflag & bits) == bits;
}

/* cc value 0 means "disabled". */
static bool is_cc(const struct ldisc *d, uint8_t c, enum termios_cc which)
{
	return d->t.cc[which] && d->t.cc[which] == c;
}

void ldisc_init(struct ldisc *d, const struct ldisc_ops *ops, void *arg)
{
	static const struct termios sane = {
		.iflag = ICRNL | IXON | IUTF8,
		.oflag = OPOST | ONLCR,
		/* B38400... CS8 CREAD HUPCL CLOCAL; the port's driver has its own speed */
		.cflag = 0x0cbf,
		.lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
		.cc = { [VINTR] = 3,
		        [VQUIT] = 28,
		        [VERASE] = 127,
		        [VKILL] = 21,
		        [VEOF] = 4,
		        [VMIN] = 1,
		        [VSTART] = 17,
		        [VSTOP] = 19,
		        [VSUSP] = 26,
		        [VREPRINT] = 18,
		        [VDISCARD] = 15,
		        [VWERASE] = 23,
		        [VLNEXT] = 22 },
	};

	memset(d, 0, sizeof(*d));
	d->t = sane;
	d->ops = ops;
	d->arg = arg;
}

static bool mark_at(const struct ldisc *d, uint64_t pos)
{
	return d->mark[pos % LDISC_BUF / 8] >> (pos % 8) & 1;
}

static void put(struct ldisc *d, uint8_t c, bool mark)
{
	uint64_t p = d->head++;

	d->buf[p % LDISC_BUF] = c;
	d->mark[p % LDISC_BUF / 8] &= (uint8_t) ~(1u << (p % 8));
	d->mark[p % LDISC_BUF / 8] |= (uint8_t)((unsigned)mark << (p % 8));
}

/* A continuation byte: part of a character that took its column with its first byte. */
static bool utf8_tail(const struct ldisc *d, uint8_t c)
{
	return (d->t.iflag & IUTF8) && (c & 0xc0) == 0x80;
}

/* One byte to the screen with OPOST; keeps the column. */
static void out_char(struct ldisc *d, uint8_t c)
{
	static const char blanks[TAB] = "        ";
	uint32_t o = d->t.oflag;
	char ch = (char)c;

	if (!(o & OPOST)) {
		d->ops->output(d->arg, &ch, 1);
		return;
	}
	/*
	 * POSIX 11.2.3: what the output modes make of a control character, and where the column is
	 * then.
	 */
	switch (c) {
	case '\n':
		if (o & (ONLCR | ONLRET))
			d->column = 0;
		d->ops->output(d->arg, o & ONLCR ? "\r\n" : "\n", o & ONLCR ? 2 : 1);
		return;
	case '\r':
		if ((o & ONOCR) && d->column == 0)
			return;
		d->column = 0;
		d->ops->output(d->arg, o & OCRNL ? "\n" : "\r", 1);
		return;
	case '\t': {
		unsigned n = TAB - d->column % TAB;

		d->column += n;
		d->ops->output(d->arg, (o & XTABS) == XTABS ? blanks : "\t",
		               (o & XTABS) == XTABS ? n : 1);
		return;
	}
	case '\b': d->column -= d->column > 0; break;
	default:
		if (o & OLCUC && c >= 'a' && c <= 'z')
			ch = (char)(c - 32);
		if (c >= ' ' && c != 127 && !utf8_tail(d, c))
			d->column++;
	}
	d->ops->output(d->arg, &ch, 1);
}

void ldisc_write(struct ldisc *d, const char *s, size_t n)
{
	size_t plain = 0;

	if (!(d->t.oflag & OPOST)) {
		d->ops->output(d->arg, s, n);
		return;
	}
	for (size_t i = 0; i < n; i++) { /* runs of ordinary characters go out in one piece */
		if ((uint8_t)s[i] >= ' ' && s[i] != 127 && !(d->t.oflag & OLCUC)) {
			d->column += !utf8_tail(d, (uint8_t)s[i]);
			continue;
		}
		if (i > plain)
			d->ops->output(d->arg, s + plain, i - plain);
		out_char(d, (uint8_t)s[i]);
		plain = i + 1;
	}
	if (n > plain)
		d->ops->output(d->arg, s + plain, n - plain);
}

static bool shown_as_control(const struct ldisc *d, uint8_t c)
{
	return lflag(d, ECHOCTL) && (c < ' ' || c == 127) && c != '\t';
}

static void echo(struct ldisc *d, uint8_t c)
{
	if (!(d->t.lflag & ECHO))
		return;
	if (shown_as_control(d, c)) {
		out_char(d, '^');
		out_char(d, c ^ 0x40);
	} else {
		out_char(d, c);
	}
}

/* The screen's column after the edited line up to pos, as echo wrote it. */
static unsigned column_at(const struct ldisc *d, uint64_t pos)
{
	unsigned col = d->line_column;

	/*
	 * Counted again from the line's begin: tabs and two-column controls make it depend on all
	 * before.
	 */
	for (uint64_t p = d->ready; p < pos; p++) {
		uint8_t c = d->buf[p % LDISC_BUF];

		if (c == '\t')
			col += TAB - col % TAB;
		else if (shown_as_control(d, c))
			col += 2;
		else if (c >= ' ' && !utf8_tail(d, c))
			col++;
	}
	return col;
}

/* The first byte of the last character of the edited line. */
static uint8_t last_char(const struct ldisc *d)
{
	uint64_t p = d->head - 1;

	while (utf8_tail(d, d->buf[p % LDISC_BUF]) && p > d->ready)
		p--;
	return d->buf[p % LDISC_BUF];
}

/* As Linux has it: ASCII and Latin-1 letters, digits, '_'. */
static bool word_char(uint8_t c)
{
	return c == '_' || (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
	       (c >= 0xc0 && c != 0xd7 && c != 0xf7);
}

/*
 * Takes the last character (all bytes of it) off the edited line, and off the screen; one of many:
 * whatever ECHOE says.
 */
static void erase_char(struct ldisc *d, bool one_of_many)
{
	unsigned before = column_at(d, d->head);
	uint8_t c;

	do
		c = d->buf[--d->head % LDISC_BUF];
	while (utf8_tail(d, c) && d->head > d->ready);
	if (!(d->t.lflag & ECHO))
		return;
	/* Without ECHOE a terminal that cannot erase shows the erase character instead. */
	if (!(d->t.lflag & ECHOE) && !one_of_many) {
		echo(d, d->t.cc[VERASE]);
		return;
	}
	for (unsigned n = before - column_at(d, d->head); n; n--) {
		/* A tab left blanks that were never written: going back is enough. */
		if (c == '\t')
			out_char(d, '\b');
		else
			d->ops->output(d->arg, "\b \b", 3), d->column -= d->column > 0;
	}
}

static void erase_word(struct ldisc *d)
{
	bool seen = false;

	while (d->head > d->ready) {
		bool word = word_char(last_char(d));

		/* First what is no word, then the word before it, as Linux does. */
		if (seen && !word)
			break;
		seen |= word;
		erase_char(d, true);
	}
}

static void kill_line(struct ldisc *d)
{
	/* ECHOKE wipes the line off the screen; otherwise a new line is begun below it. */
	if (lflag(d, ECHO | ECHOK | ECHOKE | ECHOE)) {
		while (d->head > d->ready)
			erase_char(d, true);
		return;
	}
	if (d->head > d->ready) {
		echo(d, d->t.cc[VKILL]);
		if (lflag(d, ECHO | ECHOK))
			out_char(d, '\n');
	}
	d->head = d->ready;
}

static void reprint(struct ldisc *d, uint8_t c)
{
	echo(d, c);
	out_char(d, '\n');
	d->line_column = 0;
	for (uint64_t p = d->ready; p < d->head; p++)
		echo(d, d->buf[p % LDISC_BUF]);
}

static void end_line(struct ldisc *d, uint8_t c)
{
	put(d, c, true);
	d->ready = d->head;
}

void ldisc_flush_input(struct ldisc *d)
{
	d->tail = d->ready = d->head;
	d->quote = false;
}

/* True when c made a signal. */
static bool signal_char(struct ldisc *d, uint8_t c)
{
	int sig = is_cc(d, c, VINTR)   ? SIGINT
	          : is_cc(d, c, VQUIT) ? SIGQUIT
	          : is_cc(d, c, VSUSP) ? SIGTSTP
	                               : 0;

	if (!sig)
		return false;
	/* A signal must reach its group although output is stopped, and lets output go on. */
	d->stopped = false;
	if (!(d->t.lflag & NOFLSH))
		ldisc_flush_input(d);
	echo(d, c);
	d->ops->signal(d->arg, sig);
	return true;
}

/* Flow control; true when c was it. */
static bool flow_char(struct ldisc *d, uint8_t c)
{
	if (!(d->t.iflag & IXON))
		return false;
	/* One character may be set for both: then it toggles. */
	if (is_cc(d, c, VSTART) || is_cc(d, c, VSTOP)) {
		d->stopped = is_cc(d, c, VSTOP) && !(is_cc(d, c, VSTART) && d->stopped);
		return true;
	}
	if (d->stopped && (d->t.iflag & IXANY))
		d->stopped = false;
	return false;
}

/* Editing in canonical mode; true when c was an editing character. */
static bool edit_char(struct ldisc *d, uint8_t c)
{
	if (is_cc(d, c, VERASE)) {
		if (d->head > d->ready)
			erase_char(d, false);
	} else if (is_cc(d, c, VKILL)) {
		kill_line(d);
	} else if (lflag(d, IEXTEN) && is_cc(d, c, VWERASE)) {
		erase_word(d);
	} else if (lflag(d, IEXTEN) && is_cc(d, c, VREPRINT)) {
		reprint(d, c);
	} else if (is_cc(d, c, VEOF)) {
		end_line(d, 0); /* the reader sees the mark, not the byte */
	} else if (c == '\n' || is_cc(d, c, VEOL) || (lflag(d, IEXTEN) && is_cc(d, c, VEOL2))) {
		if (c != '\n')
			echo(d, c);
		else if (d->t.lflag & (ECHO | ECHONL))
			out_char(d, c);
		end_line(d, c);
	} else {
		return false;
	}
	return true;
}

bool ldisc_input_full(const struct ldisc *d)
{
	/* In canonical mode a line that ends must always fit, so that the reader can make room. */
	return d->head - d->tail >= LDISC_BUF - 1 && (!lflag(d, ICANON) || d->ready > d->tail);
}

static void input_char(struct ldisc *d, uint8_t c)
{
	if (d->t.iflag & ISTRIP)
		c &= 0x7f;
	/* After VLNEXT the next character loses every meaning. */
	if (d->quote) {
		d->quote = false;
		goto plain;
	}
	/*
	 * The order is N_TTY's: signals before flow control, before mapping of CR and NL, before
	 * editing.
	 */
	if (lflag(d, ISIG) && signal_char(d, c))
		return;
	if (flow_char(d, c))
		return;
	if (c == '\r' && (d->t.iflag & IGNCR))
		return;
	if (c == '\r' && (d->t.iflag & ICRNL))
		c = '\n';
	else if (c == '\n' && (d->t.iflag & INLCR))
		c = '\r';
	if (lflag(d, ICANON | IEXTEN) && is_cc(d, c, VLNEXT)) {
		d->quote = true;
		if (lflag(d, ECHO | ECHOCTL))
			d->ops->output(d->arg, "^\b", 2);
		return;
	}
	/* A full buffer still takes erasures and the line's end, for which one place is kept. */
	if (d->head - d->tail < LDISC_BUF) {
		if (d->head == d->ready)
			d->line_column = d->column;
		if (lflag(d, ICANON) && edit_char(d, c))
			return;
	}
plain:
	if (d->head - d->tail >=
	    LDISC_BUF - (lflag(d, ICANON) ? 1 : 0)) { /* one place is for the line's end */
		if (d->t.iflag & IMAXBEL)
			out_char(d, BEL);
		return;
	}
	if (d->head == d->ready)
		d->line_column = d->column;
	echo(d, c);
	put(d, c, false);
	if (!lflag(d, ICANON))
		d->ready = d->head;
}

void ldisc_input(struct ldisc *d, const uint8_t *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		input_char(d, s[i]);
}

size_t ldisc_readable(const struct ldisc *d)
{
	return (size_t)(d->ready - d->tail);
}

ssize_t ldisc_read(struct ldisc *d, uint8_t *out, size_t n)
{
	ssize_t got = 0;

	if (d->tail == d->ready)
		return -1;
	while (d->tail < d->ready && (size_t)got < n) {
		uint8_t c = d->buf[d->tail % LDISC_BUF];
		bool mark = mark_at(d, d->tail);

		d->tail++;
		if (mark && c == 0) /* VEOF: ends the line without a byte */
			return got;
		out[got++] = c;
		/* A canonical read gives one line, however much the reader asked for. */
		if (mark && lflag(d, ICANON))
			return got;
	}
	/* A line that exactly filled the reader's buffer: its VEOF goes with it. */
	if (got && d->tail < d->ready && mark_at(d, d->tail) && d->buf[d->tail % LDISC_BUF] == 0)
		d->tail++;
	return got;
}

void ldisc_set(struct ldisc *d, const struct termios *t)
{
	bool was = lflag(d, ICANON);

	d->t = *t;
	if (was != lflag(d, ICANON)) {
		/* What was typed stays: to a raw reader it is ready as it is. */
		d->ready = d->head;
		d->quote = false;
	}
	/* Without IXON nobody could type the character that lets output go on. */
	if (!(t->iflag & IXON))
		d->stopped = false;
}
