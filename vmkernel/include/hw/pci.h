// SPDX-License-Identifier: Apache-2.0
/*
 * Configuration space of PCI functions. Spec: PCI 3.0, PCI Express Base 4.0, PCI Power Management
 * 1.2.
 */
#ifndef HW_PCI_H
#define HW_PCI_H
#include "vmk/types.h"

enum pci_reg { /* PCI 6.1 */
	       PCI_VENDOR = 0x00,
	       PCI_DEVICE = 0x02,
	       PCI_COMMAND = 0x04,
	       PCI_STATUS = 0x06,
	       PCI_REVISION = 0x08,
	       PCI_CLASS = 0x08, /* revision in bits 7:0 */
	       PCI_HEADER = 0x0e,
	       PCI_BAR0 = 0x10,
	       PCI_SUBVENDOR = 0x2c,
	       PCI_SUBDEVICE = 0x2e,
	       PCI_CAPABILITIES = 0x34,
	       PCI_IRQ_LINE = 0x3c,
	       PCI_IRQ_PIN = 0x3d,
	       PCI_BRIDGE_PRIMARY = 0x18, /* PCI-to-PCI Bridge 3.2 */
	       PCI_BRIDGE_SECONDARY = 0x19,
	       PCI_BRIDGE_SUBORDINATE = 0x1a,
	       PCI_CONFIG_SIZE = 256,
	       PCIE_CONFIG_SIZE = 4096,
};
#define PCI_COMMAND_IO       BIT(0)
#define PCI_COMMAND_MEMORY   BIT(1)
#define PCI_COMMAND_MASTER   BIT(2)
#define PCI_COMMAND_INTX_OFF BIT(10)
#define PCI_STATUS_CAPS      BIT(4)
#define PCI_HEADER_TYPE      BITS(6, 0)
#define PCI_HEADER_MULTI     BIT(7)
enum { PCI_HEADER_NORMAL = 0, PCI_HEADER_BRIDGE = 1, PCI_HEADER_CARDBUS = 2 };

/* Base address registers, PCI 6.2.5.1 */
#define PCI_BAR_IO       BIT(0)
#define PCI_BAR_TYPE     BITS(2, 1)
#define PCI_BAR_PREFETCH BIT(3)
#define PCI_BAR_IO_MASK  (~3u)
#define PCI_BAR_MEM_MASK (~15u)
enum { PCI_BAR_TYPE_32 = 0, PCI_BAR_TYPE_64 = 2 };

enum pci_cap_id {
	PCI_CAP_PM = 0x01,
	PCI_CAP_MSI = 0x05,
	PCI_CAP_VENDOR = 0x09,
	PCI_CAP_PCIE = 0x10,
	PCI_CAP_MSIX = 0x11,
	PCI_CAP_AF = 0x13
};

/* Power management, offsets from the capability (PM 3.2) */
enum { PCI_PM_CONTROL = 4 };
#define PCI_PM_STATE         BITS(1, 0)
#define PCI_PM_NO_SOFT_RESET BIT(3)
enum { PCI_PM_D0 = 0, PCI_PM_D3 = 3 };

/* MSI, PCI 6.8.1 */
enum {
	PCI_MSI_CONTROL = 2,
	PCI_MSI_ADDR = 4,
	PCI_MSI_ADDR_HI = 8,
	PCI_MSI_DATA_32 = 8,
	PCI_MSI_DATA_64 = 12
};
#define PCI_MSI_ENABLE BIT(0)
#define PCI_MSI_COUNT  BITS(6, 4) /* multiple message enable */
#define PCI_MSI_64     BIT(7)

/* MSI-X, PCI 6.8.2 */
enum { PCI_MSIX_CONTROL = 2, PCI_MSIX_TABLE = 4, PCI_MSIX_ENTRY_SIZE = 16 };
#define PCI_MSIX_SIZE          BITS(10, 0) /* minus one */
#define PCI_MSIX_MASK          BIT(14)
#define PCI_MSIX_ENABLE        BIT(15)
#define PCI_MSIX_BIR           BITS(2, 0)
#define PCI_MSIX_VECTOR_MASKED BIT(0)
struct pci_msix_entry {
	uint32_t addr, addr_hi, data, control;
};
ASSERT_SIZE(struct pci_msix_entry, PCI_MSIX_ENTRY_SIZE);

/* PCI Express, Base 7.5.3 */
enum {
	PCIE_FLAGS = 2,
	PCIE_DEVCAP = 4,
	PCIE_DEVCTL = 8,
	PCIE_DEVSTA = 10,
	PCIE_LINKCAP = 12,
	PCIE_SLOTCAP = 20,
	PCIE_SLOTCTL = 24,
	PCIE_SLOTSTA = 26
};
#define PCIE_FLAGS_TYPE BITS(7, 4)
#define PCIE_FLAGS_SLOT BIT(8)
enum { PCIE_TYPE_ROOT_PORT = 4, PCIE_TYPE_DOWNSTREAM = 6 };
#define PCIE_DEVCAP_FLR     BIT(28)
#define PCIE_DEVCTL_FLR     BIT(15)
#define PCIE_DEVSTA_PENDING BIT(5)
/* Slots, Base 7.5.3.9 to 11 */
#define PCIE_SLOTCAP_ATTENTION_BUTTON BIT(0)
#define PCIE_SLOTCAP_POWER_CONTROL    BIT(1)
#define PCIE_SLOTCAP_HOTPLUG          BIT(6)
#define PCIE_SLOTCTL_POWER_OFF        BIT(10)
#define PCIE_SLOTCTL_POWER_LED        BITS(9, 8)
enum { PCIE_LED_ON = 1, PCIE_LED_BLINK = 2, PCIE_LED_OFF = 3 };
#define PCIE_SLOTSTA_BUTTON           BIT(0)
#define PCIE_SLOTSTA_PRESENCE_CHANGED BIT(3)
#define PCIE_SLOTSTA_PRESENT          BIT(6)

/* Advanced features: function-level reset of conventional PCI functions (ECN) */
enum { PCI_AF_CAP = 3, PCI_AF_CONTROL = 4, PCI_AF_STATUS = 5 };
#define PCI_AF_CAP_FLR BIT(1)
#define PCI_AF_FLR     BIT(0)
#define PCI_AF_PENDING BIT(0)

/* CONFIG_ADDRESS, PCI 3.2.2.3.2 */
enum { PCI_CF8 = 0xcf8, PCI_CFC = 0xcfc };
#define PCI_CF8_ENABLE BIT(31)
#endif
