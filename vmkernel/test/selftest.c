// SPDX-License-Identifier: Apache-2.0
/* Runs the self tests that the boot line names. */
#include "test/selftest.h"
#include "vmk/boot.h"
#include "vmk/string.h"
#include "vmk/time.h"

#define LOG_MODULE "selftest"

/* Whether a list of names, separated by commas, holds the test's name or "all". */
static bool asked_for(const char *list, const struct selftest *t)
{
	size_t len = strlen(t->name);

	for (const char *p = list; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
		const char *end = strchr(p, ',');
		size_t n = end ? (size_t)(end - p) : strlen(p);

		if ((n == 3 && !strncmp(p, "all", 3) && !t->measures) ||
		    (n == len && !strncmp(p, t->name, len)))
			return true;
	}
	return false;
}

static void selftest_run(void)
{
	static const struct selftest *const tables[] = { selftests_mm, selftests_sched,
		                                         selftests_share };
	char names[128];
	unsigned failed = 0;

	if (!boot_option("selftest", names, sizeof(names)))
		return;
	for (unsigned i = 0; i < ARRAY_SIZE(tables); i++)
		for (const struct selftest *t = tables[i]; t->name; t++) {
			const char *why;
			ns_t start = time_now();

			if (!asked_for(names, t))
				continue;
			why = t->run();
			failed += why != NULL;
			log_info("%s: %s%s (%llu ms)", t->name, why ? "failed: " : "ok",
			         why ? why : "",
			         (unsigned long long)((time_now() - start) / NS_PER_MS));
		}
	log_info("done, %u failed", failed);
}

BOOT_HOOK(BOOT_READY, selftest_run);
