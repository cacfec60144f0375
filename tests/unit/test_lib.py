# SPDX-License-Identifier: Apache-2.0
"""Formatted printing against the C library's, numbers, dates; the tree against a sorted list."""

import datetime
import functools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.unit import cunit

TREE = """
#include <stdlib.h>
struct item { struct tree_node node; int key, id; };
static int order(const struct tree_node *a, const struct tree_node *b)
{
	int x = tree_entry(a, struct item, node)->key, y = tree_entry(b, struct item, node)->key;
	return (x > y) - (x < y);
}
static int side(const struct tree_node *n, const void *key)
{
	int x = tree_entry(n, struct item, node)->key, y = *(const int *)key;
	return (x > y) - (x < y);
}
void items_init(struct tree *t) { tree_init(t, order); }
struct item *item_insert(struct tree *t, int key, int id)
{
	struct item *i = malloc(sizeof *i);
	i->key = key;
	i->id = id;
	tree_insert(t, &i->node);
	return i;
}
void item_remove(struct tree *t, struct item *i) { tree_remove(t, &i->node); free(i); }
int item_lower(const struct tree *t, int key)
{
	struct tree_node *n = tree_lower(t, side, &key);
	return n ? tree_entry(n, struct item, node)->id : -1;
}
int id_of(const struct tree_node *n) { return n ? tree_entry(n, struct item, node)->id : -1; }
/* Height, or -1 when links or balances are wrong. */
int check(const struct tree_node *n, const struct tree_node *parent)
{
	if (!n)
		return 0;
	int l = check(n->left, n), r = check(n->right, n);
	if (l < 0 || r < 0 || n->parent != parent || r - l != n->balance || abs(r - l) > 1)
		return -1;
	return 1 + (l > r ? l : r);
}
"""
TREE_CDEF = """
struct item;
void items_init(struct tree *t);
struct item *item_insert(struct tree *t, int key, int id);
void item_remove(struct tree *t, struct item *i);
int item_lower(const struct tree *t, int key);
int id_of(const struct tree_node *n);
int check(const struct tree_node *n, const struct tree_node *parent);
int snprintf(char *buf, size_t size, const char *fmt, ...);
"""


@functools.cache
def build() -> cunit.Unit:
    return cunit.build(
        "lib",
        sources=[f"vmkernel/lib/{name}.c" for name in ("tree", "printf", "string", "date")],
        headers=["vmk/tree.h", "vmk/string.h", "vmk/time.h"],
        cdef=TREE_CDEF,
        code=TREE,
    )


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    return build()


flags = st.text("-0+ #", max_size=3)
number = st.one_of(st.none(), st.integers(0, 40))
LENGTHS = {"": "int", "l": "long", "ll": "long long", "z": "ssize_t", "h": "int", "hh": "int"}


def directive(flag: str, width: int | None, precision: int | None, rest: str) -> str:
    text = "" if width is None else str(width)
    return f"%{flag}{text}{'' if precision is None else f'.{precision}'}{rest}"


def same(unit: cunit.Unit, size: int, form: str, *arguments: Any) -> None:
    ours, theirs = (unit.ffi.new("char[]", b"x" * 128) for _ in range(2))
    text = f"<{form}>".encode()
    n = unit.lib.vmk_snprintf(ours, size, text, *arguments)
    assert n == unit.lib.snprintf(theirs, size, text, *arguments)
    assert bytes(unit.ffi.buffer(ours)) == bytes(unit.ffi.buffer(theirs))


@given(
    flag=flags,
    width=number,
    precision=number,
    length=st.sampled_from(sorted(LENGTHS)),
    conversion=st.sampled_from("diuxXo"),
    value=st.integers(-(2**63), 2**63 - 1),
    size=st.integers(1, 100),
)
def test_integers_print_as_in_c(
    unit: cunit.Unit,
    flag: str,
    width: int | None,
    precision: int | None,
    length: str,
    conversion: str,
    value: int,
    size: int,
) -> None:
    argument = unit.ffi.cast(LENGTHS[length], value)
    same(unit, size, directive(flag, width, precision, length + conversion), argument)


@given(flag=st.sampled_from(["", "-"]), width=number, precision=number, text=st.binary(max_size=50))
def test_strings_print_as_in_c(
    unit: cunit.Unit, flag: str, width: int | None, precision: int | None, text: bytes
) -> None:
    argument = unit.ffi.new("char[]", text.replace(b"\0", b"."))
    same(unit, 100, directive(flag, width, precision, "s"), argument)
    same(unit, 100, directive(flag, width, None, "c"), unit.ffi.cast("int", (text + b"a")[0] or 1))


