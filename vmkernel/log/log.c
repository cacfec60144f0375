// SPDX-License-Identifier: Apache-2.0
/*
 * The ring log: records of variable length in one ring; the oldest make room for the newest.
 * ring_lock guards everything here. Lines up to the console level (option loglevel=, later
 * log_set_console()) also go to the consoles.
 */
#include "vmk/log.h"
#include "log/log_lock.h"
#include "vmk/boot.h"
#include "vmk/console.h"
#include "vmk/cpu.h"
#include "vmk/string.h"
#include "vmk/time.h"

enum { RING_SIZE = 256 * 1024, LINE_MAX = 512, MODULE_MAX = 24 };

struct record {
	uint64_t seq;
	ns_t time;
	uint32_t world;
	uint16_t cpu;
	uint16_t size; /* of record and text, a multiple of 8 */
	uint16_t len;  /* of the text */
	uint8_t level;
	uint8_t module_len; /* the module's name comes first in the text */
	char text[];
};

enum { RECORD_MAX = sizeof(struct record) + MODULE_MAX + LINE_MAX };
STATIC_ASSERT(RECORD_MAX % 8 == 0);

static struct log_lock ring_lock;
static uint8_t ring[RING_SIZE] __aligned(8);
/*
 * Offsets since boot; modulo RING_SIZE they are places. A record never wraps: the end is skipped.
 */
static uint64_t head, tail;
static uint64_t next_seq = 1;
static const struct log_clock *clock;

static ns_t now(void)
{
	const struct log_clock *c = load_acquire(&clock);

	return c != NULL ? c->now() : 0;
}

void log_set_clock(const struct log_clock *c)
{
	store_release(&clock, c);
}

static struct record *record_at(uint64_t offset)
{
	return (struct record *)&ring[offset % RING_SIZE];
}

/* Bytes from offset to the end of the ring. */
static size_t run_left(uint64_t offset)
{
	return RING_SIZE - offset % RING_SIZE;
}

/*
 * The record that starts at or behind offset: a size of 0, or too little room, means the end was
 * skipped.
 */
static uint64_t skip_end(uint64_t offset)
{
	if (run_left(offset) < sizeof(struct record) || record_at(offset)->size == 0)
		return offset + run_left(offset);
	return offset;
}

static void drop_oldest(void)
{
	tail = skip_end(tail);
	if (tail < head)
		tail += record_at(tail)->size;
}

static struct record *reserve(size_t size)
{
	/* A record is in one piece: when the end of the ring is too short, it stays unused. */
	if (run_left(head) < size) {
		while (tail < head && head + run_left(head) - tail > RING_SIZE)
			drop_oldest();
		if (run_left(head) >= sizeof(struct record))
			record_at(head)->size = 0;
		head += run_left(head);
	}
	while (tail < head && head + size - tail > RING_SIZE)
		drop_oldest();
	head += size;
	return record_at(head - size);
}

static void append(enum log_level level, const char *module, const char *text, size_t len)
{
	size_t module_len = strnlen(module, MODULE_MAX);
	size_t size = ALIGN_UP(sizeof(struct record) + module_len + len, 8);
	struct record *r = reserve(size);

	*r = (struct record){
		.seq = next_seq++,
		.time = now(),
		.world = cpu_world_id(),
		.cpu = (uint16_t)cpu_id(),
		.size = (uint16_t)size,
		.len = (uint16_t)len,
		.level = (uint8_t)level,
		.module_len = (uint8_t)module_len,
	};
	memcpy(r->text, module, module_len);
	memcpy(r->text + module_len, text, len);
}

/* Consoles show seconds since boot. */
static void show(const char *module, const char *text, size_t len)
{
	char line[LINE_MAX + 96];
	ns_t at = now();
	int n;

	n = vmk_snprintf(line, sizeof(line), "%4llu.%06llu cpu%u:%u)%s: %.*s\n",
	                 (unsigned long long)(at / NS_PER_S),
	                 (unsigned long long)(at % NS_PER_S / NS_PER_US), cpu_id(), cpu_world_id(),
	                 module, (int)len, text);
	console_write_whole(line, MIN((size_t)n, sizeof(line) - 1));
}

