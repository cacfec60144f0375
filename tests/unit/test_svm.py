# SPDX-License-Identifier: Apache-2.0
"""SVM's events against a model of the processor: each interrupt once, and only when it may come."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit import cunit

SOURCES = [
    f"vmkernel/vmm/{name}.c"
    for name in ("svm_run", "inject", "vlapic", "vlapic_timer", "vpic", "iobus")
]
CODE = """
#include <string.h>
#include "vmm/svm.h"
#include "vmm/vm_priv.h"
#include "x86/insn.h"
#include "x86/percpu.h"
uint32_t svm_features;
static struct percpu cpu;
static struct svm_cpu part;
static struct vmcb vmcb;
static struct svm svm;
static struct vm vm;
static struct vcpu v;
static enum outcome { NORMAL, EARLY, FAULT, FAULT_KEEPING, OPEN, NMI } outcome;
static int delivered; /* in the last run; -1: none, -2: against the rules */

struct percpu *this_cpu(void) { return &cpu; }
static void wake(struct vlapic *a) {}
static void ipi(struct vlapic *a, uint64_t icr) {}
static void eoi(struct vlapic *a, uint8_t vector) {}
static uint64_t tsc(struct vlapic *a) { return 0; }
static ns_t to_ns(struct vlapic *a, uint64_t ticks) { return ticks; }
static const struct vlapic_env env = { wake, ipi, eoi, tsc, to_ns };
static void changed(struct vpic *p, bool output) {}
static const struct hvm_ops ops = { .run = svm_run, .inject = svm_inject, .window = svm_window };

