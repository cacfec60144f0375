// SPDX-License-Identifier: Apache-2.0
/*
 * PIT channel 2 as a free-running reference; its gate is port 61H. Only for calibration at boot.
 * Spec: Intel 8254 data sheet.
 */
#include "vmk/io.h"
#include "x86/clock.h"

enum { PIT_CHANNEL2 = 0x42, PIT_COMMAND = 0x43, PIT_GATE = 0x61 };
#define PIT_HZ         1193182
#define COMMAND_COUNT2 0xb4 /* channel 2, low and high byte, mode 2 */
#define COMMAND_LATCH2 0x80
#define GATE_ENABLE    BIT(0)
#define GATE_SPEAKER   BIT(1)

static uint64_t pit_read(void)
{
	unsigned low;

	out8(PIT_COMMAND, COMMAND_LATCH2);
	low = in8(PIT_CHANNEL2);
	/* It counts down. */
	return 0x10000u - (low | (unsigned)in8(PIT_CHANNEL2) << 8);
}

const struct counter *pit_counter(void)
{
	static const struct counter pit = { "PIT", pit_read, PIT_HZ, 0xffff };

	out8(PIT_GATE, (uint8_t)((in8(PIT_GATE) & ~GATE_SPEAKER) | GATE_ENABLE));
	out8(PIT_COMMAND, COMMAND_COUNT2);
	out8(PIT_CHANNEL2, 0);
	out8(PIT_CHANNEL2, 0);
	return &pit;
}