def test_the_rest_of_printf(unit: cunit.Unit) -> None:
    cast = unit.ffi.cast
    same(unit, 100, "100%%")
    same(unit, 100, "%*d|%-*d|%.*d", *(cast("int", value) for value in (7, 42, -5, 42, 3, 42)))
    same(unit, 100, "%p", cast("void *", 0xFFFF800000001000))
    buffer = unit.ffi.new("char[8]", b"1234567")
    assert unit.lib.vmk_snprintf(buffer, 0, b"abc") == 3
    assert unit.ffi.string(buffer) == b"1234567"
    unit.lib.vmk_snprintf(buffer, 8, b"%s", unit.ffi.NULL)
    assert unit.ffi.string(buffer) == b"(null)"


@given(st.integers(0, 2**64 - 1))
def test_numbers_are_read_in_three_bases(unit: cunit.Unit, value: int) -> None:
    out = unit.ffi.new("uint64_t *")
    for text in (f"{value}", f"{value:#x}", f"0X{value:X}", f"0{value:o}"):
        assert unit.lib.str_to_u64(text.encode(), out) == 0
        assert out[0] == value


@given(st.text("0123456789abcxX -+", max_size=30))
def test_other_texts_are_no_numbers(unit: cunit.Unit, text: str) -> None:
    out = unit.ffi.new("uint64_t *", 77)
    base = 16 if text[:2] in ("0x", "0X") else 8 if text[:1] == "0" and len(text) > 1 else 10
    digits = text[2:] if base == 16 else text
    valid = digits != "" and all(c in "0123456789abc"[: min(base, 13)] for c in digits)
    status = unit.lib.str_to_u64(text.encode(), out)
    if valid and int(digits, base) < 2**64:
        assert (status, out[0]) == (0, int(digits, base))
    else:
        assert status < 0
        assert out[0] == 77


@given(st.binary(max_size=40), st.integers(0, 50))
def test_copies_end_with_a_zero(unit: cunit.Unit, text: bytes, size: int) -> None:
    text = text.replace(b"\0", b".")
    out = unit.ffi.new("char[]", b"#" * 60)
    assert unit.lib.str_copy(out, unit.ffi.new("char[]", text), size) == len(text)
    kept = text[: size - 1] + b"\0" if size else b""
    assert bytes(unit.ffi.buffer(out))[:60] == kept + b"#" * (60 - len(kept))


@given(st.datetimes(datetime.datetime(1970, 1, 1), datetime.datetime(9999, 12, 31)))
def test_dates_follow_the_calendar(unit: cunit.Unit, when: datetime.datetime) -> None:
    when = when.replace(microsecond=0)
    seconds = int((when - datetime.datetime(1970, 1, 1)).total_seconds())
    date = unit.ffi.new("struct date *")
    unit.lib.date_from_unix(seconds, date)
    fields = (date.year, date.month, date.day, date.hour, date.minute, date.second)
    assert fields == when.timetuple()[:6]
    assert unit.lib.date_to_unix(date) == seconds


class TreeMachine(RuleBasedStateMachine):
    """The tree holds what a list sorted by key, then by age, holds."""

    def __init__(self) -> None:
        super().__init__()
        self.unit = build()
        self.tree = self.unit.ffi.new("struct tree *")
        self.unit.lib.items_init(self.tree)
        self.model: list[tuple[int, int]] = []
        self.items: dict[int, Any] = {}
        self.ids = 0

    @rule(keys=st.lists(st.integers(-20, 20), min_size=1, max_size=12))
    def insert(self, keys: list[int]) -> None:
        for key in keys:
            self.items[self.ids] = self.unit.lib.item_insert(self.tree, key, self.ids)
            self.model.append((key, self.ids))
            self.ids += 1
        self.model.sort()

    @precondition(lambda self: self.model)
    @rule(data=st.data(), count=st.integers(1, 12))
    def remove(self, data: st.DataObject, count: int) -> None:
        for _ in range(min(count, len(self.model))):
            _, item = self.model.pop(data.draw(st.integers(0, len(self.model) - 1)))
            self.unit.lib.item_remove(self.tree, self.items.pop(item))

    @rule(key=st.integers(-25, 25))
    def lower(self, key: int) -> None:
        expected = next((item for k, item in self.model if k >= key), -1)
        assert self.unit.lib.item_lower(self.tree, key) == expected

    @invariant()
    def same_order(self) -> None:
        lib, ids = self.unit.lib, [item for _, item in self.model]
        assert lib.check(self.tree.root, self.unit.ffi.NULL) >= 0
        assert self.tree.count == len(ids)
        for first, step, expected in (
            (self.tree.min, lib.tree_next, ids),
            (lib.tree_max(self.tree), lib.tree_prev, ids[::-1]),
        ):
            found, node = [], first
            while node:
                found.append(lib.id_of(node))
                node = step(node)
            assert found == expected

    def teardown(self) -> None:
        for item in self.items.values():
            self.unit.lib.item_remove(self.tree, item)


TestTree = TreeMachine.TestCase
TestTree.settings = settings(max_examples=40, deadline=None)
