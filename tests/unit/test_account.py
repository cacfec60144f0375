# SPDX-License-Identifier: Apache-2.0
"""Accounts of kernel memory over the real heap: true sizes, limits, lifetimes; the reserve."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit import cunit

MM = [f"vmkernel/mm/{name}.c" for name in ("account", "buddy", "frame", "heap", "phys", "slab")]
HEADERS = ["mm/mm.h", "mm/phys.h", "vmk/account.h", "vmk/mm.h"]
CODE = """
#include <stdlib.h>
#include <string.h>
#include "seam.h"
#include "vmk/world.h"
enum { SECTIONS = 2 };
static uint8_t *memory;
static struct mem_account *current;

unsigned cpu_node(unsigned cpu) { return 0; }
void *pa_to_va(pa_t pa) { return memory + pa; }
pa_t va_to_pa(const void *va) { return (const uint8_t *)va - memory; }
struct mem_account *world_account(const struct world *w) { return current; }
void account_use(struct mem_account *a) { current = a; }

/* 256 MiB, all of it free but the first page; a fresh heap. */
void memory_make(void)
{
	uint64_t end = (uint64_t)SECTIONS << SECTION_ORDER;

	free(frames_base);
	free(memory);
	frames_base = calloc(end, sizeof *frames_base);
	if (posix_memalign((void **)&memory, 1 << 20, end << PAGE_SHIFT))
		abort();
	for (unsigned s = 0; s < SECTIONS; s++)
		frame_section_add((uint64_t)s << SECTION_ORDER);
	phys_init(1);
	phys_add(0, 1, 0, FRAME_RESERVED);
	phys_add(1, end, 0, FRAME_FREE);
	current = NULL;
	seam_reserve = false;
	slab_init();
	heap_init();
	mm_set_reserve(1024);
}

/* Allocates single pages until it is refused: how many. They are not given back. */
unsigned long exhaust(unsigned flags)
{
	unsigned long n = 0;

	while (page_alloc(0, FRAME_KERNEL, flags) != PA_NONE)
		n++;
	return n;
}
"""
CDEF = """
void account_use(struct mem_account *a);
void memory_make(void);
unsigned long exhaust(unsigned flags);
extern bool seam_reserve;
"""
FLOOR = 128 * 1024
MIB = 1 << 20


@pytest.fixture(scope="module")
def built() -> cunit.Unit:
    return cunit.build("account", MM, headers=HEADERS, cdef=CDEF, code=CODE)


@pytest.fixture
def unit(built: cunit.Unit) -> cunit.Unit:
    built.lib.memory_make()
    return built


def account(unit: cunit.Unit, parent: Any, limit: int) -> Any:
    out = unit.ffi.new("struct mem_account **")
    assert unit.lib.mem_account_create(parent or unit.ffi.NULL, limit, out) == 0
    return out[0]


def free_pages(unit: cunit.Unit) -> int:
    t = unit.ffi.new("struct mm_totals *")
    unit.lib.mm_totals(t)
    return int(t.pages[unit.lib.FRAME_FREE] + t.pages[unit.lib.FRAME_CACHE])


def test_a_byte_is_charged_what_it_takes(unit: cunit.Unit) -> None:
    a = account(unit, None, MIB)
    unit.lib.account_use(a)
    used = []
    held = []
    for size in (1, 17, 2032, 2033, 5000):
        before = unit.lib.mem_account_used(a)
        held.append(unit.lib.kmalloc_charged(size))
        assert held[-1] and int(unit.ffi.cast("uintptr_t", held[-1])) % 16 == 0
        used.append(unit.lib.mem_account_used(a) - before)
        assert used[-1] == unit.lib.kmalloc_size(held[-1])
    assert used == [32, 48, 2048, 4096, 8192]
    for p in held:
        unit.lib.kfree(p)
    assert unit.lib.mem_account_used(a) == 0


def test_a_million_small_messages_end_at_the_limit(unit: cunit.Unit) -> None:
    """1,374,622 of one byte took all memory; here each charges its true size."""
    user = account(unit, None, 16 * MIB)
    a = account(unit, user, 4 * MIB)
    unit.lib.account_use(a)
    held = []
    while (p := unit.lib.kmalloc_charged(200)) != unit.ffi.NULL:
        held.append(p)
        assert len(held) < 1_000_000
    assert len(held) == 4 * MIB // 256 - 1  # the owner's byte
    assert unit.lib.mem_account_used(user) == len(held) * 256 + 1  # a holds one
    assert unit.lib.kmalloc_charged(100_000) == unit.ffi.NULL
    unit.lib.account_use(unit.ffi.NULL)
    kernel = unit.lib.kmalloc_charged(200)
    assert kernel != unit.ffi.NULL  # the kernel itself is not limited
    for p in [*held, kernel]:
        unit.lib.kfree(p)
    assert unit.lib.mem_account_used(a) == 0 and unit.lib.mem_account_used(user) == 1


def test_the_user_bounds_all_processes_together(unit: cunit.Unit) -> None:
    user = account(unit, None, MIB)
    processes = [account(unit, user, 900 * 1024) for _ in range(2)]
    assert unit.lib.mem_charge(processes[0], 800 * 1024) == 0
    assert unit.lib.mem_charge(processes[1], 400 * 1024) == -105  # ENOBUFS: the user's limit
    assert unit.lib.mem_account_used(processes[1]) == 0
    assert unit.lib.mem_charge(processes[1], 200 * 1024) == 0
    unit.lib.mem_uncharge(processes[0], 800 * 1024)
    assert unit.lib.mem_account_used(user) == 200 * 1024 + 2


def test_a_little_is_allowed_to_a_new_process_of_an_exhausted_user(unit: cunit.Unit) -> None:
    user = account(unit, None, MIB)
    unit.lib.mem_charge_over(user, 2 * MIB)
    a = account(unit, user, MIB)
    unit.lib.account_use(a)
    got = 0
    while unit.lib.kmalloc_charged(1000) != unit.ffi.NULL:
        got += 1024
    assert FLOOR - 1024 <= got <= FLOOR + 1024


def test_charges_outlive_the_process_that_made_them(unit: cunit.Unit) -> None:
    """A message stays in another process's queue; the account goes with the last one."""

    def lives() -> None:
        user = account(unit, None, MIB)
        a = account(unit, user, MIB)
        unit.lib.account_use(a)
        held = [unit.lib.kmalloc_charged(100) for _ in range(3)]
        unit.lib.account_use(unit.ffi.NULL)
        unit.lib.mem_account_put(a)
        unit.lib.mem_account_put(user)
        assert unit.lib.mem_account_used(user) >= 3 * 128
        for p in held:
            unit.lib.kfree(p)

    lives()
    before = free_pages(unit)
    for _ in range(2000):
        lives()
    assert free_pages(unit) == before


