// SPDX-License-Identifier: Apache-2.0
/*
 * AMD SVM with nested paging: what the CPU can, turning it on, the VMCB of a vCPU. A run of the
 * guest is in svm_run.c. Spec: AMD APM 2, chapter 15, appendix B.
 */
#include "vmm/svm.h"
#include "hw/exception.h"
#include "hw/msr.h"
#include "vmk/errno.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/string.h"
#include "vmm/vm_priv.h"
#include "x86/cpu.h"
#include "x86/insn.h"
#include "x86/percpu.h"

#define LOG_MODULE "svm"

enum {
	LEAF_SVM = 0x8000000a,
	LEAF_SIZES = 0x80000008,
	SIZES_RDPRU = 1 << 4,
	IOPM_ORDER = 2,
	MSRPM_ORDER = 1,
	MSRPM_BANK = 0x800,
	MSRPM_MSRS = 0x2000
};
enum { PAUSE_COUNT = 3000, PAUSE_THRESHOLD = 128 };
#define EFER_GUEST  (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_FFXSR)
#define PAT_DEFAULT 0x0007040600070406
#define NPT_TABLE   (BIT(0) | BIT(1) | BIT(2) | BIT(5))
#define NPT_LEAF    (NPT_TABLE | BIT(6))

uint32_t svm_features;
static struct npt_format npt_format = { .table = NPT_TABLE, .leaf = NPT_LEAF, .large = BIT(7) };
static pa_t iopm, msrpm;
static struct svm_cpu svm_cpus[CPUS_MAX];

/* The guest has these for itself: VMLOAD and VMSAVE switch them, or the VMCB does. */
static const uint32_t msr_passed[] = {
	MSR_SYSENTER_CS,    MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_FS_BASE, MSR_GS_BASE,
	MSR_KERNEL_GS_BASE, MSR_STAR,         MSR_LSTAR,        MSR_CSTAR,   MSR_FMASK,
};

/* Two bits a register, read and write, in three banks (15.11). */
static void msrpm_pass(uint8_t *map, uint32_t msr)
{
	uint32_t bank = msr < MSRPM_MSRS ? 0 : msr >> 16 == 0xc000 ? 1 : 2;
	uint32_t bit = (msr & (MSRPM_MSRS - 1)) * 2;

	/* The map starts with all accesses intercepted; two clear bits pass both. */
	map[bank * MSRPM_BANK + bit / 8] &= (uint8_t) ~(3u << (bit % 8));
}

static int maps_create(void)
{
	if (iopm)
		return 0;
	/*
	 * Both maps are the same for all guests: every port exits, and of the MSRs those
	 * not above.
	 */
	iopm = page_alloc(IOPM_ORDER, FRAME_KERNEL, 0);
	msrpm = page_alloc(MSRPM_ORDER, FRAME_KERNEL, 0);
	if (iopm == PA_NONE || msrpm == PA_NONE)
		return -ENOMEM;
	memset(pa_to_va(iopm), 0xff, PAGE_SIZE << IOPM_ORDER);
	memset(pa_to_va(msrpm), 0xff, PAGE_SIZE << MSRPM_ORDER);
	for (unsigned i = 0; i < ARRAY_SIZE(msr_passed); i++)
		msrpm_pass(pa_to_va(msrpm), msr_passed[i]);
	return 0;
}

static bool present(void)
{
	if (strcmp(cpu_features.vendor, "AuthenticAMD") &&
	    strcmp(cpu_features.vendor, "HygonGenuine"))
		return false;
	if (cpu_features.max_ext_leaf < LEAF_SVM || !(cpuid(0x80000001, 0).c & BIT(2)))
		return false;
	return (cpuid(LEAF_SVM, 0).d & SVM_FEATURE_NP) && !(rdmsr(MSR_VM_CR) & VM_CR_SVMDIS);
}

