// SPDX-License-Identifier: Apache-2.0
/*
 * A guest's real-time clock: the host's time plus what the guest set. Update cycles are computed,
 * not run: a timer runs only while an interrupt is enabled.
 */
#include "vdev/vrtc.h"
#include "vmk/string.h"

enum { PORT_CMOS = 0x70, IRQ_FLAG = 0x80 };
enum {
	SECOND = 0,
	SECOND_ALARM = 1,
	MINUTE = 2,
	MINUTE_ALARM = 3,
	HOUR = 4,
	HOUR_ALARM = 5,
	WEEKDAY = 6,
	DAY = 7,
	MONTH = 8,
	YEAR = 9,
	REG_A = 10,
	REG_B = 11,
	REG_C = 12,
	REG_D = 13,
	CENTURY = 0x32
};
enum {
	A_UIP = 0x80,
	A_RATE = 0x0f,
	B_SET = 0x80,
	B_PIE = 0x40,
	B_AIE = 0x20,
	B_UIE = 0x10,
	B_BINARY = 0x04,
	B_24H = 0x02,
	C_PF = 0x40,
	C_AF = 0x20,
	C_UF = 0x10,
	D_VALID = 0x80,
	DONT_CARE = 0xc0
};
#define UIP_NS (244 * NS_PER_US)

static uint8_t encode(const struct vrtc *r, unsigned v)
{
	return (uint8_t)(r->cmos[REG_B] & B_BINARY ? v : v / 10 % 10 << 4 | v % 10);
}

static unsigned decode(const struct vrtc *r, uint8_t v)
{
	return r->cmos[REG_B] & B_BINARY ? v : (v >> 4) * 10u + (v & 15);
}

static uint64_t guest_seconds(const struct vrtc *r)
{
	return time_realtime() / NS_PER_S + (uint64_t)r->offset;
}

static uint8_t encode_hour(const struct vrtc *r, unsigned hour)
{
	if (r->cmos[REG_B] & B_24H)
		return encode(r, hour);
	/* 12-hour mode counts 12, 1, ..., 11; bit 7 is PM. */
	return encode(r, (hour + 11) % 12 + 1) | (hour >= 12 ? 0x80 : 0);
}

/* The clock's registers from the time; they stand still while the guest sets them. */
static void refresh(struct vrtc *r)
{
	struct date d;
	uint64_t now;

	if (r->cmos[REG_B] & B_SET)
		return;
	now = guest_seconds(r);
	date_from_unix(now, &d);
	r->cmos[SECOND] = encode(r, d.second);
	r->cmos[MINUTE] = encode(r, d.minute);
	r->cmos[HOUR] = encode_hour(r, d.hour);
	r->cmos[WEEKDAY] = encode(r, (unsigned)((now / 86400 + 4) % 7) + 1); /* 1: Sunday */
	r->cmos[DAY] = encode(r, d.day);
	r->cmos[MONTH] = encode(r, d.month);
	r->cmos[YEAR] = encode(r, d.year % 100);
	r->cmos[CENTURY] = encode(r, d.year / 100);
}

/* The time from the registers: the guest has set the clock. */
static void set_clock(struct vrtc *r)
{
	const uint8_t *c = r->cmos;
	struct date d = {
		.year = decode(r, c[CENTURY]) * 100 + decode(r, c[YEAR]),
		.month = decode(r, c[MONTH]),
		.day = decode(r, c[DAY]),
		.hour = decode(r, c[HOUR] & 0x7f),
		.minute = decode(r, c[MINUTE]),
		.second = decode(r, c[SECOND]),
	};

	if (!(c[REG_B] & B_24H))
		d.hour = d.hour % 12 + (c[HOUR] & 0x80 ? 12 : 0);
	/* Registers are set one by one: a date that cannot be is half a change, and ignored. */
	if (d.month < 1 || d.month > 12 || d.year < 1970)
		return;
	r->offset = (int64_t)(date_to_unix(&d) - time_realtime() / NS_PER_S);
}

static ns_t periodic_ns(const struct vrtc *r)
{
	unsigned rate = r->cmos[REG_A] & A_RATE;

	if (!rate || !(r->cmos[REG_B] & B_PIE))
		return 0;
	/* Rates 1 and 2 are those of 8 and 9 (data sheet, table 5). */
	if (rate <= 2)
		rate += 7;
	return (NS_PER_S << (rate - 1)) / 32768;
}

static bool alarm_matches(const struct vrtc *r)
{
	for (unsigned i = SECOND; i <= HOUR; i += 2) {
		/* An alarm byte of C0h and above matches any value. */
		if (r->cmos[i + 1] < DONT_CARE && r->cmos[i + 1] != r->cmos[i])
			return false;
	}
	return true;
}

static void raise(struct vrtc *r, uint8_t flags)
{
	r->cmos[REG_C] |= flags;
	if (r->cmos[REG_C] & r->cmos[REG_B] & (C_PF | C_AF | C_UF)) {
		r->cmos[REG_C] |= IRQ_FLAG;
		virq_set(r->irq, true);
	}
}

