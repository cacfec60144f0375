// SPDX-License-Identifier: Apache-2.0
/*
 * Inside of the terminal code. t->lock guards a tty (line discipline included); list_lock guards
 * which ttys there are and their sessions, and is taken inside of it. Where bytes go to and come
 * from is a tty_end: a driver's port (tty_port.c) or a pty's master (pty.c).
 */
#ifndef FS_TTY_H
#define FS_TTY_H
#include "fs/ldisc.h"
#include "fs/vfs.h"
#include "vmk/tty.h"

struct winsize {
	uint16_t rows, cols, xpixel, ypixel;
};

struct tty;
struct tty_end { /* all under t->lock */
	/* Bytes that can be given to output now; a writer waits while it is below TTY_ROOM_MIN. */
	size_t (*room)(struct tty *t);
	void (*output)(struct tty *t, const char *s, size_t n);
	void (*input_taken)(struct tty *t); /* a reader made room; may be NULL */
	void (*set_cflag)(struct tty *t);   /* may be NULL */
	void (*free)(struct tty *t);        /* the last reference is gone */
};
enum { TTY_ROOM_MIN = 64 };

struct tty {
	struct list link; /* all ttys; list_lock */
	struct mutex lock;
	struct waitq wait;
	struct ldisc ld;
	const struct tty_end *end;
	void *priv; /* the end's */
	uint64_t rdev;
	uint32_t refs;
	struct winsize size;
	bool hung;      /* the other side is gone */
	bool exclusive; /* TIOCEXCL */
	unsigned opens;
	int sid, pgrp; /* 0: none */
};

void tty_setup(struct tty *t, const struct tty_end *end, void *priv, uint64_t rdev);
void tty_put(struct tty *t);
/*
 * The file becomes an open terminal; a session leader without one gets it as controlling terminal.
 */
int __must_check tty_open(struct tty *t, struct file *f);
void tty_input_locked(struct tty *t, const uint8_t *s, size_t n);
void tty_hangup(struct tty *t);
void tty_resize(struct tty *t, const struct winsize *w);
struct tty *tty_of_session(int sid); /* with a reference, or NULL */
struct tty *tty_find(uint64_t rdev); /* likewise */
/* TIOCSCTTY: force takes it away from another session. */
int __must_check tty_take(struct tty *t, bool force);
/* ioctls that slave and master have in common; -ENOTTY. */
long tty_ioctl(struct tty *t, unsigned cmd, uva_t arg, bool master);
/* -ERESTARTSYS after the signal when the current process may not do that from the background. */
int __must_check tty_check_change(struct tty *t, int sig);
int __must_check pty_init(void);
#endif
