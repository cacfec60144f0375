// SPDX-License-Identifier: Apache-2.0
/*
 * What the boot loader told us, copied out of the loader's memory before anything else runs
 * (vmkernel/early/multiboot.c), and the boot options.
 */
#ifndef VMK_BOOT_H
#define VMK_BOOT_H
#include "vmk/types.h"

enum boot_range_type { BOOT_RAM = 1, BOOT_RESERVED = 2, BOOT_ACPI = 3, BOOT_NVS = 4, BOOT_BAD = 5 };
enum { BOOT_RANGES_MAX = 512, BOOT_MODULES_MAX = 16, BOOT_CMDLINE_MAX = 2048 };

struct boot_range {
	pa_t base;
	uint64_t len;
	uint32_t type;
	uint32_t node; /* filled from SRAT */
};
struct boot_module {
	pa_t base; /* what it holds, unpacked */
	uint64_t len;
	pa_t file;         /* as the loader brought it; the same when it was not packed */
	uint64_t file_len; /* 0: given up */
	char name[112];    /* the module's command line */
};
struct boot_framebuffer {
	pa_t base; /* 0: none */
	uint32_t width, height, pitch;
	uint8_t bpp, red_pos, red_size, green_pos, green_size, blue_pos, blue_size;
	bool text; /* EGA text, width x height characters */
};
struct boot_info {
	/* sanitised: sorted, no overlap, page-aligned RAM */
	struct boot_range range[BOOT_RANGES_MAX];
	unsigned ranges;
	struct boot_module module[BOOT_MODULES_MAX];
	unsigned modules;
	pa_t rsdp; /* a copy's address when the loader gave one, else 0 (BIOS scan) */
	uint8_t rsdp_copy[64];
	pa_t efi_system_table; /* 0 under BIOS */
	pa_t image_base;       /* where the image was put */
	uint64_t image_len;
	struct boot_framebuffer fb;
	char cmdline[BOOT_CMDLINE_MAX];
};
extern struct boot_info boot_info;

/* The value of option "name=value" ("" for a bare "name"), copied; false when it is not there. */
bool boot_option(const char *name, char *value, size_t size);
bool boot_option_u64(const char *name, uint64_t *value);
const struct boot_module *boot_module_find(const char *name);
/*
 * Unpacks the modules that are LZ4 frames; the boot CPU only, behind paging_init(), before
 * mm_init(). A module that is broken, or has no room, is empty then. The packed form is given up on
 * a host that is installed: only an installer reads it.
 */
void boot_unpack_modules(void);

/*
 * Memory before the frame allocator; the boot CPU only, no lock. boot_alloc takes zeroed memory
 * from the top of the RAM below limit that nothing claims (image, modules, loader's data, low 1
 * MiB), on the node if >= 0; PA_NONE when there is none. Until paging_init() only memory below 4
 * GiB is reachable. boot_release takes whole pages back out of what was reserved. boot_free_ranges
 * hands what is left to fn, page-aligned, in rising order, and closes boot_alloc.
 */
pa_t __must_check boot_alloc(uint64_t size, uint64_t align, pa_t limit, int node);
void boot_reserve(pa_t base, uint64_t len);
void boot_release(pa_t base, uint64_t len);
void boot_free_ranges(void (*fn)(pa_t base, uint64_t len, unsigned node));

/*
 * What an image adds to the boot: its rows of .boot_hooks, which boot/main.c calls once, a stage at
 * a time, in the init world. The test image (vmkernel/test/) adds tests and measurements that boot
 * options name; the shipped image has no row.
 */
enum boot_stage {
	BOOT_DEVICES, /* drivers are bound; the switches have not taken the NICs yet */
	BOOT_READY,   /* everything is up */
};
struct boot_hook {
	enum boot_stage stage;
	void (*run)(void); /* may sleep */
};
#define BOOT_HOOK(when, fn)                                                                    \
	static const struct boot_hook fn##_hook SECTION_ENTRY(boot_hooks) = { .stage = (when), \
		                                                              .run = (fn) }

/* Power: through ACPI (S5, reset register), then the keyboard controller, then a triple fault. */
void machine_poweroff(void) __noreturn;
void machine_reboot(void) __noreturn;
#endif
