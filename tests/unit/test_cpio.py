# SPDX-License-Identifier: Apache-2.0
"""The userworld archive: every file comes back, big ones on page boundaries, equal trees equal."""

import io
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tepui.iso import cpio

NAMES = st.text("abcdefghij.-_", min_size=1, max_size=12).filter(lambda n: n not in (".", ".."))


def read(data: bytes) -> dict[str, tuple[int, bytes, int]]:
    """name -> (mode, contents, offset of the contents)."""
    out: dict[str, tuple[int, bytes, int]] = {}
    at = 0
    while True:
        while data[at] == 0:
            at += 1
        assert data[at : at + 6] == cpio.MAGIC and at % 4 == 0
        field = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        mode, size, length = field[1], field[6], field[11]
        name = data[at + 110 : at + 110 + length - 1].decode()
        start = (at + 110 + length + 3) & ~3
        if name == cpio.TRAILER:
            return out
        out[name] = mode, data[start : start + size], start
        at = (start + size + 3) & ~3


@given(st.dictionaries(NAMES, st.integers(0, 3 * cpio.PAGE), max_size=6))
def test_round_trip(files: dict[str, int]) -> None:

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "d").mkdir()
        (root / "l").symlink_to("somewhere/else")
        for i, (name, size) in enumerate(sorted(files.items())):
            (root / "d" / name).write_bytes(bytes([i + 1]) * size)
        images = []
        for _ in range(2):
            out = io.BytesIO()
            assert cpio.write(root, out, 7) == len(out.getvalue())
            images.append(out.getvalue())
    assert images[0] == images[1]
    got = read(images[0])
    assert set(got) == {"d", "l", *(f"d/{name}" for name in files)}
    assert got["l"][1] == b"somewhere/else"
    for i, (name, size) in enumerate(sorted(files.items())):
        _, contents, offset = got[f"d/{name}"]
        assert contents == bytes([i + 1]) * size
        assert size < cpio.PAGE or offset % cpio.PAGE == 0


def test_refuses_a_fifo(tmp_path: Path) -> None:

    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ValueError, match="fifo"):
        cpio.write(tmp_path, io.BytesIO(), 0)
