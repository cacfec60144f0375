# SPDX-License-Identifier: Apache-2.0
"""Exits of a guest from ring 3: what only ring 0 may do is #GP, whenever the processor exits."""

import pytest

from tests.unit import cunit

CODE = """
#include <string.h>
#include "vmm/emul_mem.h"
#include "vmm/svm.h"
#include "vmm/vm_priv.h"
#include "x86/percpu.h"
uint32_t svm_features;
static struct percpu cpu;
static struct svm_cpu part;
static struct vmcb vmcb;
static struct svm svm;
static struct vm vm;
static struct vcpu v;
static unsigned executed, ended;
struct percpu *this_cpu(void) { return &cpu; }
void svm_enter(uint64_t gpr[16], pa_t pa, pa_t host) {}
static const struct hvm_ops ops;

void cpuid_exit(struct vcpu *c) { executed++; }
bool inject_pending(struct vcpu *c) { executed++; return false; }
void emul_reg_set(uint64_t gpr[16], unsigned reg, bool high, unsigned size, uint64_t value) {}
bool emul_string_io(struct vcpu *c, const struct vm_exit *e) { executed++; return true; }
bool emul_mmio(struct vcpu *c, const struct vm_exit *e) { executed++; return false; }
bool emul_mov_cr8(struct vcpu *c) { executed++; return true; }
uint32_t iobus_port_read(struct iobus *b, uint16_t port, unsigned size) { return 0; }
void iobus_port_write(struct iobus *b, uint16_t port, unsigned size, uint32_t value) {}
bool msr_read(struct vcpu *c, uint32_t msr, uint64_t *value) { executed++; return true; }
bool msr_write(struct vcpu *c, uint32_t msr, uint64_t value) { executed++; return true; }
int gmem_fault(struct gmem *g, gpa_t gpa) { return -2; }
bool vcpu_osxsave(struct vcpu *c) { return true; }
bool vcpu_set_xcr0(struct vcpu *c, uint64_t xcr0) { executed++; return true; }
void vm_request_end(struct vm *m, enum vm_state s, uint32_t code, const char *why) { ended++; }

/* The exception that follows, or -1; bit 8: the instruction had an effect, bit 9: the VM ended. */
static uint64_t info;
int exit_of(unsigned code, unsigned cpl)
{
	struct vm_exit e;

	memset(&svm, 0, sizeof svm);
	memset(&vmcb, 0, sizeof vmcb);
	memset(&v, 0, sizeof v);
	executed = ended = 0;
	svm.vmcb = &vmcb;
	cpu.vmm = &part;
	asid_pool_init(&part.asids, 8);
	v = (struct vcpu){ .vm = &vm, .ops = &ops, .hvm = &svm, .rip = 0x1000, .rflags = 2 };
	vmcb.exit_code = code;
	vmcb.exit_info1 = info;
	vmcb.cpl = (uint8_t)cpl;
	svm_run(&v, &e);
	exit_handle(&v, &e);
	return (v.event.valid ? v.event.vector : 255) | (executed ? 256 : 0) | (ended ? 512 : 0);
}
/* A nested page fault where there is no memory, at an instruction that nobody knows. */
int page_fault(bool fetch, unsigned cpl)
{
	int out;

	info = fetch ? 1 << 4 : 0;
	out = exit_of(SVM_EXIT_NPF, cpl);
	info = 0;
	return out;
}
"""
GP, UD, NONE, EFFECT, ENDED = 13, 6, 255, 256, 512
RING0 = {
    "CR8 write": 0x18, "INVD": 0x76, "HLT": 0x78, "MSR": 0x7C, "WBINVD": 0x89, "XSETBV": 0x8D,
}  # fmt: skip
ABSENT = {
    "RDPMC": 0x6F, "INVLPGA": 0x7A, "VMRUN": 0x80, "VMLOAD": 0x82, "VMSAVE": 0x83, "STGI": 0x84,
    "CLGI": 0x85, "SKINIT": 0x86, "MONITOR": 0x8A, "MWAIT": 0x8B, "RDPRU": 0x8E,
}  # fmt: skip


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    sources = ["vmkernel/vmm/svm_run.c", "vmkernel/vmm/exit.c"]
    cdef = "int exit_of(unsigned code, unsigned cpl); int page_fault(bool fetch, unsigned cpl);"
    return cunit.build("exit", sources=sources, headers=[], cdef=cdef, code=CODE)


@pytest.mark.parametrize("name", RING0)
@pytest.mark.parametrize("cpl", [1, 2, 3])
def test_other_rings_may_not(unit: cunit.Unit, name: str, cpl: int) -> None:
    assert unit.lib.exit_of(RING0[name], cpl) == GP


@pytest.mark.parametrize("name", RING0)
def test_ring_0_may(unit: cunit.Unit, name: str) -> None:
    assert unit.lib.exit_of(RING0[name], 0) & 0xFF == NONE


@pytest.mark.parametrize("name", ABSENT)
@pytest.mark.parametrize("cpl", [0, 3])
def test_what_a_guest_does_not_have_is_undefined_in_any_ring(
    unit: cunit.Unit, name: str, cpl: int
) -> None:
    assert unit.lib.exit_of(ABSENT[name], cpl) == UD


@pytest.mark.parametrize("fetch", [False, True])
def test_a_program_on_device_memory_does_not_end_the_vm(unit: cunit.Unit, fetch: bool) -> None:
    """What cannot be emulated is #UD in ring 3, where the guest's kernel ends who did it."""
    assert unit.lib.page_fault(fetch, 3) & ~EFFECT == UD
    assert unit.lib.page_fault(fetch, 0) & ~EFFECT == NONE | ENDED
