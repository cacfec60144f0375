// SPDX-License-Identifier: Apache-2.0
/*
 * The words every part of the vmkernel is written in: fixed-width types, address kinds, register
 * fields, small helpers. Compiles freestanding and for the host (-DVMK_HOST).
 */
#ifndef VMK_TYPES_H
#define VMK_TYPES_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef VMK_HOST
typedef int64_t ssize_t;
#else
#include <sys/types.h>
#endif

/* Kinds of addresses. Never mixed without a named conversion. */
typedef uint64_t pa_t;   /* machine physical */
typedef uint64_t va_t;   /* kernel virtual */
typedef uint64_t uva_t;  /* user virtual, unchecked */
typedef uint64_t gpa_t;  /* guest physical */
typedef uint64_t gva_t;  /* guest virtual */
typedef uint64_t iova_t; /* what a device puts on its bus */
typedef uint64_t ns_t;   /* nanoseconds, since boot unless said otherwise */

#define PA_NONE ((pa_t)~0ull)

enum {
	PAGE_SHIFT = 12,
	PAGE_SIZE = 1 << PAGE_SHIFT,
	LARGE_SHIFT = 21,
	LARGE_SIZE = 1 << LARGE_SHIFT,
	CPUS_MAX = 256,
	NODES_MAX = 16,
	CACHE_LINE = 64,
};
#define HUGE_SHIFT 30
#define HUGE_SIZE  (1ull << HUGE_SHIFT)
#define KiB        1024ull
#define MiB        (1024 * KiB)
#define GiB        (1024 * MiB)
#define TiB        (1024 * GiB)

#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_S  1000000000ull
#define NS_NEVER  UINT64_MAX

#define __must_check     __attribute__((warn_unused_result))
#define __noreturn       __attribute__((noreturn))
#define __printf(f, a)   __attribute__((format(printf, f, a)))
#define __packed         __attribute__((packed))
#define __aligned(n)     __attribute__((aligned(n)))
#define __noinline       __attribute__((noinline))
#define __cold           __attribute__((cold))
#define __maybe_unused   __attribute__((unused))
#define __init           __attribute__((cold))
#define likely(x)        __builtin_expect(!!(x), 1)
#define unlikely(x)      __builtin_expect(!!(x), 0)
#define ARRAY_SIZE(a)    (sizeof(a) / sizeof((a)[0]))
#define STATIC_ASSERT(c) _Static_assert(c, #c)
#define ASSERT_OFFSET(type, member, off) \
	_Static_assert(offsetof(type, member) == (off), #type "." #member)
#define ASSERT_SIZE(type, size) _Static_assert(sizeof(type) == (size), #type)

#define container_of(ptr, type, member)                                   \
	({                                                                \
		const __typeof__(((type *)0)->member) *p_ = (ptr);        \
		(type *)((char *)(uintptr_t)p_ - offsetof(type, member)); \
	})

#define MIN(a, b)                       \
	({                              \
		__typeof__(a) a_ = (a); \
		__typeof__(b) b_ = (b); \
		a_ < b_ ? a_ : b_;      \
	})
#define MAX(a, b)                       \
	({                              \
		__typeof__(a) a_ = (a); \
		__typeof__(b) b_ = (b); \
		a_ > b_ ? a_ : b_;      \
	})
#define ALIGN_DOWN(x, a) ((x) & ~((__typeof__(x))(a)-1))
#define ALIGN_UP(x, a)   ALIGN_DOWN((x) + (a)-1, a)
#define DIV_UP(x, d)     (((x) + (d)-1) / (d))
#define IS_ALIGNED(x, a) (((x) & ((__typeof__(x))(a)-1)) == 0)
#define IS_POW2(x)       ((x) != 0 && ((x) & ((x)-1)) == 0)

/* A register field is declared once as a mask: #define NVME_CC_SHN BITS(15, 14). */
#define BIT(n)             (1ull << (n))
#define BITS(hi, lo)       ((~0ull >> (63 - (hi))) & (~0ull << (lo)))
#define GET(field, reg)    (((reg) & (field)) / ((field) & -(field)))
#define PUT(field, val)    (((uint64_t)(val) * ((field) & -(field))) & (field))
#define SET(field, reg, v) (((reg) & ~(field)) | PUT(field, v))

#define READ_ONCE(x)     (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))
#define barrier()        __asm__ volatile("" ::: "memory")

/* Loads with acquire and stores with release order; x86 gives both for a plain MOV. */
#define load_acquire(p)     __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define store_release(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)

/* Sum and product that refuse to wrap; true when the result does not fit. */
#define add_overflow(a, b, r) __builtin_add_overflow(a, b, r)
#define mul_overflow(a, b, r) __builtin_mul_overflow(a, b, r)

static inline unsigned log2_floor(uint64_t x)
{
	return 63 - (unsigned)__builtin_clzll(x);
}

static inline unsigned log2_ceil(uint64_t x)
{
	return x <= 1 ? 0 : log2_floor(x - 1) + 1;
}

/*
 * An entry of a linker section (.drivers, .vdevs, .syscalls, .ctl, .stats ...). Objects are
 * aligned to 8 so that gcc leaves no holes; walk one with SECTION_FOR_EACH. On the host the
 * linker makes the bounds itself, for names without a dot.
 */
#ifdef VMK_HOST
#define SECTION_ENTRY(sec) __attribute__((section(#sec), used, aligned(8)))
#define SECTION_BOUND_     __attribute__((weak))
#else
#define SECTION_ENTRY(sec) __attribute__((section("." #sec), used, aligned(8)))
#define SECTION_BOUND_
#endif
#define SECTION_FOR_EACH(type, it, sec)                                                  \
	extern const type __start_##sec[] SECTION_BOUND_, __stop_##sec[] SECTION_BOUND_; \
	for (const type *it = __start_##sec; it < __stop_##sec; it++)

#endif
