// SPDX-License-Identifier: Apache-2.0
/* Sanitising the boot loader's memory map. Pure; no locks. */
#include "vmk/bootmap.h"
#include "vmk/string.h"

/* Which type wins where ranges overlap: the later in this list. */
static unsigned severity(uint32_t type)
{
	switch (type) {
	case BOOT_RAM: return 1;
	case BOOT_ACPI: return 2;
	case BOOT_NVS: return 3;
	case BOOT_BAD: return 5;
	default: return 4;
	}
}

static uint32_t severity_type(unsigned s)
{
	static const uint8_t type[] = { 0, BOOT_RAM, BOOT_ACPI, BOOT_NVS, BOOT_RESERVED, BOOT_BAD };

	return type[s];
}

/* RAM shrinks to whole pages, everything else grows to them. false: nothing is left. */
static bool page_bounds(const struct boot_range *r, uint64_t limit, uint64_t *start, uint64_t *end)
{
	uint64_t s = r->base, e;

	if (add_overflow(r->base, r->len, &e) || e > limit)
		e = limit;
	if (s >= e)
		return false;
	if (r->type == BOOT_RAM) {
		s = ALIGN_UP(s, PAGE_SIZE);
		e = ALIGN_DOWN(e, PAGE_SIZE);
	} else {
		s = ALIGN_DOWN(s, PAGE_SIZE);
		e = ALIGN_UP(e, PAGE_SIZE);
	}
	*start = s;
	*end = e;
	return s < e;
}

/* What covers the page at `at`, and in *next the first bound above it (limit if none). */
static unsigned cover(const struct boot_range *in, unsigned count, uint64_t limit, uint64_t at,
                      uint64_t *next)
{
	unsigned worst = 0;
	uint64_t s, e;

	*next = limit;
	for (unsigned i = 0; i < count; i++) {
		if (!page_bounds(&in[i], limit, &s, &e))
			continue;
		if (s > at) {
			*next = MIN(*next, s);
		} else if (e > at) {
			worst = MAX(worst, severity(in[i].type));
			*next = MIN(*next, e);
		}
	}
	return worst;
}

unsigned bootmap_sanitise(const struct boot_range *in, unsigned count, uint64_t limit,
                          struct boot_range *out, unsigned max)
{
	unsigned n = 0;
	uint64_t at = 0, next;

	limit = ALIGN_DOWN(limit, PAGE_SIZE);
	/* From bound to bound: between two of them one and the same set of ranges covers all. */
	for (; at < limit; at = next) {
		unsigned worst = cover(in, count, limit, at, &next);
		uint32_t type = severity_type(worst);

		if (worst == 0)
			continue;
		if (n > 0 && out[n - 1].type == type && out[n - 1].base + out[n - 1].len == at) {
			out[n - 1].len += next - at;
		} else {
			/* Without room the rest is not RAM: less memory, and no harm. */
			if (n == max)
				break;
			out[n++] =
				(struct boot_range){ .base = at, .len = next - at, .type = type };
		}
	}
	return n;
}

/* Cuts range i in two at `at`; false when there is no room for one more. */
static bool split(struct boot_range *r, unsigned *count, unsigned max, unsigned i, pa_t at)
{
	if (*count == max)
		return false;
	memmove(&r[i + 1], &r[i], (*count - i) * sizeof(*r));
	(*count)++;
	r[i].len = at - r[i].base;
	r[i + 1].len -= at - r[i + 1].base;
	r[i + 1].base = at;
	return true;
}

unsigned bootmap_set_node(struct boot_range *r, unsigned count, unsigned max, pa_t base,
                          uint64_t len, unsigned node)
{
	pa_t end;

	if (add_overflow(base, len, &end))
		end = ~0ull;
	base = ALIGN_UP(base, PAGE_SIZE);
	end = ALIGN_DOWN(end, PAGE_SIZE);
	for (unsigned i = 0; i < count && r[i].base < end; i++) {
		if (r[i].base + r[i].len <= base)
			continue;
		/* The part from base on is the next turn's. */
		if (r[i].base < base) {
			if (!split(r, &count, max, i, base))
				break;
			continue;
		}
		if (r[i].base + r[i].len > end && !split(r, &count, max, i, end))
			break;
		r[i].node = node;
	}
	return count;
}

uint64_t bootmap_total(const struct boot_range *r, unsigned count, uint32_t type)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < count; i++)
		if (r[i].type == type)
			sum += r[i].len;
	return sum;
}