/* The host's state that VMRUN does not save is saved once, by VMSAVE: it does not change. */
static int svm_enable_cpu(void)
{
	struct percpu *p = this_cpu();
	struct svm_cpu *c = &svm_cpus[p->id];
	struct cpuid id;

	if (!present() || maps_create())
		return -ENODEV;
	id = cpuid(LEAF_SVM, 0);
	svm_features = id.d;
	/* The nested tables are walked like the host's own: what it may use, they may use. */
	npt_format.huge = cpu_features.huge_pages;
	c->host = page_alloc(ORDER_4K, FRAME_KERNEL, ALLOC_ZERO);
	c->hsave = page_alloc(ORDER_4K, FRAME_KERNEL, ALLOC_ZERO);
	if (c->host == PA_NONE || c->hsave == PA_NONE)
		return -ENODEV;
	asid_pool_init(&c->asids, id.b);
	/* 15.4: SVME first, without it the instructions and VM_HSAVE_PA are not there. */
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
	wrmsr(MSR_VM_HSAVE_PA, c->hsave);
	__asm__ volatile("vmsave %0" ::"a"(c->host) : "memory");
	p->vmm = c;
	if (p->id == 0)
		log_info("AMD SVM, %u ASIDs, features %#x", id.b, id.d);
	return 0;
}

static const struct npt_format *svm_format(void)
{
	return &npt_format;
}

static void vmcb_init(const struct vcpu *v, struct vmcb *c)
{
	/*
	 * #DB and #AC are intercepted although the guest gets them: a guest can nest them for
	 * ever in their own delivery, which no interrupt of the host's would end (CVE-2015-5307,
	 * CVE-2015-8104). #MC is the host's.
	 */
	c->intercept_exception = BIT(VEC_DB) | BIT(VEC_AC) | BIT(VEC_MC);
	c->intercept3 = SVM_I3_INTR | SVM_I3_NMI | SVM_I3_RDPMC | SVM_I3_CPUID | SVM_I3_INVD |
	                SVM_I3_HLT | SVM_I3_INVLPGA | SVM_I3_IOIO | SVM_I3_MSR | SVM_I3_SHUTDOWN;
	c->intercept4 = SVM_I4_VMRUN | SVM_I4_VMMCALL | SVM_I4_VMLOAD | SVM_I4_VMSAVE |
	                SVM_I4_STGI | SVM_I4_CLGI | SVM_I4_SKINIT | SVM_I4_WBINVD | SVM_I4_MONITOR |
	                SVM_I4_MWAIT | SVM_I4_XSETBV;
	/* It would tell ring 3 the host's frequencies; guests are not offered it. */
	if (cpuid(LEAF_SIZES, 0).b & SIZES_RDPRU)
		c->intercept4 |= SVM_I4_RDPRU;
	if (svm_features & SVM_FEATURE_PAUSE) {
		c->intercept3 |= SVM_I3_PAUSE;
		c->pause_count = PAUSE_COUNT;
		c->pause_threshold = svm_features & SVM_FEATURE_PAUSE_THRESH ? PAUSE_THRESHOLD : 0;
	}
	c->iopm_pa = iopm;
	c->msrpm_pa = msrpm;
	c->tsc_offset = v->vm->tsc_offset;
	/*
	 * V_INTR_MASKING: the host's RFLAGS.IF decides about physical interrupts, the guest's
	 * about virtual ones. V_IGN_TPR: the priority was decided against the TPR in vlapic.c.
	 */
	c->int_control = SVM_V_INTR_MASKING | SVM_V_INTR_PRIO | SVM_V_IGN_TPR;
	c->np_enable = SVM_NP_ENABLE;
	c->n_cr3 = gmem_root(v->gmem);
	c->g_pat = PAT_DEFAULT;
	/* VMRUN demands SVME in the guest's EFER too (15.5.1); the guest never sees it. */
	c->efer = EFER_SVME;
	c->dr6 = 0xffff0ff0;
	c->dr7 = 0x400;
}

