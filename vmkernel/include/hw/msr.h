// SPDX-License-Identifier: Apache-2.0
/*
 * Model-specific registers: numbers and fields, for the host's own (x86/) and for those that a
 * guest sees (vmm/). Spec: Intel SDM 4, 2; AMD APM 2, appendix A.
 */
#ifndef HW_MSR_H
#define HW_MSR_H
#include "vmk/types.h"

enum msr {
	MSR_TSC = 0x10,
	MSR_PLATFORM_ID = 0x17,
	MSR_APIC_BASE = 0x1b,
	MSR_TSC_ADJUST = 0x3b,
	MSR_SPEC_CTRL = 0x48,
	MSR_PRED_CMD = 0x49,
	MSR_UCODE_REV = 0x8b,
	MSR_MTRR_CAP = 0xfe,
	MSR_ARCH_CAPABILITIES = 0x10a,
	MSR_SYSENTER_CS = 0x174,
	MSR_SYSENTER_ESP = 0x175,
	MSR_SYSENTER_EIP = 0x176,
	MSR_MCG_CAP = 0x179,
	MSR_MCG_STATUS = 0x17a,
	MSR_MISC_ENABLE = 0x1a0,
	MSR_DEBUGCTL = 0x1d9,
	MSR_MTRR_PHYS_BASE = 0x200, /* + 2 * n, its mask follows */
	MSR_MTRR_FIX_64K = 0x250,
	MSR_MTRR_FIX_16K = 0x258, /* 2 */
	MSR_MTRR_FIX_4K = 0x268,  /* 8 */
	MSR_PAT = 0x277,
	MSR_MTRR_DEF_TYPE = 0x2ff,
	MSR_TSC_DEADLINE = 0x6e0,
	MSR_X2APIC = 0x800, /* + offset in the APIC page / 16 */
	MSR_X2APIC_LAST = 0x8ff,
	MSR_EFER = 0xc0000080,
	MSR_STAR = 0xc0000081,
	MSR_LSTAR = 0xc0000082,
	MSR_CSTAR = 0xc0000083,
	MSR_FMASK = 0xc0000084,
	MSR_FS_BASE = 0xc0000100,
	MSR_GS_BASE = 0xc0000101,
	MSR_KERNEL_GS_BASE = 0xc0000102,
	MSR_TSC_AUX = 0xc0000103,
	MSR_AMD_SYSCFG = 0xc0010010,
	MSR_AMD_HWCR = 0xc0010015,
	MSR_AMD_NB_CFG = 0xc001001f,
	MSR_AMD_UCODE_LOADER = 0xc0010020,
	MSR_AMD_INT_PENDING = 0xc0010055,
	MSR_AMD_TSEG_BASE = 0xc0010112,
	MSR_AMD_TSEG_MASK = 0xc0010113,
	MSR_VM_CR = 0xc0010114,
	MSR_VM_HSAVE_PA = 0xc0010117,
	MSR_AMD_LS_CFG = 0xc0011020,
	MSR_AMD_DE_CFG = 0xc0011029,
};

#define PRED_CMD_IBPB            BIT(0)
#define DE_CFG_LFENCE_SERIALISES BIT(1)
#define VM_CR_SVMDIS             BIT(4)

#define EFER_SCE   BIT(0)
#define EFER_LME   BIT(8)
#define EFER_LMA   BIT(10)
#define EFER_NXE   BIT(11)
#define EFER_SVME  BIT(12)
#define EFER_FFXSR BIT(14)
#endif
