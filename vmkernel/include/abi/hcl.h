// SPDX-License-Identifier: Apache-2.0
/*
 * Rows of the hardware compatibility list as they stand in the image (.drivers, .hvm_ops). hcl/
 * reads these structures from build/vmkernel.elf; pointers are image addresses.
 */
#ifndef ABI_HCL_H
#define ABI_HCL_H
#include "abi/abi.h"

enum hcl_level {
	HCL_BLOCKED = 0,   /* known bad: never bound */
	HCL_SUPPORTED = 1, /* id or class match, not tried by us */
	HCL_EMULATED = 2,  /* a record from a named emulator */
	HCL_TESTED = 3,    /* a record from physical hardware */
};

enum hcl_bus { HCL_BUS_PCI = 1, HCL_BUS_USB = 2, HCL_BUS_ISA = 3, HCL_BUS_ACPI = 4 };

enum hcl_class {
	HCL_CLASS_BLOCK = 1,
	HCL_CLASS_NET = 2,
	HCL_CLASS_INPUT = 3,
	HCL_CLASS_SERIAL = 4,
	HCL_CLASS_DISPLAY = 5,
	HCL_CLASS_BRIDGE = 6,
	HCL_CLASS_OTHER = 7,
};

enum hcl_match_kind {
	HCL_MATCH_PCI_ID = 1,
	HCL_MATCH_PCI_CLASS = 2,
	HCL_MATCH_USB_ID = 3,
	HCL_MATCH_USB_CLASS = 4,
	HCL_MATCH_ISA = 5
};

struct hcl_match {
	uint16_t kind;  /* enum hcl_match_kind */
	uint16_t level; /* enum hcl_level */
	uint16_t vendor, device;
	uint16_t subvendor, subdevice; /* 0, 0: any */
	uint32_t class_code;           /* 0xCCSSPP */
	uint32_t quirks;               /* the driver's own bits */
	uint32_t reserved;
	const char *name;
};
ABI_SIZE(struct hcl_match, 32);

struct device;

struct hcl_driver {
	const char *name;   /* nvme */
	const char *desc;   /* NVM Express storage */
	const char *spec;   /* NVMe 1.4 */
	const char *source; /* file of the declaration, relative to the tree */
	uint16_t bus;       /* enum hcl_bus */
	uint16_t class;     /* enum hcl_class */
	uint32_t match_count;
	const struct hcl_match *match;
	/* 0 or -errno; the device is powered, decoding is off, bus mastering is off. */
	int (*probe)(struct device *dev);
	/* After it returns, the device does no DMA and raises no interrupt. */
	void (*remove)(struct device *dev);
};
ABI_SIZE(struct hcl_driver, 64);

/* A CPU virtualization back end: rows of the .hvm_backends section. */
struct hcl_hvm {
	const char *name;               /* svm */
	const char *desc;               /* AMD SVM with nested paging */
	const char *vendor;             /* CPUID vendor string: AuthenticAMD */
	uint32_t cpuid_leaf, cpuid_reg; /* feature bit that must be set; reg 0-3 = eax..edx */
	uint32_t cpuid_bit;
	uint32_t level;               /* enum hcl_level */
	uint32_t need_leaf, need_reg; /* a second bit (nested paging); leaf 0: none */
	uint32_t need_bit;
	uint32_t reserved;
	const char *source;
};
ABI_SIZE(struct hcl_hvm, 64);
#endif
