# SPDX-License-Identifier: Apache-2.0
"""A guest's ports and MMIO: who answers, also while another vCPU moves a BAR."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit import cunit, virtio_unit

CODE = """
#include <string.h>
#include "threads.h"
enum { LEN = 16, HERE = 0x10000, THERE = 0x20000, PORT = 0xc000 };
static unsigned wrong, answered, moves;
static uint64_t read(struct io_range *r, uint64_t off, unsigned size)
{
	wrong += off >= LEN || size > LEN - off || off != 8;
	answered++;
	return 0x55;
}
static void write(struct io_range *r, uint64_t off, unsigned size, uint64_t v)
{
	wrong += off >= LEN || size > LEN - off || off != 8;
	answered++;
}
static const struct io_ops ops = { read, write };
static struct iobus bus;
static struct io_range moving = { .ops = &ops }, others[40];
static unsigned end;
static bool ports_too;
static void move(struct io_range *r, bool ports, uint64_t to)
{
	iobus_remove(&bus, r, ports);
	r->base = to;
	r->len = LEN;
	wrong += (ports ? iobus_add_ports(&bus, r) : iobus_add_mmio(&bus, r)) != 0;
}
static void *mover(void *arg)
{
	for (unsigned n = 0; !__atomic_load_n(&end, __ATOMIC_SEQ_CST); n++) {
		move(&moving, ports_too, n % 2 ? (ports_too ? PORT : HERE) : ports_too ? PORT + 64 : THERE);
		__atomic_store_n(&moves, n, __ATOMIC_SEQ_CST);
	}
	return NULL;
}
/* One vCPU moves a BAR, another one uses it; accesses that were answered wrongly. */
int race(bool ports, unsigned rounds)
{
	pthread_t other;

	wrong = answered = moves = end = 0;
	ports_too = ports;
	moving = (struct io_range){ .ops = &ops };
	if (iobus_init(&bus))
		return -1;
	for (unsigned i = 0; i < ARRAY_SIZE(others); i++) {
		others[i] = (struct io_range){ .ops = &ops, .base = HERE + 0x1000 * i + 256, .len = 8 };
		if (iobus_add_mmio(&bus, &others[i]))
			return -1;
	}
	pthread_create(&other, NULL, mover, NULL);
	for (unsigned n = 0; n < 1u << 26 && !wrong; n++) {
		if (answered >= rounds && __atomic_load_n(&moves, __ATOMIC_SEQ_CST) >= rounds)
			break;
		if (ports) {
			(void)iobus_port_read(&bus, PORT + 8, 4);
			iobus_port_write(&bus, PORT + 64 + 8, 4, 1);
		} else {
			(void)iobus_mmio_read(&bus, HERE + 8, 8);
			iobus_mmio_write(&bus, THERE + 8, 8, 1);
		}
	}
	__atomic_store_n(&end, 1, __ATOMIC_SEQ_CST);
	pthread_join(other, NULL);
	iobus_destroy(&bus);
	return wrong ? (int)wrong : answered >= rounds ? 0 : -2;
}
int bus_make(void) { return iobus_init(&bus); }
void bus_free(void) { iobus_destroy(&bus); }
int bus_add(unsigned n, bool ports, uint64_t base, uint64_t len)
{
	others[n] = (struct io_range){ .ops = &ops, .base = base, .len = len };
	return ports ? iobus_add_ports(&bus, &others[n]) : iobus_add_mmio(&bus, &others[n]);
}
void bus_remove(unsigned n, bool ports) { iobus_remove(&bus, &others[n], ports); }
/* Whether some device answers. */
bool bus_answers(bool ports, uint64_t at, unsigned size)
{
	unsigned before = answered;

	if (ports)
		(void)iobus_port_read(&bus, (uint16_t)at, size);
	else
		(void)iobus_mmio_read(&bus, at, size);
	return answered != before;
}
"""
CDEF = """
int race(bool ports, unsigned rounds); int bus_make(void); void bus_free(void);
int bus_add(unsigned n, bool ports, uint64_t base, uint64_t len);
void bus_remove(unsigned n, bool ports); bool bus_answers(bool ports, uint64_t at, unsigned size);
"""


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    return cunit.build(
        "iobus", ["vmkernel/vmm/iobus.c"], ["vmk/iobus.h"], CDEF, code=CODE, options=["-pthread"]
    )


@pytest.mark.parametrize("ports", [False, True])
def test_a_bar_moves_under_its_readers(unit: cunit.Unit, ports: bool) -> None:
    """A handler gets the offset that was checked, not one of a base that has changed since."""
    assert unit.lib.race(ports, 500_000) == 0


@given(
    st.booleans(),
    st.lists(st.tuples(st.booleans(), st.integers(0, 60), st.integers(1, 12)), max_size=40),
)
def test_accesses_are_answered_whole_or_not(
    unit: cunit.Unit, ports: bool, steps: list[tuple[bool, int, int]]
) -> None:
    """Against a map from addresses to devices; overlaps are refused."""
    lib: Any = unit.lib
    assert lib.bus_make() == 0
    owner: dict[int, int] = {}
    for n, (add, base, length) in enumerate(steps):
        if add:
            cells = range(base, base + length)
            taken = any(cell in owner for cell in cells)
            assert (lib.bus_add(n, ports, base, length) == 0) is not taken
            owner |= {} if taken else dict.fromkeys(cells, n)
        elif owner:
            gone = owner[sorted(owner)[base % len(owner)]]
            lib.bus_remove(gone, ports)
            owner = {cell: n for cell, n in owner.items() if n != gone}
        for at in range(70):
            for size in (1, 2, 4):
                who = {owner.get(at + i) for i in range(size)}
                assert lib.bus_answers(ports, at, size) == (len(who) == 1 and None not in who)
    lib.bus_free()


def test_offsets_that_wrap_are_outside_of_an_msix_table() -> None:
    unit = virtio_unit.build("virtio_devices")
    driver = virtio_unit.Driver(unit, virtio_unit.BLK)
    table = unit.lib.the_device().pci.bar[1].range
    for off in (2**64 - 4, 2**64 - 8, 0x800 - 4, 0x804, 0xFFC):
        assert table.ops.read(unit.ffi.addressof(table), off, 8) == 0
    driver.end()
