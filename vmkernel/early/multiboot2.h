// SPDX-License-Identifier: Apache-2.0
/*
 * Multiboot2 numbers and tags. Spec: Multiboot2 Specification 2.0, 3.1 (header), 3.6 (boot
 * information).
 */
#ifndef BOOT_MULTIBOOT2_H
#define BOOT_MULTIBOOT2_H

#define MB2_HEADER_MAGIC 0xe85250d6
#define MB2_LOADER_MAGIC 0x36d76289

#define MB2_HEADER_END         0
#define MB2_HEADER_FRAMEBUFFER 5
#define MB2_HEADER_RELOCATABLE 10

#define MB2_TAG_END         0
#define MB2_TAG_CMDLINE     1
#define MB2_TAG_MODULE      3
#define MB2_TAG_MMAP        6
#define MB2_TAG_FRAMEBUFFER 8
#define MB2_TAG_EFI64       12
#define MB2_TAG_RSDP_OLD    14
#define MB2_TAG_RSDP_NEW    15
#define MB2_TAG_LOAD_BASE   21

#ifndef __ASSEMBLER__
#include "vmk/types.h"

struct mb2_info {
	uint32_t total_size, reserved;
};
struct mb2_tag {
	uint32_t type, size; /* size without the padding to 8 */
};
struct mb2_tag_string {
	struct mb2_tag tag;
	char string[];
};
struct mb2_tag_module {
	struct mb2_tag tag;
	uint32_t start, end;
	char string[];
};
struct mb2_tag_mmap {
	struct mb2_tag tag;
	uint32_t entry_size, entry_version;
	uint8_t entries[];
};
struct mb2_mmap_entry {
	uint64_t base, len;
	uint32_t type, reserved;
};
struct mb2_tag_framebuffer {
	struct mb2_tag tag;
	uint64_t addr;
	uint32_t pitch, width, height;
	uint8_t bpp, type; /* 1 RGB, 2 EGA text */
	uint16_t reserved;
	uint8_t red_pos, red_size, green_pos, green_size, blue_pos, blue_size;
};
struct mb2_tag_pointer {
	struct mb2_tag tag;
	uint64_t pointer;
};
struct mb2_tag_bytes {
	struct mb2_tag tag;
	uint8_t bytes[];
};
ASSERT_OFFSET(struct mb2_tag_framebuffer, red_pos, 32);
#endif
#endif
