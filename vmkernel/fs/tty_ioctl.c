// SPDX-License-Identifier: Apache-2.0
/* ioctls of terminals. Spec: Linux tty_ioctl(4). */
#include "fs/tty.h"
#include "vmk/string.h"

static long set_termios(struct tty *t, unsigned cmd, uva_t arg)
{
	struct termios n;
	bool wake;
	int err = tty_check_change(t, SIGTTOU);

	if (err)
		return err;
	if (copy_from_user(&n, arg, sizeof(n)))
		return -EFAULT;
	mutex_lock(&t->lock);
	if (cmd == TCSETSF)
		ldisc_flush_input(&t->ld);
	/*
	 * The driver hears of speed and size only when they change: setting them may garble what is
	 * being sent.
	 */
	wake = n.cflag != t->ld.t.cflag;
	ldisc_set(&t->ld, &n);
	if (wake && t->end->set_cflag)
		t->end->set_cflag(t);
	mutex_unlock(&t->lock);
	/* Readers look again: ICANON, VMIN and VTIME decide what is ready. */
	waitq_wake_all(&t->wait);
	return 0;
}

static long get_termios(struct tty *t, uva_t arg)
{
	struct termios now;

	mutex_lock(&t->lock);
	now = t->ld.t;
	mutex_unlock(&t->lock);
	return copy_to_user(arg, &now, sizeof(now));
}

/* The caller's own terminal, or a master's: then job control can be asked about. */
static bool is_mine(struct tty *t, bool master)
{
	return master || (proc_current() && t->sid && t->sid == proc_sid(proc_current()));
}

static long set_pgrp(struct tty *t, uva_t arg, bool master)
{
	int32_t pgrp;
	int err = tty_check_change(t, SIGTTOU);

	if (err)
		/* As Linux: an orphan has no job control here. */
		return err == -EIO ? -ENOTTY : err;
	if (!is_mine(t, false) && !master)
		return -ENOTTY;
	if (copy_from_user(&pgrp, arg, sizeof(pgrp)))
		return -EFAULT;
	if (pgrp < 0)
		return -EINVAL;
	/* Or a process could put another session's group into the foreground of this terminal. */
	if (!pgrp_in_session(pgrp, t->sid))
		return -EPERM;
	t->pgrp = pgrp;
	return 0;
}

static long out_int(uva_t arg, int32_t v)
{
	return copy_to_user(arg, &v, sizeof(v));
}

static long flow(struct tty *t, unsigned what)
{
	enum { TCOOFF, TCOON, TCIOFF, TCION };

	if (what > TCION)
		return -EINVAL;
	mutex_lock(&t->lock);
	if (what <= TCOON)
		t->ld.stopped = what == TCOOFF;
	/* TCIOFF and TCION send the stop or start character to the other side. */
	else if (t->ld.t.cc[what == TCIOFF ? VSTOP : VSTART])
		t->end->output(t, (const char *)&t->ld.t.cc[what == TCIOFF ? VSTOP : VSTART], 1);
	mutex_unlock(&t->lock);
	waitq_wake_all(&t->wait);
	return 0;
}

static long flush(struct tty *t, unsigned what)
{
	enum { TCIFLUSH, TCOFLUSH, TCIOFLUSH };

	if (what > TCIOFLUSH)
		return -EINVAL;
	mutex_lock(&t->lock);
	if (what != TCOFLUSH)
		ldisc_flush_input(&t->ld);
	mutex_unlock(&t->lock);
	waitq_wake_all(&t->wait);
	return 0;
}

/* TIOCSTI: as if the character had been typed. */
static long type_char(struct tty *t, uva_t arg)
{
	uint8_t c;

	if (cred_current()->euid)
		return -EPERM;
	if (copy_from_user(&c, arg, 1))
		return -EFAULT;
	mutex_lock(&t->lock);
	tty_input_locked(t, &c, 1);
	mutex_unlock(&t->lock);
	waitq_wake_all(&t->wait);
	return 0;
}

static long readable(struct tty *t, uva_t arg)
{
	int32_t n;

	mutex_lock(&t->lock);
	n = (int32_t)ldisc_readable(&t->ld);
	mutex_unlock(&t->lock);
	return out_int(arg, n);
}

static long set_size(struct tty *t, uva_t arg)
{
	struct winsize w;

	if (copy_from_user(&w, arg, sizeof(w)))
		return -EFAULT;
	tty_resize(t, &w);
	return 0;
}

long tty_ioctl(struct tty *t, unsigned cmd, uva_t arg, bool master)
{
	int err;

	switch (cmd) {
	case TCGETS: return get_termios(t, arg);
	case TCSETS:
	case TCSETSW:
	case TCSETSF: return set_termios(t, cmd, arg);
	case TIOCGWINSZ: return copy_to_user(arg, &t->size, sizeof(t->size));
	case TIOCSWINSZ: return set_size(t, arg);
	case TIOCGPGRP: return is_mine(t, master) ? out_int(arg, t->pgrp) : -ENOTTY;
	case TIOCSPGRP: return set_pgrp(t, arg, master);
	case TIOCGSID: return is_mine(t, master) && t->sid ? out_int(arg, t->sid) : -ENOTTY;
	case TIOCSCTTY: return tty_take(t, arg == 1);
	case TIOCNOTTY:
		if (!is_mine(t, false))
			return -ENOTTY;
		if (proc_pid(proc_current()) == t->sid)
			tty_session_end(t->sid);
		return 0;
	case FIONREAD: return readable(t, arg);
	case TIOCOUTQ: return out_int(arg, 0);
	case TCFLSH: err = tty_check_change(t, SIGTTOU); return err ? err : flush(t, (unsigned)arg);
	case TCXONC: err = tty_check_change(t, SIGTTOU); return err ? err : flow(t, (unsigned)arg);
	case TCSBRK: /* tcdrain, and breaks, which no port here can send */
	case TCSBRKP: return tty_check_change(t, SIGTTOU);
	case TIOCSTI: return type_char(t, arg);
	case TIOCEXCL:
	case TIOCNXCL: t->exclusive = cmd == TIOCEXCL; return 0;
	case TIOCGETD: return out_int(arg, 0);
	case TIOCMGET:
		return master || t->end->set_cflag == NULL ? -ENOTTY
		                                           : out_int(arg, 0x166); /* all lines up */
	}
	return -ENOTTY;
}
