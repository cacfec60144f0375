// SPDX-License-Identifier: Apache-2.0
/*
 * A guest's ACPI fixed hardware: PM1 events and control, PM timer, power button. lock guards all.
 * The ports are in the FADT that shell/vm builds. Spec: ACPI 6.4, 4.8.
 */
#ifndef VDEV_VACPI_H
#define VDEV_VACPI_H
#include "vmk/iobus.h"
#include "vmk/time.h"
#include "vmk/vdev.h"

enum { PM_TIMER_HZ = 3579545 };

struct vacpi {
	struct spinlock lock;
	struct vm *vm;
	uint16_t status, enable, control;
	struct virq *sci;
	struct io_range range;
};

int __must_check vacpi_init(struct vacpi *a, struct vm *vm, struct iobus *b, struct virq *sci);
void vacpi_power_button(struct vacpi *a);
#endif
