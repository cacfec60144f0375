# SPDX-License-Identifier: Apache-2.0
"""Records are what the structures of include/abi/ say: each field, decoded, is what was packed."""

from functools import partial
from typing import Any, get_type_hints

from hypothesis import given
from hypothesis import strategies as st

from tepui.shell import abi, abigen, records

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


def cut(text: str, size: int) -> str:
    """The start of a text that fits into so many bytes, terminator included."""
    return text.encode()[: size - 1].decode(errors="ignore")


def fill(kind: Any, draw: Any, values: dict[str, Any]) -> None:
    """A value for each member of a structure of integers, text and bytes."""
    for name, t in abigen.members(kind):
        if t.kind == "primitive":
            bits = 8 * abi.ffi().sizeof(t)
            low, high = (-(1 << bits - 1), 1 << bits - 1) if t.cname[0] == "i" else (0, 1 << bits)
            values[name] = draw(st.integers(low, high - 1))
        elif t.kind == "array" and t.item.cname == "char":
            values[name] = draw(TEXT.map(partial(cut, size=t.length)))
        elif t.kind == "array" and t.item.cname == "uint8_t":
            values[name] = draw(st.binary(min_size=t.length, max_size=t.length))


@given(st.data())
def test_what_is_packed_comes_out(data: st.DataObject) -> None:
    classes: dict[str, Any] = {
        "ctl_pci": records.Pci, "ctl_blk": records.Blk, "ctl_world": records.World,
    }  # fmt: skip
    kind, cls = data.draw(st.sampled_from(list(classes.items())))
    values: dict[str, Any] = {}
    fill(abi.ffi().typeof(f"struct {kind}"), data.draw, values)
    record = cls.of(abi.cast(kind, abi.pack(kind, **values)))
    assert record._asdict() == values
    assert record._replace(**values) == record and cls(**values) == record


def test_structures_nest_and_arrays_are_tuples() -> None:
    c = abi.ffi().new("struct ctl_vswitch *")
    c.uplinks, c.uplink[0], c.uplink[1] = 2, b"vmnic0", b"vmnic1"
    c.policy.forged = 1
    switch = records.Vswitch.of(c)
    assert switch.uplink == ("vmnic0", "vmnic1", *[""] * 6)
    assert switch.policy == records.NetPolicy(0, 0, 1, 0, 0, 0)
    assert repr(switch.policy).startswith("NetPolicy(promiscuous=0, ")


def test_the_stub_says_what_the_module_holds() -> None:
    """mypy reads records.pyi, Python records.py: both name the same classes and fields."""
    module, stub = abigen.records(abi.parse(abi.TEXT.read_text()))
    seen: dict[str, Any] = {}
    exec(stub.replace("NamedTuple, Self", "NamedTuple\nSelf = Any"), seen)
    made: dict[str, Any] = {"__name__": "made"}
    exec(module, made)
    names = {n for n, c in seen.items() if hasattr(c, "_fields")}
    assert names == {n for n, c in made.items() if hasattr(c, "_fields")} - {"Record"}
    assert "HostInfo" in names and "HostStats" not in names and len(names) > 50
    for name in names:
        assert tuple(get_type_hints(seen[name], seen)) == made[name]._fields == seen[name]._fields


def test_a_page_of_a_list_is_no_record() -> None:
    assert not abigen.is_record(abi.ffi().typeof("struct ctl_device_pci"))
    assert not abigen.is_record(abi.ffi().typeof("struct hcl_driver"))