static void deliver(uint64_t vector)
{
	bool may = (vmcb.rflags & RFLAGS_IF) && !vmcb.int_shadow && delivered == -1;

	delivered = may ? (int)vector : -2;
	vmcb.rflags &= ~RFLAGS_IF;
}
static void fault(uint64_t info)
{
	vmcb.exit_int_info = info;
	vmcb.exit_code = SVM_EXIT_NPF;
}
/* 15.20, 15.21.4; an emulator may leave V_IRQ set where the exit is in the delivery. */
void svm_enter(uint64_t gpr[16], pa_t pa, pa_t host)
{
	uint64_t event = vmcb.event_inject, ctl = vmcb.int_control;
	uint64_t vector = GET(SVM_V_INTR_VECTOR, ctl);

	vmcb.exit_int_info = 0;
	vmcb.exit_code = SVM_EXIT_INTR;
	if (event & SVM_EVENT_V) {
		if (outcome == FAULT || outcome == FAULT_KEEPING)
			fault(event);
		else
			deliver(GET(SVM_EVENT_VECTOR, event));
		return;
	}
	if (outcome == NMI)
		vmcb.exit_code = SVM_EXIT_NMI;
	if (outcome == EARLY || outcome == NMI)
		return;
	if (outcome == OPEN) {
		vmcb.rflags |= RFLAGS_IF;
		vmcb.int_shadow = 0;
	}
	if (!(ctl & SVM_V_IRQ) || !(vmcb.rflags & RFLAGS_IF) || vmcb.int_shadow) {
		vmcb.exit_code = SVM_EXIT_HLT;
	} else if (vmcb.intercept3 & SVM_I3_VINTR) {
		vmcb.exit_code = SVM_EXIT_VINTR;
	} else if (outcome == FAULT_KEEPING) {
		fault(0);
	} else {
		vmcb.int_control = ctl & ~SVM_V_IRQ;
		if (outcome == FAULT)
			fault(PUT(SVM_EVENT_VECTOR, vector) | SVM_EVENT_V);
		else
			deliver(vector);
	}
}
int make(void)
{
	memset(&svm, 0, sizeof svm);
	memset(&vmcb, 0, sizeof vmcb);
	memset(&v, 0, sizeof v);
	memset(&vm, 0, sizeof vm);
	vmcb.int_control = SVM_V_INTR_MASKING | SVM_V_INTR_PRIO | SVM_V_IGN_TPR;
	svm.vmcb = &vmcb;
	cpu.vmm = &part;
	asid_pool_init(&part.asids, 8);
	v = (struct vcpu){ .vm = &vm, .ops = &ops, .hvm = &svm, .rflags = 2 | RFLAGS_IF };
	vlapic_init(&v.apic, &env, 0, true);
	vlapic_write(&v.apic, APIC_SVR, 0x1ff);
	vlapic_write(&v.apic, APIC_LVT_LINT0, APIC_EXTINT << 8);
	int err = iobus_init(&vm.io) || vpic_init(&vm.pic, &vm.io, changed);
	vm.pic.chip[0] = (struct vpic_chip){ .base = 0x20, .auto_eoi = true, .lowest = 7 };
	return err;
}
void unmake(void) { iobus_destroy(&vm.io); }
/* The vector that the guest has got, or -1. */
int run(int how)
{
	struct vm_exit e;

	delivered = -1;
	outcome = how;
	inject_events(&v);
	svm_run(&v, &e);
	return v.ops == &ops ? delivered : -2;
}
void post(uint8_t vector) { vlapic_post(&v.apic, vector, false); }
void line(unsigned n, bool level) { vpic_set(&vm.pic, n, level); }
void end(void) { vlapic_write(&v.apic, APIC_EOI, 0); }
void set_if(bool on, bool shadow)
{
	v.rflags = 2 | (on ? RFLAGS_IF : 0);
	v.int_shadow = shadow;
}
bool enabled(void) { return v.rflags & RFLAGS_IF; }
uint64_t alive(void) { return cpu.irqs; }
"""
CDEF = """
int make(void); void unmake(void); int run(int how); void post(uint8_t vector); void end(void);
void line(unsigned n, bool level); void set_if(bool on, bool shadow); bool enabled(void);
uint64_t alive(void);
"""
NORMAL, EARLY, FAULT, FAULT_KEEPING, OPEN, NMI = range(6)
PIC = range(0x20, 0x28)


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    return cunit.build("svm", sources=SOURCES, headers=[], cdef=CDEF, code=CODE)


class Guest:
    """Posts interrupts and takes note of those that come."""

    def __init__(self, lib: Any) -> None:
        self.lib = lib
        self.waiting: set[int] = set()
        assert lib.make() == 0

    def post(self, vector: int) -> None:
        if vector not in self.waiting:
            self.waiting.add(vector)
            if vector in PIC:
                self.lib.line(vector - PIC[0], True)
            else:
                self.lib.post(vector)

    def run(self, how: int) -> int:
        vector = int(self.lib.run(how))
        if vector != -1:
            assert vector in self.waiting, f"{vector} came though nobody had sent it"
            self.waiting.remove(vector)
            if vector in PIC:
                self.lib.line(vector - PIC[0], False)
            else:
                self.lib.end()
        return vector


ACTIONS = st.one_of(
    st.tuples(st.just("post"), st.sampled_from([0x21, 0x23, 0x31, 0x35, 0x80, 0xEF])),
    st.tuples(st.just("run"), st.sampled_from([NORMAL, EARLY, FAULT, FAULT_KEEPING, OPEN])),
)


@given(st.lists(ACTIONS, max_size=40))
def test_each_interrupt_comes_once(unit: cunit.Unit, actions: list[tuple[str, int]]) -> None:
    guest = Guest(unit.lib)
    for what, value in actions:
        if what == "post":
            guest.post(value)
        else:
            guest.run(value)
    for _ in range(3 * len(guest.waiting) + 1):
        guest.run(OPEN)
    assert not guest.waiting
    unit.lib.unmake()


def test_an_interrupt_waits_for_its_window(unit: cunit.Unit) -> None:
    guest = Guest(unit.lib)
    for on, shadow in ((False, False), (True, True)):
        unit.lib.set_if(on, shadow)
        guest.post(0x80)
        assert guest.run(NORMAL) == guest.run(NORMAL) == -1
        assert guest.run(OPEN) == -1  # the window: the guest has left
        assert guest.run(NORMAL) == 0x80
        assert guest.run(OPEN) == -1
    unit.lib.unmake()


def test_two_controllers_at_once(unit: cunit.Unit) -> None:
    """The second one's has its window while the first one's is delivered."""
    guest = Guest(unit.lib)
    guest.post(0x80)
    guest.post(0x21)
    assert guest.run(NORMAL) == 0x80
    assert not unit.lib.enabled()
    assert guest.run(OPEN) == -1
    assert guest.run(NORMAL) == 0x21
    unit.lib.unmake()


def test_an_nmi_in_guest_mode_is_a_sign_of_life(unit: cunit.Unit) -> None:
    """A guest that never leaves by itself, on one CPU with nothing else to do, is not a hang."""
    guest = Guest(unit.lib)
    before = unit.lib.alive()
    guest.run(NORMAL)
    assert unit.lib.alive() == before
    for _ in range(20):
        guest.run(NMI)
    assert unit.lib.alive() == before + 20
    unit.lib.unmake()