/* Option loglevel=: a name or its number. */
static unsigned console_level(void)
{
	static const char *const name[] = { "error", "warning", "info", "debug" };
	char text[16];
	uint64_t n;

	if (!boot_option("loglevel", text, sizeof(text)))
		return LOG_INFO;
	for (unsigned i = 0; i < ARRAY_SIZE(name); i++)
		if (strcmp(text, name[i]) == 0)
			return i;
	return str_to_u64(text, &n) == 0 && n <= LOG_DEBUG ? (unsigned)n : LOG_INFO;
}

static unsigned console_max = UINT32_MAX; /* until the boot options are known */

void log_init(void)
{
	console_max = console_level();
}

void log_set_console(enum log_level max)
{
	WRITE_ONCE(console_max, (unsigned)max);
}

void log_write(enum log_level level, const char *module, const char *fmt, ...)
{
	char text[LINE_MAX];
	uint64_t flags;
	va_list ap;
	size_t len;

	va_start(ap, fmt);
	len = (size_t)vmk_vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	len = MIN(len, sizeof(text) - 1);
	/*
	 * Formatting is outside of the lock: it runs with interrupts on where the caller has them
	 * on.
	 */
	flags = log_lock_take(&ring_lock);
	append(level, module, text, len);
	log_lock_give(&ring_lock, flags);
	if (level <= READ_ONCE(console_max))
		show(module, text, len);
}

/*
 * "2025-12-11T16:41:48.486Z Wa(180) vmkernel: cpu1:131211)Module: text", as in ESXi's vmkernel.log.
 */
static size_t format(const struct record *r, char *buf, size_t size)
{
	static const char *const level[] = { "Er(179)", "Wa(180)", "In(182)", "Db(183)" };
	/* With the offset of now: lines from before the clock was set get the right date too. */
	ns_t at = clock != NULL ? clock->realtime() - clock->now() + r->time : r->time;
	struct date d;

	date_from_unix(at / NS_PER_S, &d);
	return (size_t)vmk_snprintf(
		buf, size, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ %s vmkernel: cpu%u:%u)%.*s: %.*s\n",
		d.year, d.month, d.day, d.hour, d.minute, d.second,
		(unsigned)(at / NS_PER_MS % 1000), level[r->level], r->cpu, r->world, r->module_len,
		r->text, r->len, r->text + r->module_len);
}

/*
 * A copy of the first record from *at on with a number of at least seq; *at moves behind it. The
 * lock is held for one record at a time: formatting with interrupts off would be long.
 */
static bool copy_record(uint64_t *at, uint64_t seq, struct record *out)
{
	uint64_t flags = log_lock_take(&ring_lock);
	bool found = false;

	/* Since the last call the oldest records may have made room for newer ones. */
	*at = MAX(*at, tail);
	while (!found && (*at = skip_end(*at)) < head) {
		const struct record *r = record_at(*at);

		found = r->seq >= seq;
		if (found)
			memcpy(out, r, MIN((size_t)r->size, (size_t)RECORD_MAX));
		*at += r->size;
	}
	log_lock_give(&ring_lock, flags);
	return found;
}

size_t log_read(uint64_t *seq, char *buf, size_t size)
{
	uint64_t words[RECORD_MAX / 8], at = 0;
	struct record *r = (struct record *)words;
	size_t used = 0;

	while (copy_record(&at, *seq, r)) {
		size_t n = format(r, buf + used, size - used);

		/* It does not fit any more: the next call starts with it. */
		if (n >= size - used)
			break;
		used += n;
		*seq = r->seq + 1;
	}
	return used;
}
