// SPDX-License-Identifier: Apache-2.0
/*
 * Terminals. A driver (UART, keyboard with screen) declares a port; fs/tty.c puts a tty with line
 * discipline and job control on it and makes /dev/NAME. Input may come from any context: it is
 * queued and the line discipline runs in a work world. Output is called from worlds, one call at a
 * time a port, and may sleep.
 */
#ifndef VMK_TTY_H
#define VMK_TTY_H
#include "vmk/types.h"

struct tty;
struct tty_port {
	const char *name;    /* "ttyS0", "tty1" */
	uint64_t rdev;       /* DEV_MAKE(major, minor), Linux's numbers */
	uint16_t rows, cols; /* 0: 24 x 80 */
	/* All of it, in order; the bytes are final (the line discipline has made "\r\n"). */
	void (*write)(struct tty_port *p, const char *s, size_t n);
	/* New speed or character size, a c_cflag of struct termios; may be NULL. */
	void (*set_cflag)(struct tty_port *p, uint32_t cflag);
	bool used;       /* somebody has opened it by its own name */
	void *priv;      /* the driver's */
	struct tty *tty; /* fs/tty.c's */
};
/* Linux's packing of majors below 4096 and minors below 2^20. */
#define DEV_MAKE(major, minor) \
	((uint64_t)(major) << 8 | ((minor)&0xff) | (uint64_t)((minor)&0xfff00) << 12)
#define DEV_MAJOR(dev) ((unsigned)((dev) >> 8 & 0xfff))
#define DEV_MINOR(dev) ((unsigned)(((dev)&0xff) | ((dev) >> 12 & 0xfff00)))

int __must_check tty_port_add(struct tty_port *p); /* after fs_init(); the port stays for good */
void tty_port_input(struct tty_port *p, const char *s, size_t n); /* any context; drops when full */
/* /dev/console is this port; the first port until it is chosen. */
void tty_console_select(struct tty_port *p);

/* Terminals on the host's consoles (fs/console_port.c): once, after fs_init(). */
void console_port_init(void);

/* A session leader has ended: its terminal hangs up and is free again. */
void tty_session_end(int sid);
/* Device number and foreground group of the session's terminal; 0 and -1 when it has none. */
void tty_session_info(int sid, uint64_t *rdev, int *pgrp);
#endif
