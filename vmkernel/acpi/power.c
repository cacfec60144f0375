// SPDX-License-Identifier: Apache-2.0
/*
 * Power off and reset. No locks: nothing else matters any more. Spec: ACPI 6.4, 4.8.3.2, 4.8.3.6,
 * 7.4.
 */
#include "acpi/acpi.h"
#include "hw/acpi.h"
#include "vmk/boot.h"
#include "vmk/cpu.h"
#include "vmk/io.h"
#include "vmk/layout.h"
#include "vmk/log.h"
#include "vmk/panic.h"
#include "vmk/time.h"
#include "x86/paging.h"

#define LOG_MODULE "power"

enum {
	PCI_ADDRESS = 0xcf8,
	PCI_DATA = 0xcfc,
	RESET_CONTROL = 0xcf9, /* of Intel chipsets: bit 1 all of it, bit 2 now */
	RESET_PREPARE = 0x02,
	RESET_FULL = 0x06,
	KBC_COMMAND = 0x64,
	KBC_RESET = 0xfe,
};
#define ACPI_ENABLE_TIMEOUT (3 * NS_PER_S)
#define RESET_WAIT          (100 * NS_PER_MS) /* before the next means is tried */
#define PANIC_DELAY_MAX     3600ull           /* seconds */

/* From the firmware's hands into ours (16.3.1); no effect where it is ours already. */
static void enable_acpi(void)
{
	ns_t end = time_now() + ACPI_ENABLE_TIMEOUT;

	if ((in16(acpi_info.pm1a_control) & PM1_SCI_EN) || acpi_info.smi_command == 0 ||
	    acpi_info.acpi_enable == 0)
		return;
	out8(acpi_info.smi_command, acpi_info.acpi_enable);
	while (!(in16(acpi_info.pm1a_control) & PM1_SCI_EN) && time_now() < end)
		time_delay(NS_PER_MS);
}

static void enter_sleep(uint16_t port, uint8_t type)
{
	uint16_t v = in16(port) & (uint16_t) ~(7 << PM1_SLP_TYP_SHIFT | PM1_SLP_EN);

	/* The type first, then the same with the enable bit: some chipsets need two writes. */
	v |= (uint16_t)(type << PM1_SLP_TYP_SHIFT);
	out16(port, v);
	out16(port, v | PM1_SLP_EN);
}

void machine_poweroff(void)
{
	log_info("power off");
	if (acpi_info.has_s5 && acpi_info.pm1a_control != 0) {
		enable_acpi();
		irq_save();
		enter_sleep(acpi_info.pm1a_control, acpi_info.s5_type_a);
		if (acpi_info.pm1b_control != 0)
			enter_sleep(acpi_info.pm1b_control, acpi_info.s5_type_b);
		time_delay(NS_PER_S);
	}
	log_err("this machine does not power off by software: switch it off now");
	cpu_stop();
}

static void reset_by_acpi(void)
{
	const struct acpi_register *r = &acpi_info.reset;
	struct paging_leaf leaf;
	uint32_t dev = (r->address >> 32) & 0x1f, fn = (r->address >> 16) & 7;

	if (r->address == 0)
		return;
	switch (r->space) {
	case GAS_PORT: out8((uint16_t)r->address, acpi_info.reset_value); break;
	case GAS_PCI:
		out32(PCI_ADDRESS, BIT(31) | dev << 11 | fn << 8 | (r->address & 0xfc));
		out8((uint16_t)(PCI_DATA + (r->address & 3)), acpi_info.reset_value);
		break;
	case GAS_MEMORY:
		if (r->address < DIRECT_SIZE &&
		    !paging_lookup(paging_kernel_root, DIRECT_BASE + r->address, &leaf))
			mmio_write8(paging_map_device(r->address, 1), acpi_info.reset_value);
		break;
	}
	time_delay(RESET_WAIT);
}

void machine_reboot(void)
{
	static const struct {
		uint16_t limit;
		uint64_t base;
	} __packed no_idt = { 0, 0 };

	log_info("reset");
	irq_save();
	reset_by_acpi();
	out8(RESET_CONTROL, RESET_PREPARE);
	out8(RESET_CONTROL, RESET_FULL);
	time_delay(RESET_WAIT);
	out8(KBC_COMMAND, KBC_RESET);
	time_delay(RESET_WAIT);
	/* A triple fault: no handler for the exception, none for its double fault. */
	__asm__ volatile("lidt %0; int3" ::"m"(no_idt));
	cpu_stop();
}

/* Option panicreboot=SECONDS; without it the screen stays until a person resets the host. */
static void panic_reset(const struct panic_info *info)
{
	uint64_t seconds;

	if (!boot_option_u64("panicreboot", &seconds))
		return;
	panic_print("The host resets in %llu s.\n", (unsigned long long)seconds);
	time_delay(MIN(seconds, PANIC_DELAY_MAX) * NS_PER_S);
	machine_reboot();
}
PANIC_STEP(PANIC_RESET, panic_reset);
