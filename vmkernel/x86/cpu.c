// SPDX-License-Identifier: Apache-2.0
/*
 * Finding out what the CPU can do, and switching it on. Spec: Intel SDM 2A CPUID, 3A 2.5, 13; AMD
 * APM 3 E.
 */
#include "x86/cpu.h"
#include "vmk/cpu.h"
#include "vmk/log.h"
#include "vmk/string.h"
#include "x86/insn.h"
#include "x86/percpu.h"

#define LOG_MODULE "cpu"

/*
 * XCR0 components that are switched for everyone who runs here: x87, SSE, AVX, AVX-512 (SDM 1
 * 13.1).
 */
#define XCR0_WANTED (BITS(2, 0) | BITS(7, 5))

struct cpu_features cpu_features;
struct trap_hooks trap_hooks; /* here, below the locks, which look at it too */
struct percpu percpu_boot;
struct percpu *percpu[CPUS_MAX] = { &percpu_boot };
static unsigned cpus = 1;
uintptr_t __stack_chk_guard = 0x5bd1e995c3a90bf4;

void cpu_identify(void)
{
	struct cpu_features *f = &cpu_features;
	struct cpuid r = cpuid(0, 0), b, x;

	f->max_leaf = r.a;
	memcpy(f->vendor, (uint32_t[]){ r.b, r.d, r.c }, 12);
	f->max_ext_leaf = cpuid(0x80000000, 0).a;
	r = cpuid(1, 0);
	b = f->max_leaf >= 7 ? cpuid(7, 0) : (struct cpuid){ 0 };
	x = cpuid(0x80000001, 0);
	f->signature = r.a;
	f->xsave = r.c & BIT(26);
	f->rdrand = r.c & BIT(30);
	f->x2apic = r.c & BIT(21);
	f->tsc_deadline = r.c & BIT(24);
	f->hypervisor = r.c & BIT(31);
	f->fsgsbase = b.b & BIT(0);
	f->smep = b.b & BIT(7);
	f->invpcid = b.b & BIT(10);
	f->smap = b.b & BIT(20);
	f->umip = b.c & BIT(2);
	f->huge_pages = x.d & BIT(26);
	f->rdtscp = x.d & BIT(27);
	f->arat = f->max_leaf >= 6 && (cpuid(6, 0).a & BIT(2));
	f->invariant_tsc = f->max_ext_leaf >= 0x80000007 && (cpuid(0x80000007, 0).d & BIT(8));
	f->phys_bits = f->max_ext_leaf >= 0x80000008 ? (uint8_t)cpuid(0x80000008, 0).a : 36;
	/* AMD's bit, or Intel's for SPEC_CTRL and PRED_CMD. */
	f->ibpb = (f->max_ext_leaf >= 0x80000008 && (cpuid(0x80000008, 0).b & BIT(12))) ||
	          (b.d & BIT(26));
	for (unsigned i = 0; f->max_ext_leaf >= 0x80000004 && i < 3; i++) {
		r = cpuid(0x80000002 + i, 0);
		memcpy(f->brand + 16 * i, &r, 16);
	}
	f->xcr0 = BITS(1, 0);
	f->xsave_size = 512;
	if (f->xsave) {
		r = cpuid(0xd, 0);
		f->xcr0 = (r.a | (uint64_t)r.d << 32) & XCR0_WANTED;
	}
}

/*
 * AMD before Zen 3: LFENCE orders RDTSC and stops speculation only when told to (Software
 * techniques for managing speculation on AMD processors, G-2).
 */
static void serialise_lfence(void)
{
	uint64_t v;

	if ((strcmp(cpu_features.vendor, "AuthenticAMD") == 0 ||
	     strcmp(cpu_features.vendor, "HygonGenuine") == 0) &&
	    rdmsr_safe(MSR_AMD_DE_CFG, &v))
		wrmsr_safe(MSR_AMD_DE_CFG, v | DE_CFG_LFENCE_SERIALISES);
}

void cpu_init_control(void)
{
	const struct cpu_features *f = &cpu_features;
	uint64_t cr4 = read_cr4() | CR4_DE | CR4_MCE | CR4_OSFXSR | CR4_OSXMMEXCPT;

	cr4 |= f->umip ? CR4_UMIP : 0;
	cr4 |= f->fsgsbase ? CR4_FSGSBASE : 0;
	cr4 |= f->xsave ? CR4_OSXSAVE : 0;
	cr4 |= f->smep ? CR4_SMEP : 0;
	cr4 |= f->smap ? CR4_SMAP : 0;
	write_cr0((read_cr0() | CR0_MP | CR0_NE | CR0_WP) &
	          ~(CR0_EM | CR0_TS | CR0_AM | CR0_CD | CR0_NW));
	write_cr4(cr4);
	serialise_lfence();
	if (f->xsave) {
		xsetbv(0, f->xcr0);
		cpu_features.xsave_size = cpuid(0xd, 0).b;
	}
}

struct smap_patch {
	uint8_t *at;
	uint64_t insn;
};

void cpu_patch_smap(void)
{
	if (!cpu_features.smap)
		return;
	SECTION_FOR_EACH(struct smap_patch, p, smap) {
		/* The boot tables map everything writable. */
		memcpy(p->at, &p->insn, 3);
	}
}

void cpu_log_features(void)
{
	const struct cpu_features *f = &cpu_features;

	log_info("%s %s, signature %#x, %u-bit machine addresses", f->vendor,
	         f->brand + strnlen(f->brand, 48) - strlen(f->brand), f->signature, f->phys_bits);
	log_info("features:%s%s%s%s%s%s%s%s%s xcr0=%#llx", f->huge_pages ? " 1G-pages" : "",
	         f->smep ? " SMEP" : "", f->smap ? " SMAP" : "", f->umip ? " UMIP" : "",
	         f->fsgsbase ? " FSGSBASE" : "", f->x2apic ? " x2APIC" : "",
	         f->tsc_deadline ? " TSC-deadline" : "", f->invariant_tsc ? " invariant-TSC" : "",
	         f->hypervisor ? " hypervisor" : "", (unsigned long long)f->xcr0);
}

void cpu_init_canary(void)
{
	uint64_t v = rdtsc() * 0x9e3779b97f4a7c15;
	uint64_t r;
	bool ok;

	if (cpu_features.rdrand) {
		__asm__ volatile("rdrand %0" : "=r"(r), "=@ccc"(ok));
		v ^= ok ? r : 0;
	}
	__stack_chk_guard = v & ~0xffull; /* a string that runs over stops at the zero byte */
}

__noreturn void __stack_chk_fail(void);
void __stack_chk_fail(void)
{
	panic("stack smashed in the caller of %p", __builtin_return_address(0));
}

unsigned cpu_node(unsigned cpu)
{
	return percpu[cpu]->node;
}

unsigned cpu_count(void)
{
	return READ_ONCE(cpus);
}

void cpu_set_count(unsigned count)
{
	WRITE_ONCE(cpus, count);
}

uint32_t cpu_apic_id(unsigned cpu)
{
	return percpu[cpu]->apic_id;
}
