# SPDX-License-Identifier: Apache-2.0
"""The list of PCI functions, and the control operation that shows it, on pretended buses."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit import cunit

#: Configuration space is asked of Python; nothing has BARs, and no bus a window.
CODE = """
#include "bus/pci_impl.h"
#include "vmk/ctl.h"
#include "vmk/log.h"
uint32_t (*config)(unsigned bus, unsigned slot, unsigned func, unsigned off, unsigned size);
uint32_t pci_read(struct pci_dev *p, unsigned off, unsigned size)
{
	return config(p->bus, p->slot, p->func, off, size);
}
unsigned pci_cap_find(struct pci_dev *p, uint8_t id, unsigned from) { return 0; }
void *pci_ecam_bus(uint16_t segment, uint8_t bus) { return NULL; }
int pci_ecam_region(unsigned i, uint16_t *s, uint8_t *first, uint8_t *last) { return -ENOENT; }
void pci_bars_probe(struct pci_dev *p) {}
void pci_hotplug_add(struct pci_dev *bridge) {}
void pci_hotplug_start(void) {}
void pci_hotplug_stop(void) {}
void driver_attach(struct device *dev) {}
void driver_detach(struct device *dev) {}

/* What CTL_DEVICE_PCI answers, from an index on. */
int list_pci(uint32_t first, struct ctl_device_pci *reply)
{
	struct ctl_page_req q = { .first = first };
	struct ctl_call c = { .req = &q, .req_len = sizeof(q), .reply = reply };

	SECTION_FOR_EACH(struct ctl_entry, e, ctl)
		if (e->operation == CTL_DEVICE_PCI)
			return e->fn(&c);
	return -ENOSYS;
}

static void forget_if(struct pci_dev *p, void *arg)
{
	struct pci_dev **found = arg;

	if (p->bus == (*found)->bus && p->slot == (*found)->slot && p->func == (*found)->func)
		*found = p;
}
void forget(unsigned bus, unsigned slot, unsigned func)
{
	struct pci_dev like = { .bus = (uint8_t)bus, .slot = (uint8_t)slot, .func = (uint8_t)func };
	struct pci_dev *found = &like;

	pci_for_each(forget_if, &found);
	ASSERT(found != &like);
	pci_forget(found);
}
"""
DECLARATIONS = """
extern uint32_t (*config)(unsigned, unsigned, unsigned, unsigned, unsigned);
int list_pci(uint32_t first, struct ctl_device_pci *reply);
void forget(unsigned bus, unsigned slot, unsigned func);
"""
Place = tuple[int, int, int]  # bus, slot, function
PAGE = 256


class Buses:
    """Functions in the order that a scan finds them; a bridge has a bus below."""

    def __init__(self) -> None:
        self.below: dict[Place, tuple[int, int]] = {}  # bridge: secondary, subordinate
        self.parent: dict[Place, Place | None] = {}
        self.last = 0

    def grow(self, shape: list[Any], bus: int = 0, above: Place | None = None) -> None:
        """shape: for each slot the functions' own shapes; None is no bridge."""
        for slot, functions in enumerate(shape):
            for func, inner in enumerate(functions):
                self.parent[here := (bus, slot, func)] = above
                if inner is not None:
                    self.last += 1
                    secondary = self.last
                    self.below[here] = (secondary, secondary)
                    self.grow(inner, secondary, here)
                    self.below[here] = (secondary, self.last)

    def config(self, bus: int, slot: int, func: int, off: int, size: int) -> int:
        here = (bus, slot, func)
        if here not in self.parent:
            return (1 << 8 * size) - 1
        secondary, subordinate = self.below.get(here, (0, 0))
        several = (bus, slot, 1) in self.parent
        header = (1 if secondary else 0) | (0x80 if several else 0)
        return {0: 0x1B36, 2: 1, 0xE: header, 0x19: secondary, 0x1A: subordinate}.get(off, 0)


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    return cunit.build(
        "pci",
        sources=["vmkernel/bus/pci.c", "vmkernel/ctl/ops_device.c"],
        headers=["vmk/pci.h", "vmk/ctl.h", "abi/device.h"],
        code=CODE,
        cdef=DECLARATIONS,
    )


def listed(unit: cunit.Unit) -> Iterator[tuple[Place, int]]:
    """Every function with its parent's index, page by page."""
    reply, first, total = unit.ffi.new("struct ctl_device_pci *"), 0, 1
    while first < total:
        reply.page.total = reply.page.count = 0
        assert unit.lib.list_pci(first, reply) == 0
        total = reply.page.total
        assert reply.page.count == min(PAGE, total - first)
        for p in reply.pci[0 : reply.page.count]:
            yield (p.bus, p.slot, p.func), p.parent
        first += reply.page.count


shapes: st.SearchStrategy[list[Any]] = st.recursive(
    st.just([]),
    lambda inner: st.lists(st.lists(st.none() | inner, min_size=1, max_size=8), max_size=12),
    max_leaves=40,
)


@given(shape=shapes, data=st.data())
def test_each_function_is_listed_with_its_parent(
    unit: cunit.Unit, shape: list[Any], data: st.DataObject
) -> None:
    """Bridges behind bridges, slots with several functions; leaves that are taken out."""
    buses = Buses()
    buses.grow([[None], *shape])
    callback = unit.ffi.callback("uint32_t(unsigned,unsigned,unsigned,unsigned,unsigned)")
    asked = callback(buses.config)
    unit.lib.config = asked
    unit.lib.pci_scan()
    places = list(buses.parent)
    try:
        while places:
            parents = [places.index(up) if (up := buses.parent[p]) else -1 for p in places]
            assert list(listed(unit)) == list(zip(places, parents, strict=True))
            if not data.draw(st.booleans()):
                break
            above = {buses.parent[p] for p in places}
            leaf = data.draw(st.sampled_from([p for p in places if p not in above]))
            unit.lib.forget(*leaf)
            places.remove(leaf)
    finally:
        while places:
            unit.lib.forget(*places.pop())
    assert unit.lib.seam_heap_live == 0
