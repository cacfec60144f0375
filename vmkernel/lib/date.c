// SPDX-License-Identifier: Apache-2.0
/* The Gregorian calendar in UTC, without leap seconds. Pure; any context. */
#include "vmk/time.h"

enum { DAY = 86400, DAYS_400Y = 146097, DAYS_TO_1970 = 719468 /* from 0000-03-01 */ };

/* Years are counted from March, so that the leap day is the last of its year. */
void date_from_unix(uint64_t seconds, struct date *d)
{
	uint64_t days = seconds / DAY + DAYS_TO_1970;
	unsigned rest = (unsigned)(seconds % DAY);
	unsigned in_era = (unsigned)(days % DAYS_400Y);
	unsigned year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
	unsigned in_year = in_era - (365 * year + year / 4 - year / 100);
	unsigned month = (5 * in_year + 2) / 153; /* 0 is March */

	d->day = in_year - (153 * month + 2) / 5 + 1;
	d->month = month < 10 ? month + 3 : month - 9;
	d->year = (unsigned)(days / DAYS_400Y) * 400 + year + (d->month <= 2);
	d->hour = rest / 3600;
	d->minute = rest / 60 % 60;
	d->second = rest % 60;
}

uint64_t date_to_unix(const struct date *d)
{
	unsigned year = d->year - (d->month <= 2);
	unsigned month = d->month > 2 ? d->month - 3 : d->month + 9;
	uint64_t days = 365ull * year + year / 4 - year / 100 + year / 400;

	days += (153 * month + 2) / 5 + d->day - 1;
	days -= DAYS_TO_1970;
	return days * DAY + d->hour * 3600 + d->minute * 60 + d->second;
}
