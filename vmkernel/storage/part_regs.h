// SPDX-License-Identifier: Apache-2.0
/* Partition tables on disk, little endian. Spec: UEFI 2.8 5.2 (MBR), 5.3 (GPT). */
#ifndef STORAGE_PART_REGS_H
#define STORAGE_PART_REGS_H
#include "vmk/types.h"

enum {
	MBR_SIGNATURE = 0xaa55,
	MBR_ACTIVE = 0x80,
	MBR_PROTECTIVE = 0xee,
	MBR_EXTENDED_CHS = 0x05,
	MBR_EXTENDED_LBA = 0x0f,
	MBR_EXTENDED_LINUX = 0x85,
	MBR_LOGICAL_MAX = 60
};

struct mbr_entry {
	uint8_t status, first_chs[3], type, last_chs[3];
	uint32_t first, blocks;
} __packed;
ASSERT_SIZE(struct mbr_entry, 16);
struct mbr {
	uint8_t code[446];
	struct mbr_entry entry[4];
	uint16_t signature;
} __packed;
ASSERT_SIZE(struct mbr, 512);

#define GPT_SIGNATURE 0x5452415020494645ull /* "EFI PART" */
enum { GPT_HEADER_MIN = 92, GPT_ENTRY_MAX = 4096, GPT_ENTRIES_MAX = 1024, GPT_NAME_UNITS = 36 };

struct gpt_header {
	uint64_t signature;
	uint32_t revision, header_size, header_crc, reserved;
	uint64_t my_lba, alternate_lba, first_usable, last_usable;
	uint8_t disk_guid[16];
	uint64_t entries_lba;
	uint32_t entry_count, entry_size, entries_crc;
} __packed;
ASSERT_SIZE(struct gpt_header, GPT_HEADER_MIN);
ASSERT_OFFSET(struct gpt_header, entries_lba, 72);

struct gpt_entry {
	uint8_t type[16], guid[16];
	uint64_t first, last, attributes;
	uint8_t name[2 * GPT_NAME_UNITS]; /* UTF-16LE */
} __packed;
ASSERT_SIZE(struct gpt_entry, 128);
#endif