static void schedule(struct vrtc *r)
{
	/* The next periodic interrupt or the next full second, whichever comes first. */
	ns_t now = time_now(), next = NS_NEVER, period = periodic_ns(r);

	if (period)
		next = now + period;
	if (r->cmos[REG_B] & (B_AIE | B_UIE))
		next = MIN(next, now + NS_PER_S - time_realtime() % NS_PER_S);
	if (next == NS_NEVER)
		timer_cancel(&r->timer);
	else
		timer_set(&r->timer, next);
}

static void expired(struct timer *t)
{
	struct vrtc *r = container_of(t, struct vrtc, timer);
	uint64_t flags = spin_lock_irq(&r->lock);
	ns_t now = time_realtime();

	/* A new rate may have been set while this waited for the lock: its deadline is ahead. */
	if (periodic_ns(r) && time_now() >= t->deadline)
		raise(r, C_PF);
	/* Once per second of the host's clock, unless the guest holds the clock with SET. */
	if (now / NS_PER_S != r->seen / NS_PER_S && !(r->cmos[REG_B] & B_SET)) {
		r->seen = now;
		refresh(r);
		raise(r, C_UF | (alarm_matches(r) ? C_AF : 0));
	}
	schedule(r);
	spin_unlock_irq(&r->lock, flags);
}

static uint8_t read_register(struct vrtc *r)
{
	uint8_t v;

	if (r->index <= YEAR || r->index == CENTURY)
		refresh(r);
	v = r->cmos[r->index];
	if (r->index == REG_A) {
		v &= ~A_UIP;
		/*
		 * Update in progress for the last 244 us of each second: software reads the
		 * clock then not.
		 */
		if (!(r->cmos[REG_B] & B_SET) && time_realtime() % NS_PER_S > NS_PER_S - UIP_NS)
			v |= A_UIP;
	} else if (r->index == REG_C) {
		/* Reading C acknowledges all causes at once. */
		r->cmos[REG_C] = 0;
		virq_set(r->irq, false);
	}
	return v;
}

static void write_register(struct vrtc *r, uint8_t v)
{
	bool time = r->index <= YEAR && !(r->index & 1 && r->index < WEEKDAY);

	time |= r->index == CENTURY;
	if (r->index == REG_C || r->index == REG_D)
		return;
	if (time)
		refresh(r);
	/*
	 * SET goes off: the registers are the new time. SET comes on: they stand still, and
	 * update interrupts are off (data sheet, register B).
	 */
	if (r->index == REG_B && !(v & B_SET) && (r->cmos[REG_B] & B_SET)) {
		set_clock(r);
	} else if (r->index == REG_B && (v & B_SET)) {
		refresh(r);
		v &= ~B_UIE;
	}
	r->cmos[r->index] = v;
	if (time && !(r->cmos[REG_B] & B_SET))
		set_clock(r);
	if (r->index == REG_A || r->index == REG_B) {
		/* An update that was due before the interrupt was enabled does not count. */
		r->seen = time_realtime();
		schedule(r);
	}
}

static uint64_t rtc_read(struct io_range *range, uint64_t off, unsigned size)
{
	struct vrtc *r = range->dev;
	uint64_t flags = spin_lock_irq(&r->lock);
	uint8_t v = off ? read_register(r) : 0xff;

	spin_unlock_irq(&r->lock, flags);
	return v;
}

static void rtc_write(struct io_range *range, uint64_t off, unsigned size, uint64_t v)
{
	struct vrtc *r = range->dev;
	uint64_t flags = spin_lock_irq(&r->lock);

	if (off)
		write_register(r, (uint8_t)v);
	else
		r->index = v & 0x7f;
	spin_unlock_irq(&r->lock, flags);
}

int vrtc_init(struct vrtc *r, struct iobus *b, struct virq *irq, uint64_t memory)
{
	static const struct io_ops ops = { rtc_read, rtc_write };
	uint64_t kib = MIN(memory, 16 * MiB) / KiB - 1024;
	uint64_t blocks = memory > 16 * MiB ? (MIN(memory, 3 * GiB) - 16 * MiB) >> 16 : 0;

	memset(r, 0, sizeof(*r));
	spin_init(&r->lock, "vrtc", RANK_VDEV);
	timer_init(&r->timer, expired);
	r->irq = irq;
	r->cmos[REG_A] = 0x26;
	r->cmos[REG_B] = B_24H;
	r->cmos[REG_D] = D_VALID;
	/* Where firmware keeps the size of memory: base, extended to 16 MiB, above in 64 KiB. */
	r->cmos[0x15] = 640 & 0xff;
	r->cmos[0x16] = 640 >> 8;
	r->cmos[0x17] = r->cmos[0x30] = (uint8_t)kib;
	r->cmos[0x18] = r->cmos[0x31] = (uint8_t)(kib >> 8);
	r->cmos[0x34] = (uint8_t)blocks;
	r->cmos[0x35] = (uint8_t)(blocks >> 8);
	r->range = (struct io_range){ .ops = &ops, .dev = r, .base = PORT_CMOS, .len = 2 };
	return iobus_add_ports(b, &r->range);
}

void vrtc_stop(struct vrtc *r)
{
	timer_cancel_sync(&r->timer);
}
