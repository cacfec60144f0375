// SPDX-License-Identifier: Apache-2.0
/*
 * The board that every VM has: what stands around its processors, each device at its usual place.
 * Registered as a row of section .boards (vplatform.c); the parts' own locks guard them.
 */
#ifndef VDEV_VPLATFORM_H
#define VDEV_VPLATFORM_H
#include "vdev/vacpi.h"
#include "vdev/vpci.h"
#include "vdev/vpit.h"
#include "vdev/vrtc.h"
#include "vdev/vuart.h"

enum { VPLATFORM_MISC = 6 };

struct vplatform {
	struct board board;
	struct vm *vm;
	struct vpit pit;
	struct vrtc rtc;
	struct vuart uart[VM_SERIAL_PORTS];
	unsigned uarts; /* that were made */
	struct vacpi acpi;
	struct vpci_bus pci;
	uint8_t post_code;
	struct io_range misc[VPLATFORM_MISC]; /* debug exit, debug console, port 92h, POST */
};
#endif
