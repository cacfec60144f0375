// SPDX-License-Identifier: Apache-2.0
/*
 * What a guest learns from CPUID: the host's answer through a list of what we stand by. A feature
 * that needs state we do not switch, or an intercept we do not have, is not in the list.
 * Spec: AMD APM 3 appendix E; Intel SDM 2A CPUID; Linux Documentation/virt/kvm/x86/cpuid.rst.
 */
#include "vmk/string.h"
#include "vmm/vm_priv.h"
#include "x86/cpu.h"
#include "x86/insn.h"

enum { EAX, EBX, ECX, EDX, ANY = ~0, NONE = 255, LEAF_MAX = 0xd };
enum {
	LEAF_HYPERVISOR = 0x40000000,
	KVM_CLOCK = 1 << 0,
	KVM_CLOCK2 = 1 << 3,
	KVM_CLOCK_STABLE = 1 << 24
};
#define F(n)         (1u << (n))
#define PASS         0xffffffffu
#define ECX1_OSXSAVE F(27)

/* A leaf of the host's and the bits of it that a guest may see. */
static const struct {
	uint32_t leaf, sub, mask[4];
} policy[] = {
	{ 0x0, ANY, { 0, PASS, PASS, PASS } },
	{ 0x1,
	  ANY,
	  { PASS, 0xff00, /* CLFLUSH line */
	    /* SSE3 PCLMUL SSSE3 FMA CX16 SSE4.1 SSE4.2 MOVBE POPCNT AES XSAVE AVX F16C RDRAND */
	    F(0) | F(1) | F(9) | F(12) | F(13) | F(19) | F(20) | F(22) | F(23) | F(25) | F(26) |
	            F(28) | F(29) | F(30),
	    /* FPU to CMOV without the reserved ones, PAT PSE36 CLFSH MMX FXSR SSE SSE2 */
	    0x0000fbff | F(16) | F(17) | F(19) | F(23) | F(24) | F(25) | F(26) } },
	{ 0x7,
	  0,
	  { 0,
	    /* FSGSBASE BMI1 AVX2 SMEP BMI2 ERMS RDSEED ADX SMAP CLFLUSHOPT CLWB SHA, AVX-512 */
	    F(0) | F(3) | F(5) | F(7) | F(8) | F(9) | F(16) | F(17) | F(18) | F(19) | F(20) |
	            F(23) | F(24) | F(28) | F(29) | F(30) | F(31),
	    F(2) | F(9) | F(10) | F(22), /* UMIP VAES VPCLMULQDQ RDPID */
	    F(4) } },                    /* FSRM */
	{ 0xd, 0, { PASS, 0, PASS, PASS } },
	{ 0xd, 1, { F(0) | F(1) | F(2), 0, 0, 0 } }, /* XSAVEOPT XSAVEC XGETBV1 */
	{ 0xd, 2, { PASS, PASS, PASS, 0 } },
	{ 0xd, 5, { PASS, PASS, PASS, 0 } },
	{ 0xd, 6, { PASS, PASS, PASS, 0 } },
	{ 0xd, 7, { PASS, PASS, PASS, 0 } },
	{ 0x80000000, ANY, { 0, PASS, PASS, PASS } },
	{ 0x80000001,
	  ANY,
	  { PASS, 0,
	    /* LAHF CR8 ABM SSE4A MISALIGN PREFETCHW */
	    F(0) | F(4) | F(5) | F(6) | F(7) | F(8),
	    /* as leaf 1, and SYSCALL NX MMXEXT PDPE1GB RDTSCP LM */
	    0x0183f3ff | F(11) | F(20) | F(22) | F(26) | F(27) | F(29) } },
	{ 0x80000002, ANY, { PASS, PASS, PASS, PASS } },
	{ 0x80000003, ANY, { PASS, PASS, PASS, PASS } },
	{ 0x80000004, ANY, { PASS, PASS, PASS, PASS } },
	{ 0x80000005, ANY, { PASS, PASS, PASS, PASS } },
	{ 0x80000006, ANY, { PASS, PASS, PASS, PASS } },
	{ 0x80000007, ANY, { 0, 0, 0, F(8) } },
	{ 0x80000008, ANY, { 0xffff, 0, 0, 0 } },
};

