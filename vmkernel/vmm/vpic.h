// SPDX-License-Identifier: Apache-2.0
/*
 * A guest's pair of 8259 interrupt controllers. lock guards all. Spec: Intel 8259A data sheet;
 * ELCR: Intel ICH9 13.2.
 */
#ifndef VMM_VPIC_H
#define VMM_VPIC_H
#include "vmk/iobus.h"

struct vpic_chip {
	uint8_t irr, isr, imr, elcr, lines; /* a bit an input */
	uint8_t base;                       /* vector of input 0 */
	uint8_t icw;                        /* next ICW expected: 2, 3, 4; 0: initialised */
	bool icw4, auto_eoi, read_isr, special_mask, rotate_auto, poll;
	uint8_t lowest; /* input of the lowest priority */
};

struct vpic {
	struct spinlock lock;
	struct vpic_chip chip[2]; /* primary, secondary */
	bool output;
	void (*changed)(struct vpic *p, bool output); /* INTR, under lock; any context */
	struct io_range range[3];
};

int __must_check vpic_init(struct vpic *p, struct iobus *b, void (*changed)(struct vpic *, bool));
void vpic_set(struct vpic *p, unsigned line, bool level); /* any context */
/* The processor takes the interrupt: its vector (a spurious one when there is none). */
uint8_t vpic_acknowledge(struct vpic *p);
#endif
