// SPDX-License-Identifier: Apache-2.0
/*
 * The consoles and who listens to them. The list only grows, so it is walked without a lock; output is
 * serialised by output_lock (log/log_lock.h), which a CPU in a panic passes.
 */
#include "vmk/console.h"
#include "log/log_lock.h"
#include "vmk/boot.h"
#include "vmk/string.h"

enum { CHUNK = 128 };

static struct console *consoles;
static void (*input)(enum console_place place, const char *text, size_t len);
static struct log_lock output_lock;
static bool claimed[CONSOLE_PLACES]; /* by a program: no log lines */

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

void console_emit(const char *text, size_t len)
{
	bool everywhere = READ_ONCE(log_panicking);

	for (struct console *c = load_acquire(&consoles); c != NULL; c = c->next)
		if (everywhere || !READ_ONCE(claimed[c->place]))
			c->write(c, text, len);
}

void console_claim(enum console_place place)
{
	WRITE_ONCE(claimed[place], true);
}

void console_write(enum console_place place, const char *text, size_t len)
{
	while (len > 0) {
		/* At most a chunk with interrupts off: a serial line needs 11 ms for it. */
		size_t n = MIN(len, (size_t)CHUNK);
		uint64_t flags = log_lock_take(&output_lock);

		for (struct console *c = load_acquire(&consoles); c != NULL; c = c->next)
			if (c->place == place)
				c->write(c, text, n);
		log_lock_give(&output_lock, flags);
		text += n;
		len -= n;
	}
}

void console_write_whole(const char *text, size_t len)
{
	uint64_t flags = log_lock_take(&output_lock);

	console_emit(text, len);
	log_lock_give(&output_lock, flags);
}

void console_begin_panic(void)
{
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
