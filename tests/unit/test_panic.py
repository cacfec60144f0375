# SPDX-License-Identifier: Apache-2.0
"""The steps of a panic: their order, and that one that fails does not end the others."""

import itertools

import pytest

from tests.unit import cunit

CODE = """
#include "vmk/console.h"
#include "vmk/cpu.h"
#include "vmk/log.h"
#include "vmk/panic.h"
#include <setjmp.h>
#include <string.h>
bool log_panicking;
const uint32_t image_build_id[] = { 4, 4, 3, 0x554e47, 0x78563412 };
static jmp_buf stopped;
static char screen[1 << 16];
static size_t used;
static unsigned fail; /* bit per place: the step there panics */
static unsigned cpu;

unsigned cpu_id(void) { return cpu; }
void cpu_stop(void) { longjmp(stopped, 1); }
void console_begin_panic(void) { console_emit("<screen>\\n", 9); }
void console_emit(const char *text, size_t len)
{
	memcpy(screen + used, text, len);
	used += len;
}
static void step(enum panic_place place)
{
	panic_print("step %d\\n", place);
	if (fail & 1u << place)
		panic("no %s", "luck");
}
static void reset(const struct panic_info *i) { step(PANIC_RESET); }
PANIC_STEP(PANIC_RESET, reset);
static void stop(const struct panic_info *i) { step(PANIC_STOP); }
PANIC_STEP(PANIC_STOP, stop);
static void world(const struct panic_info *i) { step(PANIC_WORLD); }
PANIC_STEP(PANIC_WORLD, world);
static void again(const struct panic_info *i) { step(PANIC_WORLD); }
PANIC_STEP(PANIC_WORLD, again);
static void reason(const struct panic_info *i) { panic_print("about: %s\\n", i->reason); }
PANIC_STEP(PANIC_RECORD, reason);

void run(unsigned failing)
{
	fail = failing;
	if (setjmp(stopped) == 0)
		panic("%s broke", "it");
}
void other_cpu(void)
{
	cpu = 1;
	if (setjmp(stopped) == 0)
		panic("me too");
	cpu = 0;
}
size_t shown(char *out) { memcpy(out, screen, used); return used; }
"""
COPIES = itertools.count()
CDEF = "void run(unsigned failing); void other_cpu(void); size_t shown(char *out);"


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    sources = [f"vmkernel/{name}.c" for name in ("log/panic", "lib/printf", "lib/string")]
    return cunit.build("panic", sources, (), CDEF, ['VMK_VERSION="1.0"'], CODE)


def panic(unit: cunit.Unit, failing: int) -> list[str]:
    """What a panic shows whose steps at the places of the bits of `failing` panic themselves."""
    fresh = unit.copy(str(next(COPIES)))
    out = fresh.ffi.new("char[]", 1 << 16)
    fresh.lib.run(failing)
    fresh.lib.other_cpu()
    return bytes(fresh.ffi.buffer(out, fresh.lib.shown(out))).decode().splitlines()


def test_steps_run_in_their_order(unit: cunit.Unit) -> None:
    assert panic(unit, 0) == [
        "step 0",
        "<screen>",
        "",
        "Tepui 1.0 [vmkernel, x86_64]",
        "PANIC: it broke",
        "step 2",
        "step 2",
        "build 12345678",
        "about: it broke",
        "step 8",
        "The host has stopped. Reset it to go on.",
    ]


@pytest.mark.parametrize(
    ("place", "names"), [(0, ["stop"]), (2, ["again", "world"]), (8, ["reset"])]
)
def test_a_step_that_fails_ends_alone(unit: cunit.Unit, place: int, names: list[str]) -> None:
    whole, lines = panic(unit, 0), panic(unit, 1 << place)
    assert [line for line in lines if "failed" not in line] == whole
    assert sorted(line for line in lines if "failed" in line) == [
        f"({name} failed: no luck)" for name in names
    ]


def test_every_step_may_fail(unit: cunit.Unit) -> None:
    lines = panic(unit, (1 << 9) - 1)
    assert [line for line in lines if "failed" not in line] == panic(unit, 0)