static int svm_vcpu_create(struct vcpu *v)
{
	struct svm *s = kzalloc(sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->vmcb_pa = page_alloc(ORDER_4K, FRAME_KERNEL, ALLOC_ZERO);
	if (s->vmcb_pa == PA_NONE) {
		kfree(s);
		return -ENOMEM;
	}
	s->vmcb = pa_to_va(s->vmcb_pa);
	/* No CPU's number: the first run loads all of the VMCB. */
	s->cpu = CPUS_MAX;
	v->hvm = s;
	vmcb_init(v, s->vmcb);
	return 0;
}

static void svm_vcpu_destroy(struct vcpu *v)
{
	struct svm *s = svm_of(v);

	page_free(s->vmcb_pa, ORDER_4K);
	kfree(s);
}

STATIC_ASSERT(sizeof(struct svm_segment) == sizeof(struct vm_segment));

static void svm_set_state(struct vcpu *v, const struct vm_vcpu_state *s)
{
	struct svm *svm = svm_of(v);
	struct vmcb *c = svm->vmcb;

	c->cr0 = s->cr0;
	c->cr2 = s->cr2;
	c->cr3 = s->cr3;
	c->cr4 = s->cr4;
	c->efer = (s->efer & EFER_GUEST) | EFER_SVME;
	memcpy(c->seg, s->seg, sizeof(c->seg));
	/* CPL is SS.DPL, which the attributes hold in bits 6-5. */
	c->cpl = (s->seg[VM_SS].attributes >> 5) & 3;
	svm->clean = 0;
}

static void svm_context(const struct vcpu *v, struct vcpu_context *x)
{
	const struct vmcb *c = svm_of(v)->vmcb;

	x->cr0 = c->cr0;
	x->cr3 = c->cr3;
	x->cr4 = c->cr4;
	x->efer = c->efer & ~EFER_SVME;
	x->cpl = c->cpl;
	memcpy(x->seg, c->seg, sizeof(x->seg));
}

static void svm_set_cr2(struct vcpu *v, uint64_t value)
{
	svm_of(v)->vmcb->cr2 = value;
	svm_dirty(svm_of(v), SVM_CLEAN_CR2);
}

static int efer_write(struct svm *s, uint64_t value)
{
	struct vmcb *c = s->vmcb;

	/* LME may change with paging off only. LMA is the processor's: it follows CR0.PG. */
	if ((value & ~EFER_GUEST) || ((value ^ c->efer) & EFER_LME && c->cr0 & CR0_PG))
		return -EINVAL;
	c->efer = (value & ~EFER_LMA) | (c->efer & EFER_LMA) | EFER_SVME;
	svm_dirty(s, SVM_CLEAN_CR);
	return 0;
}

/* Each of the eight types: 0, 1, 4, 5, 6, 7 exist. */
static bool pat_valid(uint64_t pat)
{
	for (unsigned i = 0; i < 8; i++, pat >>= 8) {
		if ((pat & 0xff) > 7 || (pat & 0xfe) == 2)
			return false;
	}
	return true;
}

static int svm_msr(struct vcpu *v, uint32_t index, bool write, uint64_t *value)
{
	struct svm *s = svm_of(v);
	struct vmcb *c = s->vmcb;

	switch (index) {
	case MSR_EFER:
		if (write)
			return efer_write(s, *value);
		*value = c->efer & ~EFER_SVME;
		return 0;
	case MSR_PAT:
		if (!write) {
			*value = c->g_pat;
			return 0;
		}
		if (!pat_valid(*value))
			return -EINVAL;
		/*
		 * With nested paging the guest's PAT is G_PAT, cached with the NP
		 * group (15.25.2).
		 */
		c->g_pat = *value;
		svm_dirty(s, SVM_CLEAN_NP);
		return 0;
	case MSR_TSC: /* an offset of this vCPU's own from now on */
		if (!write) {
			*value = rdtsc() + c->tsc_offset;
			return 0;
		}
		c->tsc_offset = *value - rdtsc();
		svm_dirty(s, SVM_CLEAN_I);
		return 0;
	default: return -ENOENT;
	}
}

static const struct hcl_hvm svm_hcl SECTION_ENTRY(hvm_backends) = {
	.name = "svm",
	.desc = "AMD SVM with nested paging",
	.vendor = "AuthenticAMD",
	.cpuid_leaf = 0x80000001,
	.cpuid_reg = 2,
	.cpuid_bit = 2,
	.level = HCL_SUPPORTED,
	.need_leaf = LEAF_SVM,
	.need_reg = 3,
	.need_bit = 0,
	.source = "vmkernel/vmm/svm.c",
};

static const struct hvm_ops svm_ops SECTION_ENTRY(hvm_ops) = {
	.hcl = &svm_hcl,
	.enable_cpu = svm_enable_cpu,
	.format = svm_format,
	.vcpu_create = svm_vcpu_create,
	.vcpu_destroy = svm_vcpu_destroy,
	.set_state = svm_set_state,
	.context = svm_context,
	.set_cr2 = svm_set_cr2,
	.msr = svm_msr,
	.run = svm_run,
	.inject = svm_inject,
	.window = svm_window,
};
