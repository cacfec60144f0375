// SPDX-License-Identifier: Apache-2.0
/* Deliberate panics, for the system tests and for those who want to see the purple screen. */
#include "vmk/boot.h"
#include "vmk/layout.h"
#include "vmk/lock.h"
#include "vmk/log.h"
#include "vmk/string.h"
#include "x86/insn.h"

#define LOG_MODULE "panictest"

/* Lies in no area that is ever mapped. */
#define NOWHERE (FRAMES_BASE + FRAMES_SIZE)

static void pagefault(void)
{
	*(volatile uint64_t *)NOWHERE = 1;
}

static __noinline uint64_t recurse(uint64_t depth)
{
	volatile uint64_t frame[32];

	frame[depth % 32] = depth;
	return depth == UINT64_MAX ? 0 : recurse(depth + 1) + frame[(depth + 1) % 32];
}

static void stackoverflow(void)
{
	log_info("never seen: %llu", (unsigned long long)recurse(0));
}

/* No stack: the page fault of the push cannot be delivered. */
static void doublefault(void)
{
	__asm__ volatile("mov %0, %%rsp; push %%rax" ::"r"(NOWHERE));
}

static void hang(void)
{
	cpu_cli();
	for (;;)
		barrier();
}

static void assertion(void)
{
	uint64_t one = 1;

	ASSERT(READ_ONCE(one) == 2);
}

static struct spinlock again = SPINLOCK_INIT("again", RANK_LEAF);

static void relock(void)
{
	uint64_t flags = spin_lock_irq(&again);

	spin_lock(&again);
	spin_unlock(&again);
	spin_unlock_irq(&again, flags);
}

/* Debug builds refuse these two. */
static void lockorder(void)
{
	static struct spinlock outer = SPINLOCK_INIT("outer", RANK_OUTER);
	static struct spinlock inner = SPINLOCK_INIT("inner", RANK_LEAF);

	spin_lock(&inner);
	spin_lock(&outer);
	spin_unlock(&outer);
	spin_unlock(&inner);
}

static void undefined(void)
{
	int bits = 64;

	log_info("1 << 64 is %d", 1 << READ_ONCE(bits));
}

static const struct {
	const char *name;
	void (*fn)(void);
} tests[] = {
	{ "pagefault", pagefault },     { "stackoverflow", stackoverflow },
	{ "doublefault", doublefault }, { "hang", hang },
	{ "assert", assertion },        { "lockorder", lockorder },
	{ "undefined", undefined },     { "relock", relock },
};

static void panictest(void)
{
	char name[24];

	if (!boot_option("panictest", name, sizeof(name)))
		return;
	for (unsigned i = 0; i < ARRAY_SIZE(tests); i++)
		if (strcmp(tests[i].name, name) == 0)
			tests[i].fn();
	log_warn("the test \"%s\" is over, or there is none of that name", name);
}

BOOT_HOOK(BOOT_READY, panictest);
