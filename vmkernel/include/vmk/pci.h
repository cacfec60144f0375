// SPDX-License-Identifier: Apache-2.0
/*
 * PCI and PCI Express (vmkernel/bus/pci*.c). Config access through ECAM where MCFG covers the bus, else CF8/CFC.
 * Spec: PCI 3.0, PCIe Base 4.0.
 */
#ifndef VMK_PCI_H
#define VMK_PCI_H
#include "vmk/driver.h"
#include "vmk/irq.h"

enum { PCI_BARS = 6 };

struct pci_bar {
	pa_t base; /* 0: unused */
	uint64_t len;
	bool io, prefetch, is64;
};

struct pci_dev {
	struct device dev;
	uint16_t segment;
	uint8_t bus, slot, func;
	uint16_t vendor, device, subvendor, subdevice;
	uint32_t class_code; /* 0xCCSSPP */
	uint8_t revision, header, irq_pin, irq_line;
	struct pci_bar bar[PCI_BARS];
	struct pci_dev *parent; /* bridge above, or NULL */
	uint8_t secondary, subordinate; /* bridges */
	uint16_t cap_msi, cap_msix, cap_pcie, cap_pm; /* offsets, 0: none */
	void *bar_va[PCI_BARS];
	struct pci_irqs *irqs;
	struct list link; /* all functions, in bus order */
};
#define to_pci(d) container_of(d, struct pci_dev, dev)

uint32_t pci_read(struct pci_dev *p, unsigned off, unsigned size); /* size 1, 2, 4 */
void pci_write(struct pci_dev *p, unsigned off, unsigned size, uint32_t v);
/* Next capability with the id after offset from (0: first); 0 when there is none. */
unsigned pci_cap_find(struct pci_dev *p, uint8_t id, unsigned from);
unsigned pci_ecap_find(struct pci_dev *p, uint16_t id);

/* Turns on decoding and maps a memory BAR, uncached; NULL when it is not there. */
void *__must_check pci_map_bar(struct pci_dev *p, unsigned bar);
/* Bus mastering: only while a driver owns the device. */
void pci_set_master(struct pci_dev *p, bool on);
int pci_reset_function(struct pci_dev *p); /* FLR, else PM, else -ENOTSUP */

/*
 * Interrupt messages: up to want vectors (MSI-X, else 1 by MSI, else INTx). Returns how many there are, or -errno.
 * Each is then given its handler; vector i should go to CPU cpu (-1: any).
 */
int __must_check pci_irq_setup(struct pci_dev *p, unsigned want);
int __must_check pci_irq_attach(struct pci_dev *p, unsigned i, int cpu, irq_handler fn, void *arg);
void pci_irq_teardown(struct pci_dev *p);

void pci_for_each(void (*fn)(struct pci_dev *p, void *arg), void *arg);
void pci_scan(void);   /* boot: find everything */
void pci_attach(void); /* boot: bind through the HCL */
#endif
