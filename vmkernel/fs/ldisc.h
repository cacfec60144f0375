// SPDX-License-Identifier: Apache-2.0
/*
 * The line discipline of terminals: what happens to bytes between keyboard and reader and between
 * writer and screen. Pure state over two callbacks; the tty's lock guards it.
 * Spec: POSIX.1-2017 chapter 11; Linux termios(3) (N_TTY).
 */
#ifndef FS_LDISC_H
#define FS_LDISC_H
#include "vmk/types.h"

enum { NCCS = 19, LDISC_BUF = 4096 };
struct termios { /* struct ktermios as TCGETS gives it */
	uint32_t iflag, oflag, cflag, lflag;
	uint8_t line, cc[NCCS];
};
ASSERT_SIZE(struct termios, 36);

enum termios_cc {
	VINTR,
	VQUIT,
	VERASE,
	VKILL,
	VEOF,
	VTIME,
	VMIN,
	VSWTC,
	VSTART,
	VSTOP,
	VSUSP,
	VEOL,
	VREPRINT,
	VDISCARD,
	VWERASE,
	VLNEXT,
	VEOL2
};
enum termios_iflag {
	IGNBRK = 1,
	BRKINT = 2,
	ISTRIP = 0x20,
	INLCR = 0x40,
	IGNCR = 0x80,
	ICRNL = 0x100,
	IUCLC = 0x200,
	IXON = 0x400,
	IXANY = 0x800,
	IXOFF = 0x1000,
	IMAXBEL = 0x2000,
	IUTF8 = 0x4000
};
enum termios_oflag {
	OPOST = 1,
	OLCUC = 2,
	ONLCR = 4,
	OCRNL = 8,
	ONOCR = 0x10,
	ONLRET = 0x20,
	XTABS = 0x1800
};
enum termios_lflag {
	ISIG = 1,
	ICANON = 2,
	ECHO = 8,
	ECHOE = 0x10,
	ECHOK = 0x20,
	ECHONL = 0x40,
	NOFLSH = 0x80,
	TOSTOP = 0x100,
	ECHOCTL = 0x200,
	ECHOKE = 0x800,
	EXTPROC = 0x10000,
	IEXTEN = 0x8000
};

struct ldisc_ops {
	void (*output)(void *arg, const char *s, size_t n); /* final bytes for the screen */
	void (*signal)(void *arg, int sig);                 /* to the foreground group */
};

struct ldisc {
	struct termios t;
	const struct ldisc_ops *ops;
	void *arg;
	/*
	 * Input: [tail, ready) may be read, [ready, head) is the line being edited. Positions only
	 * rise.
	 */
	uint8_t buf[LDISC_BUF];
	uint8_t mark[LDISC_BUF / 8]; /* bit: this byte ends a line */
	uint64_t head, ready, tail;
	unsigned column, line_column; /* of the screen; where the edited line began */
	bool quote;                   /* VLNEXT came */
	bool stopped;                 /* VSTOP came: the writer waits */
};

void ldisc_init(struct ldisc *d, const struct ldisc_ops *ops, void *arg);
void ldisc_input(struct ldisc *d, const uint8_t *s, size_t n);
bool ldisc_input_full(const struct ldisc *d); /* what comes now is lost: a pty's writer waits */
/*
 * One read: up to n bytes into out. Canonical: at most one line; returns 0 for an end of file that
 * was typed, -1 when there is no line. Raw: what is there, -1 for nothing.
 */
ssize_t ldisc_read(struct ldisc *d, uint8_t *out, size_t n);
size_t ldisc_readable(const struct ldisc *d); /* FIONREAD; with ICANON only whole lines */
void ldisc_write(struct ldisc *d, const char *s, size_t n); /* OPOST, then ops->output */
void ldisc_flush_input(struct ldisc *d);
void ldisc_set(struct ldisc *d, const struct termios *t);
#endif
