// SPDX-License-Identifier: Apache-2.0
/* AMD SVM as the manual lays it out. Spec: AMD APM 2 rev. 3.40, chapter 15 and appendices B, C. */
#ifndef HW_SVM_H
#define HW_SVM_H
#include "hw/msr.h"
#include "vmk/types.h"

/* CPUID 8000000A EDX. */
#define SVM_FEATURE_NP           BIT(0)
#define SVM_FEATURE_NRIPS        BIT(3)
#define SVM_FEATURE_CLEAN        BIT(5)
#define SVM_FEATURE_FLUSH_ASID   BIT(6)
#define SVM_FEATURE_DECODE       BIT(7)
#define SVM_FEATURE_PAUSE        BIT(10)
#define SVM_FEATURE_PAUSE_THRESH BIT(12)

/* Intercept word 0: reads of CRn in bits 15-0, writes in bits 31-16. */
#define SVM_CR8_WRITE BIT(16 + 8)

/* Intercept words 3 and 4 (offsets 0Ch, 10h). */
#define SVM_I3_INTR     BIT(0)
#define SVM_I3_NMI      BIT(1)
#define SVM_I3_SMI      BIT(2)
#define SVM_I3_INIT     BIT(3)
#define SVM_I3_VINTR    BIT(4)
#define SVM_I3_RDPMC    BIT(15)
#define SVM_I3_CPUID    BIT(18)
#define SVM_I3_IRET     BIT(20)
#define SVM_I3_INVD     BIT(22)
#define SVM_I3_PAUSE    BIT(23)
#define SVM_I3_HLT      BIT(24)
#define SVM_I3_INVLPGA  BIT(26)
#define SVM_I3_IOIO     BIT(27)
#define SVM_I3_MSR      BIT(28)
#define SVM_I3_SHUTDOWN BIT(31)
#define SVM_I4_VMRUN    BIT(0)
#define SVM_I4_VMMCALL  BIT(1)
#define SVM_I4_VMLOAD   BIT(2)
#define SVM_I4_VMSAVE   BIT(3)
#define SVM_I4_STGI     BIT(4)
#define SVM_I4_CLGI     BIT(5)
#define SVM_I4_SKINIT   BIT(6)
#define SVM_I4_WBINVD   BIT(9)
#define SVM_I4_MONITOR  BIT(10)
#define SVM_I4_MWAIT    BIT(11)
#define SVM_I4_XSETBV   BIT(13)
#define SVM_I4_RDPRU    BIT(14)

/* Virtual interrupt control (60h). */
#define SVM_V_TPR          BITS(7, 0)
#define SVM_V_IRQ          BIT(8)
#define SVM_V_INTR_PRIO    BITS(19, 16)
#define SVM_V_IGN_TPR      BIT(20)
#define SVM_V_INTR_MASKING BIT(24)
#define SVM_V_INTR_VECTOR  BITS(39, 32)

#define SVM_INT_SHADOW BIT(0)

/* EVENTINJ and EXITINTINFO. */
#define SVM_EVENT_VECTOR BITS(7, 0)
#define SVM_EVENT_TYPE   BITS(10, 8)
#define SVM_EVENT_EV     BIT(11)
#define SVM_EVENT_V      BIT(31)
enum { SVM_EVENT_INTR = 0, SVM_EVENT_NMI = 2, SVM_EVENT_EXCEPTION = 3, SVM_EVENT_SOFT = 4 };

enum { SVM_TLB_KEEP = 0, SVM_TLB_FLUSH_ALL = 1, SVM_TLB_FLUSH_ASID = 3 };
#define SVM_NP_ENABLE BIT(0)

/* VMCB clean bits (C0h). */
#define SVM_CLEAN_I    BIT(0) /* intercepts, TSC offset, pause filter */
#define SVM_CLEAN_IOPM BIT(1)
#define SVM_CLEAN_ASID BIT(2)
#define SVM_CLEAN_TPR  BIT(3) /* the field at 60h */
#define SVM_CLEAN_NP   BIT(4)
#define SVM_CLEAN_CR   BIT(5)
#define SVM_CLEAN_DR   BIT(6)
#define SVM_CLEAN_DT   BIT(7)
#define SVM_CLEAN_SEG  BIT(8)
#define SVM_CLEAN_CR2  BIT(9)

/* IOIO's EXITINFO1. */
#define SVM_IO_IN   BIT(0)
#define SVM_IO_STR  BIT(2)
#define SVM_IO_REP  BIT(3)
#define SVM_IO_SIZE BITS(6, 4) /* 1, 2, 4: bytes */
#define SVM_IO_ADDR BITS(9, 7) /* 1, 2, 4: 16, 32, 64 bits */
#define SVM_IO_SEG  BITS(12, 10)
#define SVM_IO_PORT BITS(31, 16)

