// SPDX-License-Identifier: Apache-2.0
/*
 * Terminals on drivers' ports, /dev/console and /dev/tty. Input comes from interrupts: in_lock
 * guards the bytes on their way, and a work item gives them to the line discipline.
 */
#include "fs/tty.h"
#include "vmk/boot.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/stat.h"
#include "vmk/string.h"
#include "vmk/work.h"

#define LOG_MODULE "tty"
STAT(input_dropped, "tty.input_dropped", "characters that came faster than they could be taken");

enum { IN_SIZE = 4096, ROOM = 4096 };

struct port_tty {
	struct tty tty;
	struct tty_port *port;
	struct work work;
	struct spinlock in_lock; /* interrupt-safe: in, head, tail */
	uint8_t in[IN_SIZE];
	uint32_t head, tail;
};

static struct tty_port *console;

static size_t port_room(struct tty *t)
{
	return ROOM; /* the driver takes everything */
}

static void port_output(struct tty *t, const char *s, size_t n)
{
	struct tty_port *p = ((struct port_tty *)t->priv)->port;

	p->write(p, s, n);
}

static void port_cflag(struct tty *t)
{
	struct tty_port *p = ((struct port_tty *)t->priv)->port;

	if (p->set_cflag)
		p->set_cflag(p, t->ld.t.cflag);
}

/* Only for a port whose device node could not be made. */
static void port_free(struct tty *t)
{
	kfree(t->priv);
}

static const struct tty_end port_end = {
	.room = port_room, .output = port_output, .set_cflag = port_cflag, .free = port_free
};

/*
 * Work world: hands over what has come. Two workers may be here at once, so the terminal's lock is
 * taken first: pieces reach the line discipline in the order in which they were taken.
 */
static void port_work(struct work *w)
{
	struct port_tty *pt = container_of(w, struct port_tty, work);
	uint8_t piece[256];
	size_t n;

	do {
		uint64_t flags;

		mutex_lock(&pt->tty.lock);
		flags = spin_lock_irq(&pt->in_lock);
		for (n = 0; n < sizeof(piece) && pt->tail != pt->head; n++)
			piece[n] = pt->in[pt->tail++ % IN_SIZE];
		spin_unlock_irq(&pt->in_lock, flags);
		if (n)
			tty_input_locked(&pt->tty, piece, n);
		mutex_unlock(&pt->tty.lock);
		if (n)
			waitq_wake_all(&pt->tty.wait);
	} while (n);
}

void tty_port_input(struct tty_port *p, const char *s, size_t n)
{
	struct port_tty *pt = p->tty ? p->tty->priv : NULL;
	uint64_t flags;

	/* The port has no terminal yet (boot): what is typed that early is lost. */
	if (!pt)
		return;
	flags = spin_lock_irq(&pt->in_lock);
	for (size_t i = 0; i < n; i++) {
		if (pt->head - pt->tail == IN_SIZE) {
			stat_add(input_dropped, n - i);
			break;
		}
		pt->in[pt->head++ % IN_SIZE] = (uint8_t)s[i];
	}
	spin_unlock_irq(&pt->in_lock, flags);
	work_queue(&pt->work);
}

static int port_open(struct inode *i, struct file *f)
{
	struct tty_port *p = f->priv;

	WRITE_ONCE(p->used, true);
	return tty_open(p->tty, f);
}

static int console_open(struct inode *i, struct file *f)
{
	if (!console)
		return -ENXIO;
	/* Opening the console never makes it the controlling terminal. */
	f->flags |= O_NOCTTY;
	return tty_open(console->tty, f);
}

static int current_tty_open(struct inode *i, struct file *f)
{
	struct tty *t = proc_current() ? tty_of_session(proc_sid(proc_current())) : NULL;
	int err = t ? tty_open(t, f) : -ENXIO;

	if (t)
		tty_put(t);
	return err;
}

int tty_port_add(struct tty_port *p)
{
	struct port_tty *pt = kzalloc(sizeof(*pt));
	int err;

	if (!pt)
		return -ENOMEM;
	pt->port = p;
	spin_init(&pt->in_lock, "tty_port", RANK_FILE);
	work_init(&pt->work, port_work);
	tty_setup(&pt->tty, &port_end, pt, p->rdev);
	pt->tty.size = (struct winsize){ .rows = p->rows ? p->rows : 24,
		                         .cols = p->cols ? p->cols : 80 };
	/* Before the node exists: an open by name goes through it. */
	p->tty = &pt->tty;
	err = devfs_add(p->name, INODE_CHAR, 0620, p->rdev, port_open, p);
	if (err) {
		p->tty = NULL;
		tty_put(&pt->tty);
		return err;
	}
	/* Until one is selected the first port is the console. */
	if (!console)
		console = p;
	log_info("%s: %u x %u", p->name, pt->tty.size.cols, pt->tty.size.rows);
	return 0;
}

void tty_console_select(struct tty_port *p)
{
	console = p;
}

void tty_init(void)
{
	int err = devfs_add("tty", INODE_CHAR, 0666, DEV_MAKE(5, 0), current_tty_open, NULL);

	if (!err)
		err = devfs_add("console", INODE_CHAR, 0600, DEV_MAKE(5, 1), console_open, NULL);
	if (!err)
		err = pty_init();
	if (err)
		panic("terminals: error %d", -err);
}
