# SPDX-License-Identifier: Apache-2.0
"""Digests of what is installed: a file beside kernel and userworld, in the ISO and in the banks.

Its lines are those of sha256sum(1). It shows damage, not who made the image: whoever changes the
one can change the other; signatures are another matter.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

#: The file's name, in /boot of the ISO and as a boot module, and on a bank.
NAME = "digests"
KERNEL, USERWORLD = "vmkernel.elf", "userworld"
LINE = re.compile(r"([0-9a-f]{64})  (\S+)")


class DigestError(Exception):
    """Files are not what their digests say; for people."""


def digest(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def listing(files: Mapping[str, Path]) -> str:
    """The file's text."""
    return "".join(f"{digest(path)}  {name}\n" for name, path in sorted(files.items()))


def parse(text: str) -> dict[str, str]:
    """Digests by name. Raises DigestError."""
    out: dict[str, str] = {}
    for line in text.splitlines():
        match = LINE.fullmatch(line)
        if not match or match[2] in out:
            raise DigestError(f"the digests are damaged: {line[:80]!r}")
        out[match[2]] = match[1]
    return out


def verify(path: Path, files: Mapping[str, Path]) -> None:
    """Each file has the digest that the file `path` gives for its name. Raises DigestError."""
    try:
        known = parse(path.read_text("ascii"))
    except (OSError, UnicodeDecodeError) as e:
        raise DigestError(f"no digests can be read: {e}") from None
    for name, file in files.items():
        if name not in known:
            raise DigestError(f"there is no digest of {name}")
        if digest(file) != known[name]:
            raise DigestError(f"{name} is damaged: its SHA-256 is not that of the image as built")