static struct cpuid_entry *add(struct cpuid_table *t, uint32_t leaf, uint32_t sub, struct cpuid r)
{
	struct cpuid_entry *e = &t->entry[t->count];
	unsigned ext = leaf >> 31, low = leaf & 0x7fffffff;

	*e = (struct cpuid_entry){ leaf, sub, { r.a, r.b, r.c, r.d } };
	/* Sub-leaves follow each other: the index has the first one. */
	if (low < ARRAY_SIZE(t->index[0]) && t->index[ext][low] == NONE)
		t->index[ext][low] = (uint8_t)t->count;
	t->count++;
	return e;
}

/*
 * QEMU's TCG 7.2 loses the flags in CMPXCHG16B: an exit right behind it saves an RFLAGS with bits
 * of some other register, the VM bit among them, which a guest does not survive.
 */
static bool loses_flags(void)
{
	struct cpuid r = { 0 };

	if (cpu_features.hypervisor)
		r = cpuid(LEAF_HYPERVISOR, 0);
	return !memcmp((uint32_t[]){ r.b, r.c, r.d }, "TCGTCGTCGTCG", 12);
}

/* What no mask can say. */
static void adjust(const struct vm *vm, struct cpuid_entry *e)
{
	uint32_t *r = e->reg;

	switch (e->leaf) {
	case 0x0: r[EAX] = LEAF_MAX; break;
	case 0x1:
		/* Logical processors in the package; HTT says that the number counts. */
		r[EBX] |= vm->cpus << 16;
		r[EDX] |= vm->cpus > 1 ? F(28) : 0;
		r[ECX] |= F(24) |
		          (vm->config.flags & VM_NO_X2APIC ? 0 : F(21)); /* TSC deadline, x2APIC */
		r[ECX] |= vm->config.flags & VM_HIDE_HYPERVISOR ? 0 : F(31);
		r[ECX] &= loses_flags() ? ~F(13) : PASS;
		/* Without XSAVE the upper halves of YMM would not be switched. */
		if (!cpu_features.xsave)
			r[ECX] &= ~(F(26) | F(28) | F(12) | F(29));
		break;
	case 0x7:
		if (!(cpu_features.xcr0 & BIT(2))) /* no AVX state */
			r[EBX] &= ~F(5), r[ECX] &= ~(F(9) | F(10));
		if (!(cpu_features.xcr0 & BIT(5)))
			r[EBX] &= ~(F(16) | F(17) | F(28) | F(30) | F(31));
		break;
	case 0xd:
		if (e->sub == 0) {
			/* The components that we switch, and the size that holds them all. */
			r[EAX] &= (uint32_t)cpu_features.xcr0;
			r[EDX] &= (uint32_t)(cpu_features.xcr0 >> 32);
			r[ECX] = cpu_features.xsave_size;
		} else if (e->sub > 1 && !(cpu_features.xcr0 & BIT(e->sub))) {
			memset(r, 0, sizeof(e->reg));
		}
		break;
	case 0x80000000: r[EAX] = 0x80000008; break;
	case 0x80000007:
		if (!time_tsc_reliable())
			r[EDX] = 0;
		break;
	case 0x80000008: r[ECX] = vm->cpus - 1; break;
	default: break;
	}
}

static void hypervisor_leaves(const struct vm *vm, struct cpuid_table *t)
{
	bool kvm = vm->config.flags & VM_KVM_LEAVES;
	uint32_t name[3];

	if (vm->config.flags & VM_HIDE_HYPERVISOR)
		return;
	memcpy(name, kvm ? "KVMKVMKVM\0\0\0" : "TepuiTepui\0\0", sizeof(name));
	add(t, LEAF_HYPERVISOR, ANY,
	    (struct cpuid){ LEAF_HYPERVISOR + 1, name[0], name[1], name[2] });
	add(t, LEAF_HYPERVISOR + 1, ANY,
	    (struct cpuid){ !kvm ? 0
	                         : KVM_CLOCK | KVM_CLOCK2 |
	                                    (time_tsc_reliable() ? KVM_CLOCK_STABLE : 0),
	                    0, 0, 0 });
}

