// SPDX-License-Identifier: Apache-2.0
/* The small guest: its console, its traps, and the short things that it can do. */
#include "guest.h"
#include <stdarg.h>

struct frame {
	uint64_t vector, error, rip, cs, rflags, rsp, ss;
};
struct gate {
	uint16_t low, selector;
	uint8_t ist, type;
	uint16_t middle;
	uint32_t high, reserved;
};
struct start_info {
	uint32_t magic, version, flags, modules;
	uint64_t module_list, command_line;
};

extern const char stubs[];
static struct gate idt[256];
static const char *command_line;
static volatile uint64_t recover;
volatile uint64_t timer_seen, device_interrupts;
uint64_t faults;

void trap(struct frame *f);
void guest_main(const struct start_info *info);

void trap(struct frame *f)
{
	uint64_t base;

	if (f->vector == VECTOR_TIMER || f->vector == VECTOR_DEVICE) {
		if (f->vector == VECTOR_TIMER)
			timer_seen = rdtsc();
		else
			device_interrupts++;
		if (rdmsr(0x1b, &base) && base & 1 << 10)
			wrmsr(0x80b, 0);
		else
			*(volatile uint32_t *)(LAPIC + 0xb0ull) = 0;
		return;
	}
	if (f->vector == 2 || f->vector >= 32)
		return;
	faults++;
	if (!recover) {
		print("guest: exception %u at %x\n", f->vector, f->rip);
		quit(99);
	}
	f->rip = recover;
	recover = 0;
}

bool rdmsr(uint32_t msr, uint64_t *v)
{
	uint32_t lo = 0, hi = 0;
	uint64_t before = faults;

	__asm__ volatile("lea 1f(%%rip), %%r8; mov %%r8, %2; rdmsr; 1:"
	                 : "+a"(lo), "+d"(hi), "=m"(recover)
	                 : "c"(msr)
	                 : "r8", "memory");
	recover = 0;
	*v = (uint64_t)hi << 32 | lo;
	return faults == before;
}

bool wrmsr(uint32_t msr, uint64_t v)
{
	uint64_t before = faults;

	__asm__ volatile("lea 1f(%%rip), %%r8; mov %%r8, %0; wrmsr; 1:"
	                 : "=m"(recover)
	                 : "c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32))
	                 : "r8", "memory");
	recover = 0;
	return faults == before;
}

static void number(uint64_t v, unsigned base)
{
	char text[24];
	unsigned n = sizeof(text);

	do
		text[--n] = "0123456789abcdef"[v % base];
	while ((v /= base));
	for (; n < sizeof(text); n++)
		out(0xe9, 1, (uint8_t)text[n]);
}

void print(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	for (; *format; format++) {
		if (*format != '%') {
			out(0xe9, 1, (uint8_t)*format);
			continue;
		}
		format++;
		if (*format == 's')
			for (const char *s = va_arg(ap, const char *); *s; s++)
				out(0xe9, 1, (uint8_t)*s);
		else
			number(va_arg(ap, uint64_t), *format == 'x' ? 16 : 10);
	}
	va_end(ap);
}

void quit(uint8_t code)
{
	for (;;)
		out(0xf4, 1, code);
}

void interrupts_on(void)
{
	out(0x21, 1, 0xff); /* the PICs, where firmware has left a timer running */
	out(0xa1, 1, 0xff);
	*(volatile uint32_t *)(LAPIC + 0xf0ull) = 0x1ff;
	__asm__ volatile("sti");
}

static bool begins(const char *text, const char *with)
{
	while (*with && *text == *with)
		text++, with++;
	return !*with;
}

uint64_t option(const char *name, uint64_t otherwise)
{
	size_t len = 0;
	uint64_t v = 0;

	while (name[len])
		len++;
	for (const char *at = command_line; *at; at++) {
		if (!begins(at, name) || at[len] != '=')
			continue;
		for (at += len + 1; *at >= '0' && *at <= '9'; at++)
			v = v * 10 + (uint64_t)(*at - '0');
		return v;
	}
	return otherwise;
}

/* Its memory keeps what it holds while another guest does its worst; a line a round, for ever. */
static void victim(void)
{
	volatile uint64_t *p = (void *)ARENA;
	const uint64_t words = ARENA_SIZE / sizeof(*p);

	for (uint64_t round = 0;; round++) {
		for (uint64_t i = 0; i < words; i++)
			p[i] = i * 0x9e3779b97f4a7c15 ^ round;
		for (uint64_t i = 0; i < words; i++) {
			if (p[i] != (i * 0x9e3779b97f4a7c15 ^ round)) {
				print("victim: word %u of round %u is wrong\n", i, round);
				quit(1);
			}
		}
		print("victim: round %u\n", round);
	}
}

static void triple_fault(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) none = { 0, 0 };

	__asm__ volatile("lidt %0; ud2" ::"m"(none));
}

static void spin_for_ever(void)
{
	print("guest: spinning\n");
	for (;;)
		;
}

static void reset(void)
{
	out(0xcf9, 1, 6);
}

void guest_main(const struct start_info *info)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} modes[] = {
		{ "bench", bench_main }, { "devices", devices_main }, { "echo", echo_main },
		{ "fuzz", fuzz_main },   { "victim", victim },        { "triple", triple_fault },
		{ "reset", reset },      { "spin", spin_for_ever },
	};
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) idtr = { sizeof(idt) - 1, (uint64_t)idt };

	for (unsigned i = 0; i < 256; i++) {
		uint64_t at = (uint64_t)stubs + 16 * i;

		idt[i] = (struct gate){ (uint16_t)at,         8, 0, 0x8e, (uint16_t)(at >> 16),
			                (uint32_t)(at >> 32), 0 };
	}
	__asm__ volatile("lidt %0" ::"m"(idtr));
	command_line = (const char *)info->command_line;
	for (unsigned i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (begins(command_line, modes[i].name))
			modes[i].run();
	}
	print("guest: done\n");
	quit(0);
}
