// SPDX-License-Identifier: Apache-2.0
/* The boot order of the vmkernel, on one screen. */
#include "boot/multiboot.h"
#include "acpi/acpi.h"
#include "vmk/boot.h"
#include "vmk/log.h"
#include "vmk/panic.h"
#include "vmk/platform.h"
#include "x86/clock.h"
#include "x86/cpu.h"
#include "x86/paging.h"
#include "x86/percpu.h"
#include "x86/trap.h"

#define LOG_MODULE "vmkernel"

/* From entry.S, on the boot CPU, interrupts off, everything below 4 GiB mapped. */
void boot_main(uint32_t magic, pa_t info, pa_t image_base) __noreturn;
void boot_main(uint32_t magic, pa_t info, pa_t image_base)
{
	gdt_load(&percpu_boot);
	trap_init();
	trap_init_cpu();
	cpu_identify();
	cpu_init_canary();
	uart_early_init();
	multiboot_read(magic, info, image_base);
	log_info("Tepui " VMK_VERSION ", image at %#llx", (unsigned long long)image_base);
	cpu_log_features();
	cpu_patch_smap();
	cpu_init_control();
	paging_init();
	acpi_init();
	clock_init();
	panic("nothing is left to do at this step of the boot");
}
