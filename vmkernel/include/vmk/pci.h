// SPDX-License-Identifier: Apache-2.0
/*
 * PCI and PCI Express (vmkernel/bus/pci*.c). Config access through ECAM where MCFG covers the bus,
 * else CF8/CFC.
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
	void *ecam;                                   /* the function's window; NULL: CF8/CFC */
	struct pci_dev *parent;                       /* bridge above, or NULL */
	uint8_t secondary, subordinate;               /* bridges */
	uint16_t cap_msi, cap_msix, cap_pcie, cap_pm; /* offsets, 0: none */
	void *bar_va[PCI_BARS];
	struct pci_irqs *irqs;
	struct list link; /* all functions, in bus order */
	unsigned index;   /* in that list; steady within a pci_for_each, a removal lowers it */
};
#define to_pci(d) container_of(d, struct pci_dev, dev)

/* Boot, before pci_scan: a region that the ACPI table MCFG names. -EINVAL, -ENOMEM. */
int pci_ecam_add(uint16_t segment, uint8_t first_bus, uint8_t last_bus, pa_t base);

uint32_t pci_read(struct pci_dev *p, unsigned off, unsigned size); /* size 1, 2, 4 */
void pci_write(struct pci_dev *p, unsigned off, unsigned size, uint32_t v);
/* Next capability with the id after offset from (0: first); 0 when there is none. */
unsigned pci_cap_find(struct pci_dev *p, uint8_t id, unsigned from);

/* Turns on decoding and maps a memory BAR, uncached; NULL when it is not there. */
void *__must_check pci_map_bar(struct pci_dev *p, unsigned bar);
/* Turns on decoding of an I/O BAR; its first port, 0 when it is not there. */
uint16_t __must_check pci_io_bar(struct pci_dev *p, unsigned bar);
/* Bus mastering: only while a driver owns the device. */
void pci_set_master(struct pci_dev *p, bool on);
/*
 * FLR, else PM; the header is restored, interrupts must be set up again. -ENOTSUP, -ENODEV; sleeps.
 */
int __must_check pci_reset_function(struct pci_dev *p);

/*
 * Interrupt messages: up to `most` vectors (MSI-X, else 1 by MSI, else INTx). Returns how many
 * there are, or -errno. Each is then given its handler; vector i should go to CPU cpu (-1: any).
 * Teardown waits for running handlers. INTx follows the interrupt-line register on PIIX and ICH
 * chipsets; elsewhere the handler is called every millisecond.
 */
int __must_check pci_irq_setup(struct pci_dev *p, unsigned most);
int __must_check pci_irq_attach(struct pci_dev *p, unsigned i, int cpu, irq_handler fn, void *arg);
void pci_irq_teardown(struct pci_dev *p);

/* In worlds; fn may sleep, but neither walk again nor attach or forget a function. */
void pci_for_each(void (*fn)(struct pci_dev *p, void *arg), void *arg);

/*
 * All in a world, one after another: boot scans, finds the slots that announce hot plug, attaches
 * drivers through the HCL and then has the slots watched. Before power off and reset the watching
 * stops, and every driver is taken off its device.
 */
void pci_scan(void);
void pci_hotplug_init(void);
void pci_attach(void);
void pci_hotplug_start(void);
void pci_hotplug_stop(void);
void pci_shutdown(void);
#endif
