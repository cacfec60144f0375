// SPDX-License-Identifier: Apache-2.0
/*
 * The ring log and the panic. Any context may log, interrupt handlers too. Lines go to the ring
 * (read through the control socket), to serial and to the screen by level. Each .c defines
 * LOG_MODULE first.
 */
#ifndef VMK_LOG_H
#define VMK_LOG_H
#include "vmk/types.h"

enum log_level { LOG_ERR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_write(enum log_level level, const char *module, const char *fmt, ...) __printf(3, 4);

#define log_err(...)   log_write(LOG_ERR, LOG_MODULE, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_WARN, LOG_MODULE, __VA_ARGS__)
#define log_info(...)  log_write(LOG_INFO, LOG_MODULE, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, LOG_MODULE, __VA_ARGS__)

/*
 * Copies whole log records with a sequence number >= *seq into buf as text lines
 * "TIME LEVEL MODULE: text\n"; returns bytes, and in *seq the number to go on with.
 */
size_t log_read(uint64_t *seq, char *buf, size_t size);

/* From now on consoles show lines up to max; the ring keeps all, a panic always prints. */
void log_set_console(enum log_level max);

/*
 * The clock that lines are stamped with. x86/clock.c sets it once it has one; until then all lines
 * are of time 0.
 */
struct log_clock {
	ns_t (*now)(void);      /* since boot */
	ns_t (*realtime)(void); /* since 1970 */
};
void log_set_clock(const struct log_clock *clock);
/* Reads option loglevel=; until then consoles show everything. Once, after multiboot_read(). */
void log_init(void);

/* The image's build id, 40 hexadecimal digits. */
const char *log_build_id(void);

/* Broken invariant of the host: stops all CPUs, shows the purple screen, never returns. */
void panic(const char *fmt, ...) __printf(1, 2) __noreturn __cold;

#define ASSERT(c)                                                                 \
	do {                                                                      \
		if (unlikely(!(c)))                                               \
			panic("%s:%d: %s: %s", __FILE__, __LINE__, __func__, #c); \
	} while (0)
#endif
