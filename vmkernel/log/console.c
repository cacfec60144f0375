// SPDX-License-Identifier: Apache-2.0
/*
 * The consoles and who listens to them. The list only grows, so it is walked without a lock; output
 * is serialised by output_lock (log/log_lock.h), which a CPU in a panic passes. The lock turns
 * interrupts off, so it is held for a step at a time; whoever finds a log line half written writes
 * its rest first, also an interrupt handler.
 */
#include "vmk/console.h"
#include "log/log_lock.h"
#include "vmk/boot.h"
#include "vmk/string.h"

enum {
	STEP = 16,        /* a UART's FIFO */
	SCREEN_STEP = 128 /* drawn once: a screen that scrolls draws everything */
};

bool log_panicking;
static struct console *consoles;
static void (*input)(enum console_place place, const char *text, size_t len);
static struct log_lock output_lock;
static bool claimed[CONSOLE_PLACES]; /* by a program: no log lines */
static struct {
	char text[CONSOLE_LINE_MAX];
	size_t at, len; /* [at, len) is still to be written */
	uint64_t number;
} line; /* the log line in progress */

/* Option console=a,b names the consoles to use; without it all are. */
static bool wanted(const char *name)
{
	char list[64];
	size_t len = strlen(name);

	if (!boot_option("console", list, sizeof(list)))
		return true;
	for (const char *p = list; (p = strstr(p, name)) != NULL; p += len)
		if ((p == list || p[-1] == ',') && (p[len] == '\0' || p[len] == ','))
			return true;
	return false;
}

void console_add(struct console *c)
{
	if (!wanted(c->name))
		return;
	c->next = consoles;
	store_release(&consoles, c);
}

const struct console *console_at(enum console_place place)
{
	struct console *c = load_acquire(&consoles);

	while (c != NULL && c->place != place)
		c = c->next;
	return c;
}

static void emit(const char *text, size_t len)
{
	bool everywhere = READ_ONCE(log_panicking);

	for (struct console *c = load_acquire(&consoles); c != NULL; c = c->next)
		if (everywhere || !READ_ONCE(claimed[c->place]))
			c->write(c, text, len);
}

static bool draw(void)
{
	bool more = false;

	for (struct console *c = load_acquire(&consoles); c != NULL; c = c->next)
		if (c->draw != NULL)
			more |= c->draw(c);
	return more;
}

/* A little of what is still to be shown; false: nothing is left. */
static bool step(void)
{
	size_t at = line.at, n = MIN(line.len - at, (size_t)STEP);

	if (draw())
		return true;
	if (n == 0)
		return false;
	line.at = at + n;
	emit(line.text + at, n);
	return true;
}

void console_emit(const char *text, size_t len)
{
	emit(text, len);
	while (draw())
		;
}

void console_claim(enum console_place place)
{
	WRITE_ONCE(claimed[place], true);
}

void console_write(enum console_place place, const char *text, size_t len)
{
	size_t most = place == CONSOLE_LINE ? STEP : SCREEN_STEP;
	bool busy;

	/*
	 * One step under the lock, then interrupts are on again. A log line that came in between
	 * goes first and whole: step() is busy until it is out.
	 */
	do {
		uint64_t flags = log_lock_take(&output_lock);

		busy = step();
		if (!busy && len > 0) {
			size_t n = MIN(len, most);

			for (struct console *c = load_acquire(&consoles); c != NULL; c = c->next)
				if (c->place == place)
					c->write(c, text, n);
			text += n;
			len -= n;
			busy = true;
		}
		log_lock_give(&output_lock, flags);
	} while (busy);
}

void console_write_whole(const char *text, size_t len)
{
	uint64_t number = 0;
	bool done;

	/*
	 * First what is left of a line before ours is written, then ours takes the place, and its
	 * number tells whether it is still there. Whoever takes the lock in between goes on with
	 * our line, so that this may find it written.
	 */
	do {
		uint64_t flags = log_lock_take(&output_lock);

		/* Another's line has the place when ours is out. */
		done = number != 0 && line.number != number;
		if (!done && !step()) {
			done = number != 0;
			if (!done) {
				number = ++line.number;
				line.at = 0;
				line.len = MIN(len, sizeof(line.text));
				memcpy(line.text, text, line.len);
			}
		}
		log_lock_give(&output_lock, flags);
	} while (!done);
}

void console_begin_panic(void)
{
	while (step()) /* what the log had to say before */
		;
	for (struct console *c = load_acquire(&consoles); c != NULL; c = c->next)
		if (c->panic != NULL)
			c->panic(c);
}

void console_input(enum console_place place, const char *text, size_t len)
{
	void (*fn)(enum console_place, const char *, size_t) = load_acquire(&input);

	if (fn != NULL)
		fn(place, text, len);
}

void console_set_input(void (*fn)(enum console_place place, const char *text, size_t len))
{
	store_release(&input, fn);
}