def test_the_last_pages_are_for_storage_and_panics(unit: cunit.Unit) -> None:
    assert unit.lib.exhaust(0) > 60_000
    left = free_pages(unit)
    assert 1024 <= left < 1024 + 64
    assert unit.lib.kmalloc(100_000) == unit.ffi.NULL
    block = unit.lib.page_alloc(5, unit.lib.FRAME_KERNEL, unit.lib.ALLOC_RESERVE)
    assert block != (1 << 64) - 1
    unit.lib.page_free(block, 5)
    unit.lib.seam_reserve = True
    assert unit.lib.kmalloc(100_000) != unit.ffi.NULL
    assert unit.lib.exhaust(0) >= left - 64
    assert free_pages(unit) == 0


def test_userworlds_are_refused_first(unit: cunit.Unit) -> None:
    """32 MiB here (at most a sixteenth) stay from users' pages, half of it from what they cause."""
    lib = unit.lib
    a = account(unit, None, 64 * MIB)
    lib.account_use(a)
    lib.mem_charge_over(a, FLOOR)
    seen = []
    while lib.page_alloc(6, lib.FRAME_KERNEL, 0) != (1 << 64) - 1:
        p = lib.kmalloc_charged(64)
        seen.append((bool(lib.mm_low(lib.MM_USER)), p == unit.ffi.NULL))
    assert seen[0] == (False, False) and seen[-1] == (True, True)
    assert (True, False) in seen and (False, True) not in seen


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(1, 300_000), st.booleans()),
        max_size=60,
    )
)
def test_sums_agree_with_a_model(built: cunit.Unit, steps: list[tuple[int, int, bool]]) -> None:
    """Four processes of two users: charges and returns in any order."""
    lib = built.lib
    lib.memory_make()
    users = [account(built, None, 600_000) for _ in range(2)]
    processes = [account(built, users[i // 2], 400_000) for i in range(4)]
    held: list[list[int]] = [[], [], [], []]

    def total(user: int) -> int:
        return sum(sum(held[i]) for i in (2 * user, 2 * user + 1))

    for who, size, back in steps:
        if back and held[who]:
            lib.mem_uncharge(processes[who], held[who].pop())
            continue
        mine = sum(held[who]) + size + 1
        fits = mine <= 400_000 and (mine <= FLOOR or total(who // 2) + size + 3 <= 600_000)
        assert lib.mem_charge(processes[who], size) == (0 if fits else -105)
        if fits:
            held[who].append(size)
    for i in range(4):
        assert lib.mem_account_used(processes[i]) == sum(held[i])
    for i in range(2):
        assert lib.mem_account_used(users[i]) == total(i) + 2
