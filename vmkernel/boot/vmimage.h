// SPDX-License-Identifier: Apache-2.0
#ifndef BOOT_VMIMAGE_H
#define BOOT_VMIMAGE_H
/* Starts the guests that the boot option vmimage=NAME,... names. A world, after vmm_init. */
void vmimage_start(void);
#endif
