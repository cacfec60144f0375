// SPDX-License-Identifier: Apache-2.0
#ifndef SIMDISK_H
#define SIMDISK_H
#include "vmk/blk.h"

struct sim_event {
	uint32_t op; /* enum blk_op: BLK_WRITE, BLK_FLUSH, BLK_DISCARD, BLK_WRITE_ZEROES */
	uint64_t offset, len;
	uint8_t *data; /* NULL: zeros */
};
struct sim {
	struct blk_dev dev;
	uint64_t bytes;
	uint8_t ***chunk; /* 16 MiB each: pages of 4 KiB, NULL where nothing was written */
	bool recording;
	struct sim_event *event;
	uint64_t events, room;
	uint64_t ops;
	pa_t last_pa;          /* the first page of the last blk_rw or blk_submit */
	uint64_t bad, bad_len; /* bytes of the disk that fail every time */
	uint64_t discarded;    /* bytes */
	int64_t fail_at; /* operations that still succeed before one fails with -EIO; -1: never */
};
struct sim *sim_create(uint64_t bytes);
void sim_destroy(struct sim *s);
struct sim *sim_clone(const struct sim *from); /* contents only */
void sim_peek(const struct sim *s, uint64_t off, uint8_t *data, uint64_t len);
void sim_poke(struct sim *s, uint64_t off, const uint8_t *data, uint64_t len);
/* Does event number `event` of log's to s, but only its first `sectors` of 512 bytes. */
void sim_apply(struct sim *s, const struct sim *log, uint64_t event, uint64_t sectors);
#endif
