// SPDX-License-Identifier: Apache-2.0
/*
 * Partition tables: GPT with its backup, and MBR with logical partitions. Everything read from the
 * disk is taken as hostile: lengths, ranges, overlaps and chains are bounded here, once. Spec: UEFI
 * 2.8 chapter 5.
 */
#include "storage/blk_impl.h"
#include "storage/part_regs.h"
#include "vmk/crc.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/part_types.h"
#include "vmk/string.h"

#define LOG_MODULE "part"

struct table {
	struct part *part;
	unsigned count;
	uint64_t blocks; /* of the disk */
	uint32_t block_size;
};

/*
 * Adds a partition unless it leaves the disk or overlaps one that is there; keeps the order by
 * number.
 */
static void table_add(struct table *t, const struct part *updated)
{
	uint64_t end;

	if (t->count == PARTS_MAX || !updated->blocks ||
	    add_overflow(updated->first, updated->blocks, &end) || end > t->blocks)
		return;
	for (unsigned i = 0; i < t->count; i++)
		if (updated->first < t->part[i].first + t->part[i].blocks && t->part[i].first < end)
			return;
	t->part[t->count++] = *updated;
}

/* UTF-16 to UTF-8, cut where the next character would not fit; unpaired surrogates become '?'. */
static void utf16_name(char *out, size_t size, const uint8_t *in, unsigned units)
{
	size_t n = 0;

	for (unsigned i = 0; i < units; i++) {
		unsigned c = in[2 * i] | (unsigned)in[2 * i + 1] << 8;
		size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : 3;

		if (c >= 0xd800 && c < 0xe000) {
			c = '?';
			len = 1;
		}
		if (!c || n + len >= size)
			break;
		if (len == 1) {
			out[n] = (char)c;
		} else if (len == 2) {
			out[n] = (char)(0xc0 | c >> 6);
			out[n + 1] = (char)(0x80 | (c & 0x3f));
		} else {
			out[n] = (char)(0xe0 | c >> 12);
			out[n + 1] = (char)(0x80 | (c >> 6 & 0x3f));
			out[n + 2] = (char)(0x80 | (c & 0x3f));
		}
		n += len;
	}
	out[n] = '\0';
}

/* 5.3.2: is the block a header for this place, with sane numbers? */
static bool gpt_header_valid(const uint8_t *block, const struct table *t, uint64_t lba)
{
	struct gpt_header h;

	memcpy(&h, block, sizeof(h));
	if (h.signature != GPT_SIGNATURE || h.header_size < GPT_HEADER_MIN ||
	    h.header_size > t->block_size || h.my_lba != lba)
		return false;
	uint32_t crc = crc32(0, block, offsetof(struct gpt_header, header_crc));

	crc = crc32(crc, "\0\0\0\0", 4);
	crc = crc32(crc, block + offsetof(struct gpt_header, reserved),
	            h.header_size - offsetof(struct gpt_header, reserved));
	return crc == h.header_crc && h.entry_size >= sizeof(struct gpt_entry) &&
	       h.entry_size <= GPT_ENTRY_MAX && IS_POW2(h.entry_size) && h.entry_count &&
	       h.entry_count <= GPT_ENTRIES_MAX && h.first_usable <= h.last_usable &&
	       h.last_usable < t->blocks;
}

static void gpt_entry_add(struct table *t, const struct gpt_header *h, const struct gpt_entry *e,
                          unsigned number)
{
	static const uint8_t unused[16];
	struct part p = { .number = number, .first = e->first, .blocks = e->last - e->first + 1 };

	if (!memcmp(e->type, unused, 16) || e->first > e->last || e->first < h->first_usable ||
	    e->last > h->last_usable)
		return;
	memcpy(p.type_guid, e->type, 16);
	memcpy(p.guid, e->guid, 16);
	utf16_name(p.name, sizeof(p.name), e->name, GPT_NAME_UNITS);
	table_add(t, &p);
}

/* -EILSEQ: no valid table at lba. */
static int gpt_read(struct blk_dev *d, struct table *t, uint8_t *block, uint64_t lba)
{
	struct gpt_header h;
	int err = blk_rw_buf(d, BLK_READ, lba * t->block_size, block, t->block_size);

	if (err)
		return err;
	if (!gpt_header_valid(block, t, lba))
		return -EILSEQ;
	memcpy(&h, block, sizeof(h));
	size_t bytes = (size_t)h.entry_count * h.entry_size,
	       padded = ALIGN_UP(bytes, (size_t)t->block_size);

	/* Sizes are bounded by gpt_header_valid; the place is bounded here, without overflow. */
	if (h.entries_lba >= t->blocks || padded / t->block_size > t->blocks - h.entries_lba)
		return -EILSEQ;
	uint8_t *entries = vmalloc(padded);

	if (!entries)
		return -ENOMEM;
	err = blk_rw_buf(d, BLK_READ, h.entries_lba * t->block_size, entries, padded);
	if (!err && crc32(0, entries, bytes) != h.entries_crc)
		err = -EILSEQ;
	for (unsigned i = 0; !err && i < h.entry_count; i++) {
		struct gpt_entry e;

		memcpy(&e, entries + (size_t)i * h.entry_size, sizeof(e));
		gpt_entry_add(t, &h, &e, i + 1);
	}
	vfree(entries);
	return err;
}

