# SPDX-License-Identifier: Apache-2.0
"""Interrupt sources: messages, shared lines, masks and storms, on a pretended I/O APIC."""

import functools
from typing import Any

import pytest

from tests.unit import cunit

CODE = """
#include "acpi/acpi.h"
#include "vmk/cpu.h"
#include "vmk/errno.h"
#include "x86/ioapic.h"
#include "x86/lapic.h"
#include "x86/vector.h"
#include "seam.h"
enum { CPUS = 3, FIRST = 0x30, LAST = 0x33, GSIS = 24 };
struct acpi_info acpi_info;
static struct { void (*fn)(void *); void *arg; } slot[CPUS][256];
struct line line[GSIS];
unsigned self_sent;
unsigned cpu_count(void) { return CPUS; }
uint32_t cpu_apic_id(unsigned cpu) { return cpu == 2 ? 300 : cpu * 4; }
void cpu_call(unsigned cpu, void (*fn)(void *), void *arg) { fn(arg); }
int vector_alloc(unsigned cpu, void (*fn)(void *), void *arg)
{
	for (int v = FIRST; v <= LAST; v++)
		if (!slot[cpu][v].fn) {
			slot[cpu][v].fn = fn;
			slot[cpu][v].arg = arg;
			return v;
		}
	return -ENOSPC;
}
void vector_free(unsigned cpu, unsigned vector) { slot[cpu][vector].fn = NULL; }
unsigned vector_used(unsigned cpu)
{
	unsigned n = 0;
	for (int v = FIRST; v <= LAST; v++)
		n += slot[cpu][v].fn != NULL;
	return n;
}
bool ioapic_has(uint32_t gsi) { return gsi < GSIS; }
void ioapic_route(uint32_t gsi, unsigned vector, uint32_t apic_id, bool level, bool active_low)
{
	line[gsi] = (struct line){ vector, apic_id / 4, level, active_low, true };
}
void ioapic_mask(uint32_t gsi, bool masked) { line[gsi].masked = masked; }
bool fire(unsigned cpu, unsigned vector)
{
	if (!slot[cpu][vector].fn)
		return false;
	slot[cpu][vector].fn(slot[cpu][vector].arg);
	return true;
}
void lapic_send(uint32_t apic_id, unsigned vector)
{
	self_sent++;
	fire(apic_id / 4, vector);
}
void override_line(unsigned isa, uint32_t gsi, bool level, bool active_low)
{
	acpi_info.isa[isa] = (struct acpi_override){ true, level, active_low, gsi };
}
"""
DECLARATIONS = """
struct line { uint32_t vector, cpu; bool level, active_low, masked; };
extern struct line line[24];
extern unsigned self_sent;
bool fire(unsigned cpu, unsigned vector);
void override_line(unsigned isa, uint32_t gsi, bool level, bool active_low);
unsigned vector_used(unsigned cpu);
void irq_init(void);
"""
ENODEV, EBUSY, EINVAL, ENOMEM = 19, 16, 22, 12
NONE, HANDLED = 0, 1


@functools.cache
def build() -> cunit.Unit:
    line = "struct line { uint32_t vector, cpu; bool level, active_low, masked; };\n"
    unit = cunit.build("irq", ["vmkernel/bus/irq.c"], ["vmk/irq.h"], DECLARATIONS, (), line + CODE)
    unit.lib.irq_init()
    return unit


class Handler:
    """A handler that counts its calls and answers `result`."""

    def __init__(self, result: int = HANDLED) -> None:
        self.calls = 0
        self.result = result
        self.callback = build().ffi.callback("irq_handler", self.run)
        self.irq = build().ffi.new("struct irq **")

    def run(self, _: Any) -> int:
        self.calls += 1
        return self.result

    def gsi(self, gsi: int, level: bool = True, active_low: bool = True) -> int:
        status: int = build().lib.irq_alloc_gsi(
            b"test", gsi, level, active_low, self.callback, build().ffi.NULL, self.irq
        )
        return status

    def isa(self, number: int) -> int:
        status: int = build().lib.irq_alloc_isa(
            b"test", number, self.callback, build().ffi.NULL, self.irq
        )
        return status

    def msi(self, cpu: int = -1) -> tuple[int, int, int]:
        address, data = build().ffi.new("uint64_t *"), build().ffi.new("uint32_t *")
        status = build().lib.irq_alloc_msi(
            b"test", cpu, self.callback, build().ffi.NULL, self.irq, address, data
        )
        return status, address[0], data[0]

    def free(self) -> None:
        build().lib.irq_free(self.irq[0])


