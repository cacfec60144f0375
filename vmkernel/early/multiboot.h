// SPDX-License-Identifier: Apache-2.0
/* Copies the loader's information into boot_info and reserves what it occupies. */
#ifndef BOOT_MULTIBOOT_H
#define BOOT_MULTIBOOT_H
#include "vmk/types.h"

/*
 * magic and info are what the loader left in EAX and EBX, image_base is where it put the image; all
 * below 4 GiB.
 */
void multiboot_read(uint32_t magic, pa_t info, pa_t image_base);
#endif
