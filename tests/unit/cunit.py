# SPDX-License-Identifier: Apache-2.0
"""C units of the vmkernel under Python tests.

`build` compiles C files with -DVMK_HOST, ASan and UBSan, together with the seams of
tests/unit/seams/, into build/unit/NAME-DIGEST.so (cached by content) and loads it with cffi:

    @pytest.fixture(scope="module")
    def unit() -> cunit.Unit:
        return cunit.build("tree", sources=["vmkernel/lib/tree.c"], headers=["vmk/tree.h"],
                           cdef="int extra(void);", code="int extra(void) {...}")

    def test_x(unit: cunit.Unit) -> None:
        tree = unit.ffi.new("struct tree *")
        unit.lib.tree_init(tree, compare)

The declarations that cffi sees are those of `headers` (and what they include), cleaned of what its
parser refuses: inline functions, attributes, asserts, va_list. `code` is C text compiled into the
unit, for wrappers of inline functions and macros. Build in a fixture, never inside @given.

Every seam function is weak: a unit that brings the real one replaces it. What Python may steer is
declared in seams/seam.h: time, failing allocations, register callbacks, the last log line.
The interpreter has to run with libasan preloaded; the Makefile's test targets do that.
"""

import hashlib
import os
import re
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cffi

ROOT = Path(__file__).resolve().parents[2]
SEAMS = ROOT / "tests/unit/seams"
OUT = ROOT / "build/unit"
INCLUDES = [
    "-I",
    "vmkernel/include",
    "-I",
    "vmkernel",
    "-I",
    "drivers",
    "-I",
    "build/gen",
    "-I",
    ".",
    "-I",
    "tests/unit/seams",
]
FLAGS = ["-std=gnu11", "-g", "-O1", "-fPIC", "-shared", "-fno-omit-frame-pointer", "-fno-common"]
FLAGS += ["-fno-strict-aliasing", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
FLAGS += ["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-sign-compare"]
FLAGS += ["-Wno-missing-field-initializers", "-Wl,-Bsymbolic", "-DVMK_HOST"]


@dataclass(frozen=True, slots=True)
class Unit:
    """A loaded unit: `lib.FUNCTION(...)`, `ffi` for memory, callbacks and constants."""

    ffi: Any
    lib: Any
    path: Path

    def copy(self, name: str) -> "Unit":
        """The same unit once more, with variables of its own."""
        path = self.path.with_name(f"{self.path.stem}-{name}-{os.getpid()}.so")
        path.write_bytes(self.path.read_bytes())
        try:
            return Unit(self.ffi, self.ffi.dlopen(str(path), self.ffi.RTLD_LAZY), path)
        finally:
            path.unlink()

    def panic_of(self, action: Callable[[], object]) -> str | None:
        """The message of the panic that `action` ends in, or None when it returns.

        Runs in a child process, since a panic does not return; the caller's state is untouched."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                self.lib.seam_panic_to_fd(writing)
                action()
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as stream:
            message = stream.read()
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGABRT:
            raise AssertionError(f"the unit died of signal {os.WTERMSIG(status)}")
        return message or None


def run_compiler(arguments: Sequence[str]) -> str:
    """gcc in the tree's top folder, without the preloaded sanitizer; its standard output."""
    environment = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    done = subprocess.run(
        ["gcc", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise AssertionError(f"gcc {' '.join(arguments)}\n{done.stderr}")
    return done.stdout


def top_level(text: str) -> list[str]:
    """Splits preprocessed C into declarations and function definitions."""
    pieces: list[str] = []
    depth = start = 0
    for match in re.finditer(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])+\'|[{}();]', text):
        token = match.group()
        if token in "{(":
            depth += 1
        elif token in "})":
            depth -= 1
        closed = token == "}" and depth == 0 and is_function(text[start : match.end()])
        if closed or (token == ";" and depth == 0):
            pieces.append(text[start : match.end()].strip())
            start = match.end()
    return pieces


def is_function(text: str) -> bool:
    """Whether a piece that ends with a closing brace is a function's definition."""
    head = text.partition("{")[0]
    return head.rstrip().endswith(")")


def refused(piece: str) -> bool:
    """Whether cffi's parser has no use for a declaration."""
    return (
        piece == ";"
        or piece.endswith("}")
        or piece.startswith(("_Static_assert", "static "))
        or re.search(r"\bva_list\b|\b__builtin_\w+|\b__asm__\b", piece) is not None
    )


def declarations(headers: Sequence[str], defines: Sequence[str] = ()) -> str:
    """The text for `FFI.cdef` of kernel headers and everything that they include."""
    source = "\n".join(f'#include "{header}"' for header in headers)
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"cdef-{hashlib.sha256(source.encode()).hexdigest()[:16]}-{os.getpid()}.h"
    path.write_text(source)
    # The C library's headers would drag in what cffi knows already: empty ones take their place.
    empty = OUT / "empty"
    for name in ("stdarg", "stdbool", "stddef", "stdint", "string", "sys/types", "errno"):
        (empty / name).parent.mkdir(parents=True, exist_ok=True)
        (empty / f"{name}.h").touch()
    flags = ["-E", "-P", "-nostdinc", "-DABI_PARSE", "-DVMK_HOST", "-D__attribute__(x)=", "-I"]
    flags += [str(empty), "-D__extension__=", "-D_Noreturn=", "-Dinline=", *INCLUDES]
    try:
        text = run_compiler([*flags, *(f"-D{define}" for define in defines), str(path)])
    finally:
        path.unlink()
    return "\n".join(piece for piece in top_level(text) if not refused(piece))


def digest_of(command: Sequence[str], preprocessed: str) -> str:
    return hashlib.sha256("\0".join([*command, preprocessed]).encode()).hexdigest()[:16]


def build(
    name: str,
    sources: Sequence[str],
    headers: Sequence[str] = (),
    cdef: str = "",
    defines: Sequence[str] = (),
    code: str = "",
    options: Sequence[str] = (),
) -> Unit:
    """Compiles (unless cached) and loads a unit; paths are relative to the tree's top.

    `options` are further ones of gcc, for units with foreign sources."""
    OUT.mkdir(parents=True, exist_ok=True)
    glue = OUT / f"{name}-{os.getpid()}.c"
    glue.write_text("".join(f'#include "{header}"\n' for header in headers) + code)
    files = [*sources, *sorted(str(path.relative_to(ROOT)) for path in SEAMS.glob("*.c"))]
    flags = [*INCLUDES, *(f"-D{define}" for define in defines), *options]
    try:
        text = run_compiler(["-E", "-P", *FLAGS, *flags, *files, str(glue)])
        library = OUT / f"{name}-{digest_of([*FLAGS, *flags, *files], text)}.so"
        if not library.exists():
            made = library.with_suffix(f".{os.getpid()}")
            run_compiler([*FLAGS, *flags, "-o", str(made), *files, str(glue)])
            made.rename(library)
    finally:
        glue.unlink()
    ffi: Any = cffi.FFI()
    ffi.cdef(declarations([*headers, "seam.h"], defines))
    if cdef:
        ffi.cdef(cdef, override=True)
    return Unit(ffi, ffi.dlopen(str(library), ffi.RTLD_LAZY), library)
