# SPDX-License-Identifier: Apache-2.0
"""Layers call only downwards: shown on the objects that the image is linked of.

Nothing here reads source text, so neither a public header nor a macro hides a call. What `nm`
cannot see, calls through pointers, is listed: who declares a row or a table, and who calls it.
"""

import re
import subprocess
from pathlib import Path

import pytest

from tests.unit import layers
from tests.unit.layers import LEVEL, ORDER, ROOT, Object

#: Pairs of layers of which the lower one calls the upper one all the same, and why.
NAMED = {
    ("early", "log"): "reading what the loader says may fail: log_write() and panic(); log reads "
    "its boot options from early, so the two are one stratum",
    (
        "acpi",
        "x86",
    ): "tables are mapped by x86's page tables and read for its APICs and clocks: one stratum",
    ("mm", "sched"): "address spaces and memory objects are guarded by mutexes, worlds have stacks "
    "and structures from mm: one stratum",
}

#: Global symbols that no other object refers to, and why they are so all the same.
KEPT = {
    "boot_entry": "the image's entry point",
    "boot_stack_top": "a label for backtraces",
}

#: Linker sections: the layers that declare rows, and the layers that call them.
REGISTRATIONS = {
    "boards": ({"vdev"}, {"vmm"}),
    "boot_hooks": ({"test"}, {"boot"}),
    "ctl": ({"ctl"}, {"ctl"}),
    "drivers": ({"drivers"}, {"bus", "ctl"}),
    "extable": ({"mm", "x86"}, {"x86"}),
    "hvm_backends": ({"vmm"}, set()),  # the list of supported CPUs, read from the image by hcl/
    "hvm_ops": ({"vmm"}, {"vmm"}),
    "multiboot": ({"boot"}, set()),  # read by the boot loader
    "panic_steps": ({"acpi", "log", "sched", "x86"}, {"log"}),
    "proc_parts": ({"fs"}, {"proc"}),
    "smap": ({"mm", "x86"}, {"x86"}),
    "stats": ({"bus", "ctl", "drivers", "fs", "ip", "linux", "mm", "net", "proc", "sched",
               "storage", "vdev", "vmm", "x86"}, {"ctl", "test"}),
    "syscalls": ({"linux", "proc"}, {"linux"}),
    "vdevs": ({"vdev"}, {"vmm"}),
}  # fmt: skip
#: What compilers and assemblers add by themselves.
ORDINARY = re.compile(r"(text|data|bss|rodata|comment|note|debug|eh_frame)([._].*)?")

#: Tables of functions that a layer fills and a layer below calls: who fills, who calls.
POINTERS = {
    "blk_ops": ({"drivers"}, {"storage"}),
    "file_ops": ({"ctl", "fs", "linux"}, {"fs", "linux"}),
    "fs_ops": ({"fs"}, {"fs"}),
    "hvm_ops": ({"vmm"}, {"vmm"}),
    "inode_ops": ({"fs"}, {"fs"}),
    "io_ops": ({"vdev", "vmm"}, {"vmm"}),
    "ldisc_ops": ({"fs"}, {"fs"}),
    "memobj_ops": ({"fs", "mm", "vmm"}, {"mm"}),
    "port_ops": ({"ip", "test", "vdev"}, {"net"}),
    "sock_ops": ({"fs", "ip"}, {"fs"}),
    "trap_hooks": ({"boot"}, {"x86"}),
    "uplink_ops": ({"drivers", "test"}, {"net"}),
    "world_hooks": ({"proc", "vmm"}, {"sched"}),
}


@pytest.fixture(scope="module")
def objects() -> list[Object]:
    return layers.read(layers.linked())


def test_calls_point_downwards(objects: list[Object]) -> None:
    assert layers.upward(objects, NAMED) == []


def test_each_named_exception_is_needed(objects: list[Object]) -> None:
    def others(pair: tuple[str, str]) -> dict[tuple[str, str], str]:
        return {other: why for other, why in NAMED.items() if other != pair}

    assert [pair for pair in NAMED if not layers.upward(objects, others(pair))] == []


