// SPDX-License-Identifier: Apache-2.0
/*
 * The real-time clock, read once at boot to set the time; it is taken to run in UTC. Spec: Motorola
 * MC146818A data sheet.
 */
#include "vmk/io.h"
#include "vmk/log.h"
#include "vmk/platform.h"
#include "vmk/time.h"

#define LOG_MODULE "rtc"

enum { CMOS_INDEX = 0x70, CMOS_DATA = 0x71 };
enum {
	RTC_SECOND = 0,
	RTC_MINUTE = 2,
	RTC_HOUR = 4,
	RTC_DAY = 7,
	RTC_MONTH = 8,
	RTC_YEAR = 9,
	RTC_A = 10,
	RTC_B = 11
};
#define A_UPDATING  BIT(7)
#define B_24_HOURS  BIT(1)
#define B_BINARY    BIT(2)
#define HOUR_PM     BIT(7)
#define UPDATE_TIME (2500 * NS_PER_US) /* an update takes at most 2228 us */
enum { CENTURY = 2000, TRIES = 5 };

static uint8_t rtc_read(uint8_t reg)
{
	out8(CMOS_INDEX, reg);
	return in8(CMOS_DATA);
}

static unsigned from_bcd(unsigned v)
{
	return (v >> 4) * 10 + (v & 15);
}

static void read_once(struct date *d, uint8_t b)
{
	unsigned hour = rtc_read(RTC_HOUR), pm = hour & HOUR_PM;

	*d = (struct date){ .second = rtc_read(RTC_SECOND),
		            .minute = rtc_read(RTC_MINUTE),
		            .hour = hour & ~(unsigned)HOUR_PM,
		            .day = rtc_read(RTC_DAY),
		            .month = rtc_read(RTC_MONTH),
		            .year = rtc_read(RTC_YEAR) };
	if (!(b & B_BINARY)) {
		d->second = from_bcd(d->second);
		d->minute = from_bcd(d->minute);
		d->hour = from_bcd(d->hour);
		d->day = from_bcd(d->day);
		d->month = from_bcd(d->month);
		d->year = from_bcd(d->year);
	}
	if (!(b & B_24_HOURS))
		d->hour = d->hour % 12 + (pm ? 12 : 0);
	d->year += CENTURY;
}

static bool is_valid(const struct date *d)
{
	return d->month >= 1 && d->month <= 12 && d->day >= 1 && d->day <= 31 && d->hour < 24 &&
	       d->minute < 60 && d->second < 60 && d->year < CENTURY + 100;
}

void rtc_init(void)
{
	uint8_t b = rtc_read(RTC_B);
	struct date one, two;

	/* Outside of an update, and twice the same: no carry ran through meanwhile. */
	for (int i = 0; i < TRIES; i++) {
		ns_t end = time_now() + UPDATE_TIME;

		while ((rtc_read(RTC_A) & A_UPDATING) && time_now() < end)
			;
		read_once(&one, b);
		read_once(&two, b);
		if (date_to_unix(&one) == date_to_unix(&two) && is_valid(&one)) {
			time_set_realtime(date_to_unix(&one) * NS_PER_S);
			log_info("%04u-%02u-%02uT%02u:%02u:%02uZ", one.year, one.month, one.day,
			         one.hour, one.minute, one.second);
			return;
		}
	}
	log_warn("the clock has no valid time; it starts at 1970");
}
