// SPDX-License-Identifier: Apache-2.0
/*
 * The panic: the first CPU to come here owns it, runs the registered steps (vmk/panic.h) with
 * interrupts off and never returns. A fault inside a step enters here again, on the same CPU: what
 * is left of the steps then runs on top of the failed one's stack frames.
 */
#include "vmk/panic.h"
#include "log/log_lock.h"
#include "vmk/console.h"
#include "vmk/log.h"
#include "vmk/string.h"

enum { NESTED_MAX = 16 };

static uint32_t owner; /* CPU + 1; 0: no panic */
static char reason[256];
static struct panic_info info = { .reason = reason };
static char shown[6 * 1024]; /* what the steps have printed, for the record */
static size_t shown_len;
static const char *running = "panic"; /* the step's name */

void panic_print(const char *fmt, ...)
{
	char text[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vmk_vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	n = (int)MIN((size_t)n, sizeof(text) - 1);
	memcpy(shown + shown_len, text, MIN((size_t)n, sizeof(shown) - shown_len));
	shown_len = MIN(shown_len + (size_t)n, sizeof(shown));
	console_emit(text, (size_t)n);
}

const char *panic_screen_text(size_t *len)
{
	*len = shown_len;
	return shown;
}

/*
 * The first step that has not begun yet; NULL: none is left. It is marked as begun before it runs,
 * so that a panic inside it goes on behind it.
 */
static const struct panic_step *next_step(void)
{
	static unsigned place, begun; /* begun: entries of the section that this place has passed */

	for (; place < PANIC_PLACES; place++, begun = 0) {
		unsigned i = 0;

		SECTION_FOR_EACH(struct panic_step, s, panic_steps) {
			if (i++ < begun || s->place != place)
				continue;
			begun = i;
			return s;
		}
	}
	return NULL;
}

static void run_steps(void) __noreturn;
static void run_steps(void)
{
	const struct panic_step *s;

	while ((s = next_step()) != NULL) {
		running = s->name;
		s->fn(&info);
	}
	panic_print("The host has stopped. Reset it to go on.\n");
	cpu_stop();
}

/*
 * True for the panic that the screen will be about, false for one inside it. Other CPUs stop here:
 * one screen is enough, and the owner may wait for them.
 */
static bool enter(void)
{
	static unsigned nested;
	uint32_t me = cpu_id() + 1, none = 0;

	(void)irq_save();
	if (__atomic_compare_exchange_n(&owner, &none, me, false, __ATOMIC_ACQ_REL,
	                                __ATOMIC_ACQUIRE)) {
		WRITE_ONCE(log_panicking, true);
		return true;
	}
	/* The bound ends a fault that comes again in every step and in its own report. */
	if (none != me || ++nested > NESTED_MAX)
		cpu_stop();
	return false;
}

static void begin(const struct trap_frame *f, uint64_t rbp, const char *fmt, va_list ap) __noreturn;
static void begin(const struct trap_frame *f, uint64_t rbp, const char *fmt, va_list ap)
{
	char text[sizeof(reason)];

	if (enter()) {
		info.frame = f;
		info.rbp = rbp;
		vmk_vsnprintf(reason, sizeof(reason), fmt, ap);
	} else {
		vmk_vsnprintf(text, sizeof(text), fmt, ap);
		panic_print("(%s failed: %s)\n", running, text);
	}
	run_steps();
}

void panic(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	begin(NULL, (uintptr_t)__builtin_frame_address(0), fmt, ap);
}

void panic_frame(const struct trap_frame *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	begin(f, 0, fmt, ap);
}

bool panic_in_progress(void)
{
	return READ_ONCE(log_panicking);
}

bool panic_here(void)
{
	return READ_ONCE(owner) == cpu_id() + 1;
}

static void panic_screen(const struct panic_info *p)
{
	console_begin_panic();
	panic_print("\nTepui " VMK_VERSION " [vmkernel, x86_64]\n");
	panic_print("PANIC: %s\n", p->reason);
}
PANIC_STEP(PANIC_SCREEN, panic_screen);

const char *log_build_id(void)
{
	extern const uint32_t image_build_id[]; /* an ELF note: sizes, type, "GNU", digest */
	const uint8_t *digest = (const uint8_t *)image_build_id + 16;
	static char text[41];

	for (uint32_t i = 0; i < MIN(image_build_id[1], 20u); i++)
		vmk_snprintf(text + 2 * i, 3, "%02x", digest[i]);
	return text;
}

static void panic_build(const struct panic_info *p)
{
	panic_print("build %s\n", log_build_id());
}
PANIC_STEP(PANIC_BUILD, panic_build);
