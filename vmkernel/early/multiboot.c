// SPDX-License-Identifier: Apache-2.0
/*
 * The loader's boot information, read once into boot_info: it may lie anywhere in free memory (at
 * 0x4000 under GRUB for UEFI, where the AP trampoline would like to be). Spec: Multiboot2 2.0, 3.6.
 */
#include "early/multiboot.h"
#include "vmk/bootmap.h"
#include "early/multiboot2.h"
#include "vmk/boot.h"
#include "vmk/layout.h"
#include "vmk/log.h"
#include "vmk/string.h"

/* The tag's room for a member at its end that runs to the end of the tag. */
#define TAIL_SIZE(tag_, type, member) \
	((tag_)->size > offsetof(type, member) ? (tag_)->size - offsetof(type, member) : 0)

static void read_cmdline(const struct mb2_tag *tag)
{
	size_t max = TAIL_SIZE(tag, struct mb2_tag_string, string);

	max = MIN(max, sizeof(boot_info.cmdline) - 1);
	memcpy(boot_info.cmdline, ((const struct mb2_tag_string *)tag)->string, max);
}

static void read_module(const struct mb2_tag *tag)
{
	const struct mb2_tag_module *m = (const void *)tag;
	size_t max = TAIL_SIZE(tag, struct mb2_tag_module, string);
	struct boot_module *out;

	if (tag->size < sizeof(*m) || m->end < m->start || boot_info.modules == BOOT_MODULES_MAX)
		return;
	out = &boot_info.module[boot_info.modules++];
	out->base = m->start;
	out->len = m->end - m->start;
	out->file = out->base;
	out->file_len = out->len;
	memcpy(out->name, m->string, MIN(max, sizeof(out->name) - 1));
	if (out->len) /* an empty module is kept in the list, but covers no memory */
		boot_reserve(out->base, out->len);
}

static void read_mmap(const struct mb2_tag *tag)
{
	static struct boot_range raw[BOOT_RANGES_MAX];
	const struct mb2_tag_mmap *m = (const void *)tag;
	size_t room = TAIL_SIZE(tag, struct mb2_tag_mmap, entries);
	unsigned n = 0;

	if (tag->size < sizeof(*m) || m->entry_size < sizeof(struct mb2_mmap_entry))
		return;
	for (size_t at = 0; at + m->entry_size <= room && n < BOOT_RANGES_MAX;
	     at += m->entry_size) {
		const struct mb2_mmap_entry *e = (const void *)(m->entries + at);

		raw[n++] = (struct boot_range){ .base = e->base, .len = e->len, .type = e->type };
	}
	boot_info.ranges = bootmap_sanitise(raw, n, DIRECT_SIZE, boot_info.range, BOOT_RANGES_MAX);
}

static void read_framebuffer(const struct mb2_tag *tag)
{
	const struct mb2_tag_framebuffer *f = (const void *)tag;

	if (tag->size < offsetof(struct mb2_tag_framebuffer, red_pos) || f->type == 0)
		return;
	boot_info.fb = (struct boot_framebuffer){
		.base = f->addr,
		.width = f->width,
		.height = f->height,
		.pitch = f->pitch,
		.bpp = f->bpp,
		.text = f->type == 2,
	};
	/* Type 1: direct colour, whose fields follow. An older loader may leave them out. */
	if (f->type != 1 || tag->size <= offsetof(struct mb2_tag_framebuffer, blue_size))
		return;
	boot_info.fb.red_pos = f->red_pos;
	boot_info.fb.red_size = f->red_size;
	boot_info.fb.green_pos = f->green_pos;
	boot_info.fb.green_size = f->green_size;
	boot_info.fb.blue_pos = f->blue_pos;
	boot_info.fb.blue_size = f->blue_size;
}

/* A copy of the RSDP; the newer of the two tags wins. */
static void read_rsdp(const struct mb2_tag *tag)
{
	size_t len = TAIL_SIZE(tag, struct mb2_tag_bytes, bytes);

	if (boot_info.rsdp != 0 && tag->type == MB2_TAG_RSDP_OLD)
		return;
	memset(boot_info.rsdp_copy, 0, sizeof(boot_info.rsdp_copy));
	memcpy(boot_info.rsdp_copy, ((const struct mb2_tag_bytes *)tag)->bytes,
	       MIN(len, sizeof(boot_info.rsdp_copy)));
	boot_info.rsdp = boot_info.image_base +
	                 ((uintptr_t)boot_info.rsdp_copy - (uintptr_t)image_start);
}

static void read_efi(const struct mb2_tag *tag)
{
	if (tag->size >= sizeof(struct mb2_tag_pointer))
		boot_info.efi_system_table = ((const struct mb2_tag_pointer *)tag)->pointer;
}

static void (*const reader[])(const struct mb2_tag *) = {
	[MB2_TAG_CMDLINE] = read_cmdline, [MB2_TAG_MODULE] = read_module,
	[MB2_TAG_MMAP] = read_mmap,       [MB2_TAG_FRAMEBUFFER] = read_framebuffer,
	[MB2_TAG_EFI64] = read_efi,       [MB2_TAG_RSDP_OLD] = read_rsdp,
	[MB2_TAG_RSDP_NEW] = read_rsdp,
};

void multiboot_read(uint32_t magic, pa_t info, pa_t image_base)
{
	const struct mb2_info *mbi = direct_va(info);
	const struct mb2_tag *tag;

	if (magic != MB2_LOADER_MAGIC)
		panic("not loaded by a Multiboot2 loader (EAX is %#x)", magic);
	boot_info.image_base = image_base;
	boot_info.image_len = (uint64_t)(image_end - image_start);
	boot_reserve(0, 1 * MiB); /* BIOS data, trampoline; ALLOC_LOW20 gets some back */
	boot_reserve(boot_info.image_base, boot_info.image_len);
	/* Tags are 8-aligned, their size without the padding; a wrong size ends the walk. */
	for (size_t at = sizeof(*mbi); at + sizeof(*tag) <= mbi->total_size;
	     at += ALIGN_UP((size_t)tag->size, 8)) {
		tag = (const void *)((const char *)mbi + at);
		if (tag->type == MB2_TAG_END || tag->size < sizeof(*tag) ||
		    tag->size > mbi->total_size - at)
			break;
		if (tag->type < ARRAY_SIZE(reader) && reader[tag->type] != NULL)
			reader[tag->type](tag);
	}
	if (boot_info.ranges == 0)
		panic("the boot loader gave no memory map");
}
