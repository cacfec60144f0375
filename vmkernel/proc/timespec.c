// SPDX-License-Identifier: Apache-2.0
/* Times in user memory, and sums that stop at NS_NEVER. Spec: timespec(3). */
#include "proc/timespec.h"
#include "mm/usercopy.h"
#include "vmk/errno.h"
#include "vmk/time.h"

int timespec_get(uva_t from, ns_t *out)
{
	int64_t ts[2];
	int err = user_read(&ts, from);

	if (err)
		return err;
	if (ts[0] < 0 || ts[1] < 0 || ts[1] >= (int64_t)NS_PER_S)
		return -EINVAL;
	*out = (uint64_t)ts[0] >= NS_NEVER / NS_PER_S ? NS_NEVER
	                                              : (ns_t)ts[0] * NS_PER_S + (ns_t)ts[1];
	return 0;
}

int timespec_put(uva_t to, ns_t t)
{
	const int64_t ts[2] = { (int64_t)(t / NS_PER_S), (int64_t)(t % NS_PER_S) };

	return user_write(to, &ts);
}

ns_t ns_add(ns_t a, ns_t b)
{
	return a > NS_NEVER - b ? NS_NEVER : a + b;
}

ns_t realtime_to_monotonic(ns_t t)
{
	ns_t now = time_now(), real = time_realtime();

	return t == NS_NEVER ? NS_NEVER : t <= real ? now : ns_add(now, t - real);
}