def plant(layer: str, symbols: list[str], folder: Path) -> Object:
    """An object of that layer that calls the symbols."""
    name = "drivers/planted.o" if layer == "drivers" else f"vmkernel/{layer}/planted.o"
    (folder / name).parent.mkdir(parents=True)
    source = "".join(f"void {s}(void);\n" for s in symbols)
    source += "void planted_call(void) {" + "".join(f"{s}();" for s in symbols) + "}\n"
    command = ["gcc", "-x", "c", "-c", "-o", str(folder / name), "-"]
    subprocess.run(command, input=source, text=True, check=True)
    (planted,) = layers.read([name], folder)
    return planted


@pytest.mark.parametrize("layer", ORDER[:-1])
def test_a_planted_call_upwards_is_caught(
    objects: list[Object], layer: str, tmp_path: Path
) -> None:
    """One object of each layer calls one function of every layer above it."""
    before = set(layers.upward(objects, NAMED))
    called = []
    for above in ORDER[LEVEL[layer] + 1 :]:
        defined = {s for o in objects if o.layer == above for s in o.defines} - layers.COMPILER
        if defined and (layer, above) not in NAMED:
            called.append(min(defined))
    assert called
    planted = plant(layer, called, tmp_path)
    found = set(layers.upward([*objects, planted], NAMED)) - before
    assert {line.split(": ")[0].split(" -> ")[0] for line in found} == {planted.name}
    assert {symbol for line in found for symbol in line.split(": ")[1].split(", ")} == set(called)


def test_each_global_symbol_has_a_user(objects: list[Object]) -> None:
    """What only its own file uses is static; what nobody uses is gone. Unit tests are users too."""
    done = subprocess.run(
        ["git", "grep", "-hoE", r"\w+", "--", "tests/unit", ":!tests/unit/test_layers.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    tested = set(done.stdout.split())
    used = {symbol for o in objects for symbol in o.refers}
    unused = {
        symbol
        for o in objects
        if not o.name.startswith("src/")
        for symbol in o.defines - used
        if not symbol.startswith("driver_")  # rows of .drivers, named for hcl/
    }
    assert unused - tested == KEPT.keys()


def test_circles_stay_within_a_layer(objects: list[Object]) -> None:
    """Files of one layer may call each other; a circle through several layers is one of NAMED."""
    for circle in layers.circles(objects):
        touched = {o.layer for o in objects if o.name in circle}
        pairs = {(a, b) for a in touched for b in touched if LEVEL[b] > LEVEL[a]}
        assert not pairs or pairs & NAMED.keys(), sorted(circle)


def test_linker_sections_are_listed(objects: list[Object]) -> None:
    declared = {
        name: where
        for name, where in layers.sections(layers.linked()).items()
        if not ORDINARY.fullmatch(name)
    }
    assert declared == {name: rows for name, (rows, _) in REGISTRATIONS.items()}
    walked = layers.walkers(objects)
    assert walked == {name: callers for name, (_, callers) in REGISTRATIONS.items() if callers}


def test_tables_of_functions_are_listed() -> None:
    """Each `struct X_ops` or `struct X_hooks` of a header, with the layers that fill one."""
    text = {
        path: path.read_text()
        for folder in ("vmkernel", "drivers")
        for path in (ROOT / folder).rglob("*.[ch]")
    }
    types = {
        name
        for path, source in text.items()
        if path.suffix == ".h"
        for name in re.findall(r"^struct (\w+_(?:ops|hooks)) \{", source, re.MULTILINE)
    }
    assert types == POINTERS.keys()
    for name, (fills, _) in POINTERS.items():
        pattern = re.compile(rf"struct {name} \w+(?: SECTION_ENTRY\(\w+\))?(?:\[\w*\])? = \{{"
                             rf"|\(struct {name}\)\{{")  # fmt: skip
        found = {
            Object(str(path.relative_to(ROOT))).layer
            for path, source in text.items()
            if pattern.search(source)
        }
        assert found == fills, name


def test_the_readme_shows_the_same_order() -> None:
    table = re.findall(r"^\| (\d+) \| (.+?) \|", (ROOT / "vmkernel/README.md").read_text(), re.M)
    shown = [layer for _, names in table for layer in re.findall(r"`(\w+)`", names)]
    assert shown == list(ORDER)