void cpuid_build(struct vm *vm)
{
	struct cpuid_table *t = &vm->cpuid;
	unsigned bits = log2_ceil(vm->cpus);

	t->count = 0;
	memset(t->index, NONE, sizeof(t->index));
	for (unsigned i = 0; i < ARRAY_SIZE(policy); i++) {
		uint32_t top = cpuid(policy[i].leaf & 0x80000000, 0).a;
		struct cpuid r = { 0 };

		if (policy[i].leaf <= top)
			r = cpuid(policy[i].leaf,
			          policy[i].sub == (uint32_t)ANY ? 0 : policy[i].sub);
		r.a &= policy[i].mask[EAX];
		r.b &= policy[i].mask[EBX];
		r.c &= policy[i].mask[ECX];
		r.d &= policy[i].mask[EDX];
		adjust(vm, add(t, policy[i].leaf, policy[i].sub, r));
	}
	add(t, 0x6, ANY, (struct cpuid){ F(2), 0, 0, 0 }); /* the APIC timer never stops */
	/* Topology: one thread a core, all cores in one package. */
	add(t, 0xb, 0, (struct cpuid){ 0, 1, 1 << 8, 0 });
	add(t, 0xb, 1, (struct cpuid){ bits, vm->cpus, 2 << 8 | 1, 0 });
	hypervisor_leaves(vm, t);
}

static const struct cpuid_entry *find(const struct cpuid_table *t, uint32_t leaf, uint32_t sub)
{
	uint32_t low = leaf & 0x7fffffff, i = 0;

	if (low < ARRAY_SIZE(t->index[0]))
		i = t->index[leaf >> 31][low];
	for (; i < t->count; i++) {
		const struct cpuid_entry *e = &t->entry[i];

		if (e->leaf == leaf && (e->sub == sub || e->sub == (uint32_t)ANY))
			return e;
		/* Behind the leaf's last sub-leaf; leaves without index are searched to the end. */
		if (low < ARRAY_SIZE(t->index[0]) && e->leaf != leaf)
			break;
	}
	return NULL;
}

/* Bytes of a standard-format XSAVE area for the components that are on. */
static uint32_t xsave_bytes(const struct cpuid_table *t, uint64_t xcr0)
{
	uint32_t size = 512 + 64;

	for (unsigned i = 2; i < 32; i++) {
		const struct cpuid_entry *e = xcr0 & BIT(i) ? find(t, 0xd, i) : NULL;

		if (e)
			size = MAX(size, e->reg[EBX] + e->reg[EAX]);
	}
	return size;
}

bool vcpu_osxsave(struct vcpu *v)
{
	struct vcpu_context c;

	v->ops->context(v, &c);
	return c.cr4 & CR4_OSXSAVE;
}

void cpuid_exit(struct vcpu *v)
{
	static const struct cpuid_entry nothing;
	uint32_t leaf = (uint32_t)v->gpr[GPR_RAX], sub = (uint32_t)v->gpr[GPR_RCX];
	const struct cpuid_entry *e = find(&v->vm->cpuid, leaf, sub);
	uint32_t b, c, d;

	if (unlikely(!e))
		e = &nothing;
	b = e->reg[EBX];
	c = e->reg[ECX];
	d = e->reg[EDX];
	/* What depends on the vCPU or its state now: APIC id, OSXSAVE, size for XCR0. */
	if (leaf == 0x1) {
		b |= v->id << 24;
		c |= vcpu_osxsave(v) ? ECX1_OSXSAVE : 0;
	} else if (leaf == 0xb) {
		d = v->id;
		c |= e == &nothing ? sub & 0xff : 0;
	} else if (leaf == 0xd && sub == 0) {
		b = cpu_features.xsave ? xsave_bytes(&v->vm->cpuid, vcpu_xcr0()) : 0;
	}
	v->gpr[GPR_RAX] = e->reg[EAX];
	v->gpr[GPR_RBX] = b;
	v->gpr[GPR_RCX] = c;
	v->gpr[GPR_RDX] = d;
}
