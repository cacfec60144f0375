# SPDX-License-Identifier: Apache-2.0
"""Generates from abi.txt what the package carries beside it, at build time.

`_abi.py` is cffi's own compiled form of the declarations. `records.py` holds a named tuple for each
structure that Python decodes, `records.pyi` the same classes as mypy reads them. A structure's
class is named as it is, without `ctl_`: `struct ctl_host_info` becomes HostInfo. Its fields are the
members, reserved ones left out: char arrays are str, uint8_t arrays bytes, structures records,
other arrays tuples, integers int.

usage: python -m tepui.shell.abigen abi|records DIRECTORY
"""

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tepui.shell.abi import COMPILED, TEXT, parse

HEAD = '''# SPDX-License-Identifier: Apache-2.0
"""Generated from abi.txt by tepui.shell.abigen; see there."""

'''

#: typing.NamedTuple evaluates source text for each class that it makes; written out here, a class
#: costs a tenth of that when the module is imported.
BASE = """from operator import itemgetter

from tepui.shell.abi import text

new = tuple.__new__


class Record(tuple):
    __slots__ = ()
    _fields = ()

    def _asdict(self):
        return dict(zip(self._fields, self))

    def _replace(self, **changes):
        return type(self)(**{**self._asdict(), **changes})

    def __getnewargs__(self):
        return tuple(self)

    def __repr__(self):
        shown = ", ".join(f"{k}={v!r}" for k, v in self._asdict().items())
        return f"{type(self).__name__}({shown})"
"""

STUB = """from typing import Any, NamedTuple, Self
"""


def class_name(structure: str) -> str:
    words = structure.removeprefix("struct ").removeprefix("ctl_").split("_")
    return "".join(word.capitalize() for word in words)


def members(kind: Any) -> list[tuple[str, Any]]:
    """Name and cffi type of each member that is not reserved."""
    return [(n, f.type) for n, f in kind.fields if not re.fullmatch(r"reserved\d*", n)]


def decoded(kind: Any, value: str) -> tuple[str, str]:
    """The annotation of a member's Python form, and the expression that makes it of `value`."""
    if kind.kind == "struct":
        name = class_name(kind.cname)
        return name, f"{name}.of({value})"
    if kind.kind != "array":
        return "int", value
    if kind.item.cname == "char":
        return "str", f"text({value})"
    if kind.item.cname == "uint8_t":
        return "bytes", f"bytes({value})"
    item, made = decoded(kind.item, "x")
    return f"tuple[{item}, ...]", f"tuple([{made} for x in {value}])"


def is_record(kind: Any) -> bool:
    """Whether a structure is one that Python decodes whole: not a page of a list, no pointers."""
    if kind.kind != "struct" or not re.match(r"struct (ctl|vm)_", kind.cname):
        return False
    inner = [t.item if t.kind == "array" else t for _, t in kind.fields and members(kind)]
    paged = any(t.cname == "struct ctl_page" for t in inner)
    return bool(inner) and not paged and all(t.kind != "pointer" for t in inner)


def in_order(kinds: list[Any]) -> Iterator[Any]:
    """Each structure once, after those that it contains."""
    done: set[str] = set()

    def visit(kind: Any) -> Iterator[Any]:
        while kind.kind == "array":
            kind = kind.item
        if kind.kind != "struct" or kind.cname in done:
            return
        done.add(kind.cname)
        for _, inner in members(kind):
            yield from visit(inner)
        yield kind

    for kind in kinds:
        yield from visit(kind)


def module_class(kind: Any) -> str:
    """One class of records.py."""
    fields = members(kind)
    names = [name for name, _ in fields]
    made = [decoded(t, f"c.{name}")[1] for name, t in fields]
    lines = [
        f"class {class_name(kind.cname)}(Record):",
        "    __slots__ = ()",
        f"    _fields = ({', '.join(map(repr, names))},)",
        f"    def __new__(cls, {', '.join(names)}):",
        f"        return new(cls, ({', '.join(names)},))",
        "    @classmethod",
        "    def of(cls, c):",
        f"        return new(cls, ({', '.join(made)},))",
        *(f"    {name} = property(itemgetter({i}))" for i, name in enumerate(names)),
    ]
    return "\n".join(lines)


def stub_class(kind: Any) -> str:
    """One class of records.pyi."""
    lines = [f"class {class_name(kind.cname)}(NamedTuple):", f'    """{kind.cname}"""']
    for name, t in members(kind):
        hidden = "  # type: ignore[assignment]" if hasattr(tuple, name) else ""
        lines.append(f"    {name}: {decoded(t, '')[0]}{hidden}")
    lines += ["    @classmethod", "    def of(cls, c: Any) -> Self: ..."]
    return "\n".join(lines)


def records(ffi: Any) -> tuple[str, str]:
    """The texts of records.py and records.pyi."""
    structures = [ffi.typeof(f"struct {name}") for name in ffi.list_types()[1]]
    kinds = list(in_order([k for k in structures if k.fields is not None and is_record(k)]))
    module = "\n\n\n".join((HEAD + BASE, *map(module_class, kinds)))
    stub = "\n\n".join((HEAD + STUB, *map(stub_class, kinds)))
    return module + "\n", stub + "\n"


def write(path: Path, content: str) -> None:
    """Leaves a file alone that has this content, so that nothing is built again for it."""
    if not path.exists() or path.read_text() != content:
        path.write_text(content)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tepui.shell.abigen", description=__doc__)
    parser.add_argument("what", choices=("abi", "records"))
    parser.add_argument("directory", type=Path)
    args = parser.parse_args(argv)
    declarations = TEXT.read_text()
    if args.what == "abi":
        ffi = parse(declarations, f"tepui.shell.{COMPILED}")
        ffi.emit_python_code(str(args.directory / f"{COMPILED}.py"))
    else:
        module, stub = records(parse(declarations))
        write(args.directory / "records.py", module)
        write(args.directory / "records.pyi", stub)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
