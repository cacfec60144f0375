// SPDX-License-Identifier: Apache-2.0
/*
 * The record of a panic: the purple screen's text and the end of the log, in a piece of memory that
 * a warm reset leaves alone. The next boot finds it by its checksum. The piece lies in the middle
 * of the largest RAM below 4 GiB, the same place at each boot of a machine: firmware and loader
 * work at both ends of memory. Where they did overwrite it, there is no record.
 */
#include "vmk/boot.h"
#include "vmk/cpu.h"
#include "vmk/crc.h"
#include "vmk/layout.h"
#include "vmk/log.h"
#include "vmk/panic.h"
#include "vmk/string.h"

#define LOG_MODULE "panic"

enum { AREA = 80 * 1024, LOG_END = 64 * 1024 };

/* Survives a reset only as bytes: another version of the vmkernel may have written it. */
struct record {
	char magic[8];
	uint32_t len;
	uint32_t crc; /* CRC-32C of the text */
	char text[AREA - 16];
};
ASSERT_SIZE(struct record, AREA);
static const char magic[8] = "TepuiPR1";

static struct record *record; /* NULL: no place for one */

static bool overlaps(pa_t at, pa_t base, uint64_t len)
{
	return at < base + len && base < at + AREA;
}

/* 0: the middle of the largest piece is taken by what the loader brought. */
static pa_t find_place(void)
{
	pa_t base = 0, at;
	uint64_t most = 0;

	for (unsigned i = 0; i < boot_info.ranges; i++) {
		const struct boot_range *r = &boot_info.range[i];
		pa_t end = MIN(r->base + r->len, 4 * GiB);

		if (r->type == BOOT_RAM && r->base < end && end - r->base > most) {
			base = r->base;
			most = end - r->base;
		}
	}
	at = ALIGN_DOWN(base + most / 2, PAGE_SIZE);
	if (most < 4 * AREA || overlaps(at, boot_info.image_base, boot_info.image_len))
		return 0;
	for (unsigned i = 0; i < boot_info.modules; i++)
		if (overlaps(at, boot_info.module[i].file, boot_info.module[i].file_len))
			return 0;
	return at;
}

static bool is_valid(const struct record *r)
{
	return memcmp(r->magic, magic, sizeof(magic)) == 0 && r->len <= sizeof(r->text) &&
	       crc32c(0, r->text, r->len) == r->crc;
}

void panic_record_init(void)
{
	pa_t at = find_place();

	if (at == 0)
		return;
	boot_reserve(at, AREA);
	record = direct_va(at);
	if (!is_valid(record))
		memset(record->magic, 0, sizeof(record->magic));
	else
		log_warn("the run before this one ended in a panic; its record is kept");
}

const char *panic_record(size_t *len)
{
	if (record == NULL || !is_valid(record))
		return NULL;
	*len = record->len;
	return record->text;
}

void panic_record_done(void)
{
	if (record != NULL)
		memset(record->magic, 0, sizeof(record->magic));
}

/* The newest lines of the log that fit into size; how many bytes. */
static size_t log_end(char *buf, size_t size)
{
	static char piece[4096]; /* the stack may be an interrupt's */
	uint64_t seq = 0;
	size_t total = 0, skip, used = 0, n;

	while ((n = log_read(&seq, piece, sizeof(piece))) > 0)
		total += n;
	skip = total > size ? total - size : 0;
	seq = 0;
	while ((n = log_read(&seq, piece, sizeof(piece))) > 0) {
		size_t from = MIN(skip, n), more = MIN(n - from, size - used);

		skip -= from;
		memcpy(buf + used, piece + from, more);
		used += more;
	}
	return used;
}

static void panic_keep(const struct panic_info *info)
{
	static const char title[] = "\nThe end of the log:\n";
	size_t len;
	const char *screen = panic_screen_text(&len);

	if (record == NULL)
		return;
	/* Invalid until it is whole: a fault in here must not leave half of one. */
	memset(record->magic, 0, sizeof(record->magic));
	len = MIN(len, sizeof(record->text) - LOG_END - sizeof(title));
	memcpy(record->text, screen, len);
	memcpy(record->text + len, title, sizeof(title) - 1);
	len += sizeof(title) - 1;
	len += log_end(record->text + len, LOG_END);
	record->len = (uint32_t)len;
	record->crc = crc32c(0, record->text, len);
	memcpy(record->magic, magic, sizeof(magic));
	panic_print("The next boot finds a record of this.\n");
	cpu_write_back(); /* a reset drops what is only in the caches */
}
PANIC_STEP(PANIC_RECORD, panic_keep);