def raise_line(gsi: int) -> None:
    line = build().lib.line[gsi]
    if not line.masked:
        assert build().lib.fire(line.cpu, line.vector)


def used() -> list[int]:
    return [build().lib.vector_used(cpu) for cpu in range(3)]


def test_a_message_names_cpu_and_vector() -> None:
    one, two, three = Handler(), Handler(), Handler()
    status, address, data = one.msi()
    assert (status, address) == (0, 0xFEE00000)
    assert two.msi()[:2] == (0, 0xFEE04000)  # the CPU with the fewest; APIC ID 4
    assert three.msi(cpu=2)[0] == -EINVAL  # no message reaches its APIC ID
    assert three.msi(cpu=9)[0] == -EINVAL
    build().lib.fire(0, data)
    assert (one.calls, two.calls) == (1, 0)
    assert build().lib.irq_cpu(two.irq[0]) == 1
    assert build().lib.irq_count(one.irq[0]) == 1
    one.free()
    two.free()
    assert used() == [0, 0, 0]


def test_a_message_while_masked_comes_later() -> None:
    handler, lib = Handler(), build().lib
    _, _, data = handler.msi(cpu=0)
    lib.irq_mask(handler.irq[0])
    lib.irq_mask(handler.irq[0])
    lib.fire(0, data)
    lib.irq_unmask(handler.irq[0])
    assert handler.calls == 0
    lib.irq_unmask(handler.irq[0])
    assert handler.calls == 1
    handler.free()


def test_vectors_run_out() -> None:
    handlers = [Handler() for _ in range(5)]
    assert [h.msi(cpu=0)[0] for h in handlers] == [0, 0, 0, 0, -ENOMEM]
    for handler in handlers[:4]:
        handler.free()
    assert used() == [0, 0, 0]


def test_a_line_is_shared() -> None:
    one, two, other = Handler(NONE), Handler(), Handler()
    assert (one.gsi(16), two.gsi(16)) == (0, 0)
    assert other.gsi(16, level=False) == -EBUSY
    assert other.gsi(99) == -ENODEV
    raise_line(16)
    assert (one.calls, two.calls) == (1, 1)
    build().lib.irq_mask(one.irq[0])
    raise_line(16)
    assert two.calls == 1
    build().lib.irq_unmask(one.irq[0])
    two.free()
    raise_line(16)
    assert (one.calls, two.calls) == (2, 1)
    one.free()
    assert build().lib.line[16].masked
    assert used() == [0, 0, 0]


def test_isa_lines_follow_the_overrides() -> None:
    timer, keyboard = Handler(), Handler()
    build().lib.override_line(0, 2, False, False)
    build().lib.override_line(9, 9, True, True)
    assert (timer.isa(0), keyboard.isa(1)) == (0, 0)
    assert not build().lib.line[2].masked
    assert not build().lib.line[1].level
    sci = Handler()
    assert sci.isa(9) == 0
    assert (build().lib.line[9].level, build().lib.line[9].active_low) == (True, True)
    assert Handler().isa(16) == -EINVAL
    for handler in (timer, keyboard, sci):
        handler.free()


@pytest.mark.parametrize("claims", [0, 5000])
def test_a_storm_is_masked(claims: int) -> None:
    handler = Handler(NONE)
    assert handler.gsi(20) == 0
    for _ in range(claims):
        raise_line(20)
    handler.result = HANDLED
    raise_line(20)
    handler.result = NONE
    for _ in range(10000):
        assert not build().lib.line[20].masked
        raise_line(20)
    assert build().lib.line[20].masked
    build().lib.irq_mask(handler.irq[0])
    build().lib.irq_unmask(handler.irq[0])
    assert build().lib.line[20].masked
    handler.free()


def test_no_memory() -> None:
    before = used()
    for successes in (0, 1):
        build().lib.seam_fail_after(successes)
        assert Handler().msi()[0] == -ENOMEM
        build().lib.seam_fail_after(successes)
        assert Handler().gsi(21) == -ENOMEM
        build().lib.seam_fail_after(-1)
    assert used() == before
    assert build().lib.seam_heap_live == 0
