// SPDX-License-Identifier: Apache-2.0
/*
 * Devices of the PC itself (drivers/char/): not on a bus that could be asked, so boot/main.c starts
 * them by name. The early ones work before memory and interrupts do.
 */
#ifndef VMK_PLATFORM_H
#define VMK_PLATFORM_H
#include "vmk/types.h"

void uart_early_init(void);  /* output */
void vga_init(void);         /* text mode, when the loader left the screen in it */
void rtc_init(void);         /* sets the time of day */
void framebuffer_init(void); /* needs mm */
void ps2_init(void);         /* input; interrupts work */
void uart_irq_init(void);    /* input; interrupts work */
#endif
