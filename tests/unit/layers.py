# SPDX-License-Identifier: Apache-2.0
"""The layers of the vmkernel, and who calls whom, read from the objects that make the image.

`nm` tells what an object defines and what it refers to; a reference from one object to another is a
call (or the use of a variable). It does not see calls through pointers: those are the registrations
that REGISTRATIONS and POINTERS name.
"""

import subprocess
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OBJ = ROOT / "build/obj"

#: From below; each calls itself and what stands before it. vmkernel/README.md shows the same.
ORDER = (
    "lib", "early", "log", "acpi", "x86", "mm", "sched", "bus", "storage", "net", "drivers",
    "vmm", "vdev", "proc", "fs", "ip", "linux", "ctl", "boot", "test",
)  # fmt: skip
LEVEL = {layer: level for level, layer in enumerate(ORDER)}
#: Where parts from elsewhere belong.
FOREIGN = {"lz4": "lib", "lwip": "ip", "zydis": "vmm"}
#: The compiler's own calls: each function may make them.
COMPILER = frozenset({"__stack_chk_fail", "__stack_chk_guard"})


@dataclass(slots=True)
class Object:
    """One object file: symbols by name, and the linker sections that it adds rows to or walks."""

    name: str  # "vmkernel/mm/slab.o"
    defines: set[str] = field(default_factory=set)
    refers: set[str] = field(default_factory=set)

    @property
    def layer(self) -> str:
        parts = self.name.split("/")
        if parts[0] == "src":
            return FOREIGN[parts[1]]
        return parts[1] if parts[0] == "vmkernel" else parts[0]


@dataclass(frozen=True, slots=True)
class Call:
    """What one object refers to in another."""

    source: str
    target: str
    symbols: frozenset[str]


def parse(text: str) -> list[Object]:
    """The objects in the output of `nm -A`: "OBJECT:VALUE TYPE NAME" a line."""
    objects: dict[str, Object] = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        found = objects.setdefault(name, Object(name))
        kind, symbol = words[-2], words[-1]
        if kind in "Uw":
            found.refers.add(symbol)
        elif kind in "TDBRVWC":
            found.defines.add(symbol)
    return list(objects.values())


def linked() -> list[str]:
    """The objects of the image and of the test image, below build/obj/."""
    listed = (OBJ / "objects.list").read_text().split()
    return [str(Path(name).relative_to("build/obj")) for name in listed]


def read(names: Iterable[str], folder: Path = OBJ) -> list[Object]:
    done = subprocess.run(
        ["nm", "-A", *names], cwd=folder, capture_output=True, text=True, check=True
    )
    return parse(done.stdout)


def calls(objects: Iterable[Object]) -> list[Call]:
    """All references from one object to another."""
    objects = list(objects)
    home = {symbol: o.name for o in objects for symbol in o.defines}
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for o in objects:
        for symbol in o.refers - COMPILER:
            target = home.get(symbol, o.name)
            if target != o.name:
                found[o.name, target].add(symbol)
    return [Call(a, b, frozenset(symbols)) for (a, b), symbols in sorted(found.items())]


def upward(objects: Iterable[Object], named: Mapping[tuple[str, str], str]) -> list[str]:
    """The calls to a layer above, but those between pairs of layers that are named, as text."""
    objects = list(objects)
    layer = {o.name: o.layer for o in objects}
    return [
        f"{call.source} -> {call.target}: {', '.join(sorted(call.symbols))}"
        for call in calls(objects)
        if LEVEL[layer[call.target]] > LEVEL[layer[call.source]]
        and (layer[call.source], layer[call.target]) not in named
    ]


def circles(objects: Iterable[Object]) -> list[frozenset[str]]:
    """Sets of objects that all reach each other (Tarjan 1972), the largest first."""
    graph: dict[str, list[str]] = defaultdict(list)
    for call in calls(objects):
        graph[call.source].append(call.target)
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[frozenset[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in graph[name]:
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            at = stack.index(name)
            if len(stack) - at > 1:
                found.append(frozenset(stack[at:]))
            del stack[at:]

    for name in list(graph):
        if name not in index:
            visit(name)
    return sorted(found, key=len, reverse=True)


def sections(names: Iterable[str], folder: Path = OBJ) -> dict[str, set[str]]:
    """By linker section, the layers whose objects add rows to it."""
    done = subprocess.run(
        ["objdump", "-h", *names], cwd=folder, capture_output=True, text=True, check=True
    )
    found: dict[str, set[str]] = defaultdict(set)
    name = ""
    for line in done.stdout.splitlines():
        words = line.split()
        if ":     file format" in line:
            name = line.split(":")[0]
        elif len(words) > 2 and words[0].isdigit() and words[1].startswith("."):
            found[words[1][1:]].add(Object(name).layer)
    return found


def walkers(objects: Iterable[Object]) -> dict[str, set[str]]:
    """By linker section, the layers whose objects walk it (they refer to its bounds)."""
    found: dict[str, set[str]] = defaultdict(set)
    for o in objects:
        for symbol in o.refers:
            if symbol.startswith("__start_"):
                found[symbol.removeprefix("__start_")].add(o.layer)
    return found
