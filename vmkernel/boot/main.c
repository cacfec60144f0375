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
#include "vmk/panic.h"
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
	pci_scan();          /* every function of every bus */
	pci_hotplug_init();  /* slots that announce hot plug */
	pci_attach();        /* drivers, as far as the HCL allows */
	pci_hotplug_start(); /* the slots are watched */
}

/* The rest of the boot, in a world: it may sleep. */
static void init_main(void *arg)
{
	struct mm_totals t;

	watchdog_init();         /* finds CPUs that hang */
	uart_irq_init();         /* serial input */
	ps2_init();              /* keyboard */
	random_init();           /* keys for the network stack and userworlds */
	init_devices();          /* PCI, drivers */
	run_hooks(BOOT_DEVICES); /* a test image takes devices here */
	net_init();              /* virtual switches, uplinks */
	fs_init();               /* root, /dev, /proc, datastores */
	ipstack_init();          /* the host's TCP/IP */
	ctl_init();              /* control socket */
	user_init();             /* the first userworld: the service console */
	mm_totals(&t);
	log_info("ready in %llu ms, %u CPUs, %llu MiB",
	         (unsigned long long)(time_now() / NS_PER_MS), cpu_count(),
	         (unsigned long long)(t.total_pages * PAGE_SIZE / MiB));
	vmm_init();            /* virtual machines */
	vmimage_start();       /* guests of option vmimage= */
	run_hooks(BOOT_READY); /* a test image runs its tests here */
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
	lapic_init();           /* xAPIC or x2APIC */
	lapic_init_cpu();       /* this CPU's */
	lapic_timer_init();     /* TSC deadline, or measured */
	lapic_timer_init_cpu(); /* this CPU's */
	nmi_init();             /* watchdog, panic of another CPU */
	ioapic_init();          /* all lines masked; the 8259s too */
	vector_init();          /* vectors for devices */
	ipi_init();             /* calls between CPUs */
	irq_init();             /* interrupts as drivers see them */
	trap_hooks = (struct trap_hooks){ .bottom = bottom_run,
		                          .preempt = sched_preempt,
		                          .timer = timer_interrupt };
}

/* From entry.S, on the boot CPU, interrupts off, everything below 4 GiB mapped. */
void boot_main(uint32_t magic, pa_t info, pa_t image_base) __noreturn;
void boot_main(uint32_t magic, pa_t info, pa_t image_base)
{
	clock_start();                           /* time counts from here */
	gdt_load(&percpu_boot);                  /* segments, GS, the task state */
	trap_init();                             /* interrupt table */
	trap_init_cpu();                         /* from now on a fault is a panic with a reason */
	cpu_identify();                          /* CPUID */
	cpu_init_canary();                       /* stack protector */
	uart_early_init();                       /* first console: the log can be read */
	multiboot_read(magic, info, image_base); /* memory map, modules, boot options */
	log_init();                              /* option loglevel= */
	panic_record_init();                     /* what an earlier run left */
	vga_init();                              /* text screen */
	log_info("Tepui " VMK_VERSION ", image at %#llx", (unsigned long long)image_base);
	cpu_log_features();
	cpu_patch_smap();   /* STAC and CLAC, while the text is still writable */
	cpu_init_control(); /* CR0, CR4, XCR0 */
	paging_init((uintptr_t)boot_stack_guard); /* the kernel's own page tables, W^X */
	acpi_init();                              /* tables: CPUs, nodes, I/O APICs */
	clock_init();                             /* TSC measured; the log gets times */
	rtc_init();                               /* date */
	boot_unpack_modules();                    /* the userworld image */
	mm_init();                                /* frames, slabs, kernel mappings */
	framebuffer_init();                       /* the graphic screen */
	init_interrupts();                        /* APICs, timer, vectors */
	boot_cpu_init();                          /* stacks for NMI, double fault, machine check */
	if (sched_init_cpu(0) != 0 || work_init_worlds() != 0)
		panic("no memory for the scheduler");
	aps_start();        /* all other CPUs */
	start_init_world(); /* the rest of the boot */
	sched_run();        /* runs worlds; this stack becomes the idle world of CPU 0 */
}