static bool mbr_extended(uint8_t type)
{
	return type == MBR_EXTENDED_CHS || type == MBR_EXTENDED_LBA || type == MBR_EXTENDED_LINUX;
}

static void mbr_add(struct table *t, const struct mbr_entry *e, uint64_t base, unsigned number)
{
	struct part p = {
		.number = number, .first = base + e->first, .blocks = e->blocks, .mbr_type = e->type
	};

	table_add(t, &p);
}

/* The chain of extended boot records; a ring ends at the count. */
static int mbr_logical(struct blk_dev *d, struct table *t, uint8_t *block, uint64_t extended,
                       uint64_t blocks)
{
	uint64_t at = extended;

	for (unsigned number = 5; number < 5 + MBR_LOGICAL_MAX && at < t->blocks; number++) {
		struct mbr m;
		int err = blk_rw_buf(d, BLK_READ, at * t->block_size, block, t->block_size);

		if (err)
			return err;
		memcpy(&m, block, sizeof(m));
		if (m.signature != MBR_SIGNATURE)
			return 0;
		if (m.entry[0].type)
			mbr_add(t, &m.entry[0], at, number);
		/*
		 * Links count from the extended partition's start. A chain that loops ends at
		 * MBR_LOGICAL_MAX.
		 */
		if (!mbr_extended(m.entry[1].type) || m.entry[1].first >= blocks)
			return 0;
		at = extended + m.entry[1].first;
	}
	return 0;
}

static int mbr_read(struct blk_dev *d, struct table *t, const struct mbr *m, uint8_t *block)
{
	int err = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(m->entry); i++) {
		const struct mbr_entry *e = &m->entry[i];

		if (e->status & ~MBR_ACTIVE) /* the boot sector of a file system, not a table */
			return 0;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(m->entry); i++)
		if (m->entry[i].type && !mbr_extended(m->entry[i].type))
			mbr_add(t, &m->entry[i], 0, i + 1);
	for (unsigned i = 0; !err && i < ARRAY_SIZE(m->entry); i++)
		if (mbr_extended(m->entry[i].type))
			err = mbr_logical(d, t, block, m->entry[i].first, m->entry[i].blocks);
	return err;
}

static int table_read(struct blk_dev *d, struct table *t, uint8_t *block)
{
	struct mbr m;
	int err = blk_rw_buf(d, BLK_READ, 0, block, t->block_size);

	if (err)
		return err;
	memcpy(&m, block, sizeof(m));
	bool protective = false;

	/* UEFI 5.2.3: one entry of this type says that the disk has a GPT. */
	for (unsigned i = 0; i < ARRAY_SIZE(m.entry); i++)
		protective |= m.entry[i].type == MBR_PROTECTIVE;
	if (m.signature != MBR_SIGNATURE)
		return 0;
	if (!protective)
		return mbr_read(d, t, &m, block);
	err = gpt_read(d, t, block, 1);
	/* A table that is damaged or cannot be read: its copy is in the last block. */
	if (err != -EILSEQ && err != -EIO)
		return err;
	t->count = 0;
	err = gpt_read(d, t, block, t->blocks - 1);
	if (!err)
		log_warn("%s: the primary partition table is damaged; the backup is used", d->id);
	return err;
}

enum blk_part_kind blk_part_kind(const uint8_t type[16])
{
	static const uint8_t kinds[][16] = {
		[BLK_PART_OS_DATA] = PART_TYPE_OS_DATA, [BLK_PART_DATASTORE] = PART_TYPE_DATASTORE
	};

	for (unsigned i = BLK_PART_OTHER + 1; i < ARRAY_SIZE(kinds); i++)
		if (!memcmp(type, kinds[i], 16))
			return (enum blk_part_kind)i;
	return BLK_PART_OTHER;
}

int part_read(struct blk_dev *d, struct part *out)
{
	struct table t = { .part = out,
		           .blocks = d->limits.blocks,
		           .block_size = d->limits.block_size };
	uint8_t *block = kmalloc(t.block_size);

	if (!block)
		return -ENOMEM;
	int err = t.blocks > 1 ? table_read(d, &t, block) : 0;

	kfree(block);
	return err ? err : (int)t.count;
}
