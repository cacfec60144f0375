// SPDX-License-Identifier: Apache-2.0
/* The boot order of the vmkernel, on one screen. */
#include "acpi/acpi.h"
#include "early/multiboot.h"
#include "boot/aps.h"
#include "boot/vmimage.h"
#include "boot/watchdog.h"
#include "mm/mm.h"
#include "sched/sched.h"
#include "vmk/boot.h"
#include "vmk/ctl.h"
#include "vmk/file.h"
#include "vmk/ip.h"
#include "vmk/irq.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/pci.h"
#include "vmk/platform.h"
#include "vmk/random.h"
#include "vmk/user.h"
#include "vmk/vswitch.h"
#include "vmk/vm.h"
#include "vmk/world.h"
#include "x86/clock.h"
#include "x86/cpu.h"
#include "x86/ioapic.h"
#include "x86/ipi.h"
#include "x86/lapic.h"
#include "x86/nmi.h"
#include "x86/paging.h"
#include "x86/percpu.h"
#include "x86/trap.h"
#include "x86/vector.h"

#define LOG_MODULE "vmkernel"

extern char boot_stack_guard[]; /* entry.S */

static void run_hooks(enum boot_stage stage)
{
	SECTION_FOR_EACH(struct boot_hook, hook, boot_hooks) {
		if (hook->stage == stage)
			hook->run();
	}
}

static void init_devices(void)
{
	for (unsigned i = 0; i < acpi_info.segments; i++) {
		const struct acpi_segment *s = &acpi_info.segment[i];

		if (pci_ecam_add(s->segment, s->bus_first, s->bus_last, s->base))
			log_warn("PCI segment %u: its description is unusable", s->segment);
	}
	pci_scan();
	pci_attach();
}

/* The rest of the boot, in a world: it may sleep. */
static void init_main(void *arg)
{
	struct mm_totals t;

	watchdog_init();
	uart_irq_init();
	ps2_init();
	random_init();
	init_devices();
	run_hooks(BOOT_DEVICES);
	net_init();
	fs_init();
	ipstack_init();
	ctl_init();
	user_init();
	mm_totals(&t);
	log_info("ready in %llu ms, %u CPUs, %llu MiB",
	         (unsigned long long)(time_now() / NS_PER_MS), cpu_count(),
	         (unsigned long long)(t.total_pages * PAGE_SIZE / MiB));
	vmm_init();
	vmimage_start();
	run_hooks(BOOT_READY);
}

static void start_init_world(void)
{
	const struct world_attr attr = { .name = "init", .cpu = -1, .fn = init_main };
	struct world *w;

	if (world_create(&attr, &w) != 0)
		panic("no memory for the init world");
	world_start(w);
	world_put(w);
}

static void init_interrupts(void)
{
	lapic_init();
	lapic_init_cpu();
	lapic_timer_init();
	lapic_timer_init_cpu();
	nmi_init();
	ioapic_init();
	vector_init();
	ipi_init();
	irq_init();
	trap_hooks = (struct trap_hooks){ .bottom = bottom_run,
		                          .preempt = sched_preempt,
		                          .timer = timer_interrupt };
}

/* From entry.S, on the boot CPU, interrupts off, everything below 4 GiB mapped. */
void boot_main(uint32_t magic, pa_t info, pa_t image_base) __noreturn;
void boot_main(uint32_t magic, pa_t info, pa_t image_base)
{
	clock_start();
	gdt_load(&percpu_boot);
	trap_init();
	trap_init_cpu();
	cpu_identify();
	cpu_init_canary();
	uart_early_init();
	multiboot_read(magic, info, image_base);
	log_init();
	vga_init();
	log_info("Tepui " VMK_VERSION ", image at %#llx", (unsigned long long)image_base);
	cpu_log_features();
	cpu_patch_smap();
	cpu_init_control();
	paging_init((uintptr_t)boot_stack_guard);
	acpi_init();
	clock_init();
	rtc_init();
	boot_unpack_modules();
	mm_init();
	framebuffer_init();
	init_interrupts();
	boot_cpu_init();
	if (sched_init_cpu(0) != 0 || work_init_worlds() != 0)
		panic("no memory for the scheduler");
	aps_start();
	start_init_world();
	sched_run();
}
