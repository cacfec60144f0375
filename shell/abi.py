# SPDX-License-Identifier: Apache-2.0
"""The vmkernel's structures, from the one text that vmkernel/include/abi/*.h preprocess to.

The build ships that text as `abi.txt` beside this module and compiles its SHA-256 into the kernel;
HELLO compares the two. The userworld image also carries `_abi.py`, the same declarations compiled
by cffi, because parsing C takes seconds on a slow machine. Structures as Python's own records are
in `records`; `abigen` makes both.
"""

import hashlib
import importlib
from functools import cache
from pathlib import Path
from typing import Any

TEXT = Path(__file__).with_name("abi.txt")
COMPILED = "_abi"


def parse(text: str, module: str | None = None) -> Any:
    """An FFI of the declarations; takes seconds."""
    from cffi import FFI

    ffi = FFI()
    if module:
        ffi.set_source(module, None)
    ffi.cdef(text)
    return ffi


@cache
def ffi() -> Any:
    """The cffi FFI that knows every structure and enumerator."""
    try:
        return importlib.import_module(f"tepui.shell.{COMPILED}").ffi
    except ImportError:
        return parse(TEXT.read_text())


@cache
def lib() -> Any:
    """Enumerators by name: lib().CTL_HOST_INFO."""
    return ffi().dlopen(None)


@cache
def digest() -> bytes:
    """SHA-256 of the text, 32 bytes."""
    return hashlib.sha256(TEXT.read_bytes()).digest()


def text(c: Any) -> str:
    """A char array up to its terminator; what is no UTF-8 is replaced."""
    return str(ffi().string(c).decode("utf-8", "replace"))


def cast(kind: str, payload: bytes) -> Any:
    """payload as `struct kind`; shorter than its fixed part raises ValueError.

    The structure may end in an array of which only the used part is there, so the bytes are
    copied into a whole, zeroed structure.
    """
    c = ffi().new(f"struct {kind} *")
    size = ffi().sizeof(c[0])
    if len(payload) > size:
        raise ValueError(f"{len(payload)} bytes are no struct {kind} of {size}")
    ffi().memmove(c, payload, len(payload))
    return c


class FieldError(ValueError):
    """A value does not fit into its member of a structure."""


def pack(kind: str, /, **members: object) -> bytes:
    """A structure's bytes; strings are terminated. Raises FieldError."""
    c = ffi().new(f"struct {kind} *")
    for name, v in members.items():
        if isinstance(v, str):
            raw = v.encode()
            array = getattr(c, name)
            if len(raw) >= len(array):
                raise FieldError(f"{name}: longer than {len(array) - 1} bytes")
            ffi().memmove(array, raw, len(raw))
            continue
        try:
            setattr(c, name, v)
        except (OverflowError, IndexError) as e:
            raise FieldError(f"{name}: out of range") from e
    return bytes(ffi().buffer(c))