enum svm_exit_code {
	SVM_EXIT_CR0_READ = 0x000,
	SVM_EXIT_CR8_WRITE = 0x018,
	SVM_EXIT_EXCP = 0x040,
	SVM_EXIT_INTR = 0x060,
	SVM_EXIT_NMI = 0x061,
	SVM_EXIT_SMI = 0x062,
	SVM_EXIT_INIT = 0x063,
	SVM_EXIT_VINTR = 0x064,
	SVM_EXIT_RDPMC = 0x06f,
	SVM_EXIT_CPUID = 0x072,
	SVM_EXIT_IRET = 0x074,
	SVM_EXIT_INVD = 0x076,
	SVM_EXIT_PAUSE = 0x077,
	SVM_EXIT_HLT = 0x078,
	SVM_EXIT_INVLPGA = 0x07a,
	SVM_EXIT_IOIO = 0x07b,
	SVM_EXIT_MSR = 0x07c,
	SVM_EXIT_SHUTDOWN = 0x07f,
	SVM_EXIT_VMRUN = 0x080,
	SVM_EXIT_VMMCALL = 0x081,
	SVM_EXIT_VMLOAD = 0x082,
	SVM_EXIT_VMSAVE = 0x083,
	SVM_EXIT_STGI = 0x084,
	SVM_EXIT_CLGI = 0x085,
	SVM_EXIT_SKINIT = 0x086,
	SVM_EXIT_WBINVD = 0x089,
	SVM_EXIT_MONITOR = 0x08a,
	SVM_EXIT_MWAIT = 0x08b,
	SVM_EXIT_MWAIT_COND = 0x08c,
	SVM_EXIT_XSETBV = 0x08d,
	SVM_EXIT_RDPRU = 0x08e,
	SVM_EXIT_NPF = 0x400,
};
#define SVM_EXIT_INVALID (~0ull)

struct svm_segment {
	uint16_t selector, attributes;
	uint32_t limit;
	uint64_t base;
};
ASSERT_SIZE(struct svm_segment, 16);

struct vmcb {
	uint32_t intercept_cr, intercept_dr, intercept_exception, intercept3, intercept4,
		intercept5;
	uint8_t reserved1[0x3c - 0x18];
	uint16_t pause_threshold, pause_count;
	uint64_t iopm_pa, msrpm_pa, tsc_offset;
	uint32_t asid;
	uint8_t tlb_control, reserved2[3];
	uint64_t int_control; /* 60h */
	uint64_t int_shadow;  /* 68h */
	uint64_t exit_code, exit_info1, exit_info2, exit_int_info;
	uint64_t np_enable;
	uint64_t reserved3[2];
	uint64_t event_inject; /* A8h */
	uint64_t n_cr3;
	uint64_t lbr_enable;
	uint32_t clean, reserved4;
	uint64_t next_rip; /* C8h */
	uint8_t fetched, instruction[15];
	uint8_t reserved5[0x400 - 0xe0];
	struct svm_segment seg[10]; /* es cs ss ds fs gs gdtr ldtr idtr tr: enum vm_segment_index */
	uint8_t reserved6[0x4cb - 0x4a0];
	uint8_t cpl;
	uint32_t reserved7;
	uint64_t efer;
	uint8_t reserved8[0x548 - 0x4d8];
	uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
	uint8_t reserved9[0x5d8 - 0x580];
	uint64_t rsp;
	uint64_t reserved10[3];
	uint64_t rax;
	uint64_t star, lstar, cstar, sfmask, kernel_gs_base, sysenter_cs, sysenter_esp,
		sysenter_eip;
	uint64_t cr2;
	uint8_t reserved11[0x668 - 0x648];
	uint64_t g_pat;
	uint8_t reserved12[0x1000 - 0x670];
};
ASSERT_SIZE(struct vmcb, 4096);
ASSERT_OFFSET(struct vmcb, pause_threshold, 0x3c);
ASSERT_OFFSET(struct vmcb, iopm_pa, 0x40);
ASSERT_OFFSET(struct vmcb, asid, 0x58);
ASSERT_OFFSET(struct vmcb, int_control, 0x60);
ASSERT_OFFSET(struct vmcb, exit_code, 0x70);
ASSERT_OFFSET(struct vmcb, np_enable, 0x90);
ASSERT_OFFSET(struct vmcb, event_inject, 0xa8);
ASSERT_OFFSET(struct vmcb, clean, 0xc0);
ASSERT_OFFSET(struct vmcb, next_rip, 0xc8);
ASSERT_OFFSET(struct vmcb, fetched, 0xd0);
ASSERT_OFFSET(struct vmcb, seg, 0x400);
ASSERT_OFFSET(struct vmcb, cpl, 0x4cb);
ASSERT_OFFSET(struct vmcb, efer, 0x4d0);
ASSERT_OFFSET(struct vmcb, cr4, 0x548);
ASSERT_OFFSET(struct vmcb, rip, 0x578);
ASSERT_OFFSET(struct vmcb, rsp, 0x5d8);
ASSERT_OFFSET(struct vmcb, rax, 0x5f8);
ASSERT_OFFSET(struct vmcb, star, 0x600);
ASSERT_OFFSET(struct vmcb, cr2, 0x640);
ASSERT_OFFSET(struct vmcb, g_pat, 0x668);
#endif
