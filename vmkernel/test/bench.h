// SPDX-License-Identifier: Apache-2.0
/*
 * What measurements by boot option bench= share: costs in counts of the TSC, instructions under
 * -icount shift=0.
 */
#ifndef TEST_BENCH_H
#define TEST_BENCH_H
#include "vmk/blk.h"

struct vdisk;

/* With interrupts off: lets what waits for one run; the cost of that. */
uint64_t bench_window(void);
void bench_calibrate(void); /* what an empty window costs, before the first */
/* "bench: OF.WHAT VALUE UNIT", VALUE = total / ops. */
void bench_report(const char *of, const char *what, uint64_t total, uint64_t ops, const char *unit);

/* What icount prices at one instruction each: register accesses and interrupts. */
struct bench_traffic {
	uint64_t mmio, interrupts;
};

enum { BENCH_DEPTH = 32, BENCH_ROUNDS = 8 };
struct bench_io; /* a device, or a virtual disk on it; bench_disks.c */
/* Places count from base on. */
int __must_check bench_io_open(struct blk_dev *dev, struct vdisk *vdisk, uint64_t base,
                               struct bench_io **out);
void bench_io_close(struct bench_io *io);
/*
 * Cost of one 4 KiB request of the cheapest of BENCH_ROUNDS rounds of `depth` (1 to BENCH_DEPTH),
 * below `span` bytes.
 */
uint64_t bench_io_random(struct bench_io *io, enum blk_op op, unsigned depth, uint64_t span);
/*
 * Time for reading or writing `span` bytes from the start in requests of 1 MiB, some at a time; 0:
 * an error.
 */
ns_t bench_io_sequential(struct bench_io *io, enum blk_op op, uint64_t span);

void bench_drivers_run(void);
void bench_storage_run(void);
void bench_net_run(void);
#endif
