// SPDX-License-Identifier: Apache-2.0
/* What every VM has: the board around its processors. */
#ifndef VDEV_VPLATFORM_H
#define VDEV_VPLATFORM_H
#include "vdev/vacpi.h"
#include "vdev/vpci.h"
#include "vdev/vpit.h"
#include "vdev/vrtc.h"
#include "vdev/vuart.h"

enum { VPLATFORM_UARTS = 2, VPLATFORM_MISC = 6 };

struct vplatform {
	struct vm *vm;
	struct vpit pit;
	struct vrtc rtc;
	struct vuart uart[VPLATFORM_UARTS];
	unsigned uarts; /* that were made */
	struct vacpi acpi;
	struct vpci_bus pci;
	uint8_t post_code;
	struct io_range misc[VPLATFORM_MISC]; /* debug exit, debug console, port 92h, POST */
};

int __must_check vplatform_init(struct vplatform *p, struct vm *vm);
void vplatform_stop(struct vplatform *p); /* the vCPUs have ended */
void vplatform_destroy(struct vplatform *p);
#endif
