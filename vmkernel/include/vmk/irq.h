// SPDX-License-Identifier: Apache-2.0
/*
 * Interrupts as drivers see them. Vectors are allocated per CPU (x86/vector.c); a source is an MSI
 * or MSI-X message or an I/O APIC line. Handlers run with interrupts off, acknowledge and raise a
 * bottom half.
 */
#ifndef VMK_IRQ_H
#define VMK_IRQ_H
#include "vmk/types.h"

enum irq_return { IRQ_NONE, IRQ_HANDLED };
typedef enum irq_return (*irq_handler)(void *arg);

struct irq; /* one source */

/* A message-signalled source: what to program into the device. cpu -1: chosen round robin. */
int __must_check irq_alloc_msi(const char *name, int cpu, irq_handler fn, void *arg,
                               struct irq **out, uint64_t *addr, uint32_t *data);
/* A global system interrupt; shared handlers are chained; storms are masked and logged. */
int __must_check irq_alloc_gsi(const char *name, uint32_t gsi, bool level, bool active_low,
                               irq_handler fn, void *arg, struct irq **out);
/* An ISA interrupt 0-15 with the MADT's overrides applied. */
int __must_check irq_alloc_isa(const char *name, unsigned line, irq_handler fn, void *arg,
                               struct irq **out);
void irq_init(void); /* boot/main.c, once */
/* Masks, waits until no handler runs, frees. The device must not raise it any more. */
void irq_free(struct irq *irq);
void irq_mask(struct irq *irq);
void irq_unmask(struct irq *irq);
int irq_cpu(const struct irq *irq);
uint64_t irq_count(const struct irq *irq);
#endif
