// SPDX-License-Identifier: Apache-2.0
/* Shared by the files of vmkernel/bus/ only. */
#ifndef BUS_PCI_IMPL_H
#define BUS_PCI_IMPL_H
#include "vmk/errno.h"
#include "vmk/pci.h"

/* Maps the bus's ECAM window on first use; NULL when none covers it. In worlds. */
void *pci_ecam_bus(uint16_t segment, uint8_t bus);
/* The i-th region that MCFG named; -ENOENT behind the last. */
int pci_ecam_region(unsigned i, uint16_t *segment, uint8_t *first, uint8_t *last);
/* Reads and sizes the base address registers; decoding is off while it does. */
void pci_bars_probe(struct pci_dev *p);
/* Takes a detached function off the list and frees it. */
void pci_forget(struct pci_dev *p);
/* D0, decoding off, bus mastering off, INTx off: the state that probe finds and remove leaves. */
void pci_quiesce(struct pci_dev *p);
#endif
