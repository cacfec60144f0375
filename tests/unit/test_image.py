# SPDX-License-Identifier: Apache-2.0
"""The image that people install holds nothing of the kernel's own tests and benchmarks.

Three looks, as each alone misses something: a function of theirs that is global, by its name; a
static one, whose name may well be some other file's too, by the file that the symbol table puts it
under; and code of any other file that is there for them only, by the words in its name.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

ROOT = Path(__file__).resolve().parents[2]
IMAGE = ROOT / "build/vmkernel.elf"
TEST_IMAGE = ROOT / "build/test/vmkernel.elf"
SOURCES = sorted((ROOT / "vmkernel/test").glob("*.[cS]"))
OBJECTS = [ROOT / f"build/obj/vmkernel/test/{path.stem}.o" for path in SOURCES]
WORDS = re.compile("selftest|bench|disktest|nictest|panictest")


@dataclass(frozen=True, slots=True)
class Symbol:
    """Defined in an ELF file; `file` is the source that a local one comes from."""

    name: str
    local: bool
    file: str


def symbols(path: Path) -> Iterator[Symbol]:
    """Source: System V gABI, "Symbol Table": a file's symbol goes before the local ones of it."""
    with path.open("rb") as stream:
        table = ELFFile(stream).get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection), path
        file = ""
        for symbol in table.iter_symbols():
            if symbol["st_info"]["type"] == "STT_FILE":
                file = Path(symbol.name).name
            elif symbol.name and symbol["st_shndx"] != "SHN_UNDEF":
                local = symbol["st_info"]["bind"] == "STB_LOCAL"
                yield Symbol(symbol.name, local, file if local else "")


def of_tests(image: Path) -> set[str]:
    """What an image has of the tests."""
    files = {path.name for path in SOURCES}
    theirs = {s.name for path in OBJECTS for s in symbols(path) if not s.local}
    return {
        s.name
        for s in symbols(image)
        if s.name in theirs or s.file in files or WORDS.search(s.name) or WORDS.search(s.file)
    }


def test_the_shipped_image_has_nothing_of_the_kernels_tests() -> None:
    assert of_tests(IMAGE) == set()


def test_the_look_finds_what_is_in_the_test_image() -> None:
    """A global function, a static one of a name without the words, and an entry of theirs."""
    assert {"bench_window", "count_frame", "selftest_run"} <= of_tests(TEST_IMAGE)
    for path in OBJECTS:
        assert of_tests(path), path
