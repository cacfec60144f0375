# SPDX-License-Identifier: Apache-2.0
"""Paths and tmpfs against the host's own file system: the same calls give the same results."""

import errno
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit import fs_unit
from tests.unit.fs_unit import Files


@pytest.fixture(scope="module")
def files() -> Files:
    return Files(fs_unit.build())


def outcome(action: Callable[..., Any], *arguments: Any) -> Any:
    """What a call gives, its errno when it fails."""
    try:
        return action(*arguments)
    except OSError as e:
        return errno.errorcode[e.errno or 0]


class Host:
    """The model: a folder of the host seen as the root."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def at(self, path: str) -> str:
        """Text, since pathlib would tidy up the slashes and dots that are under test."""
        return f"{self.root}{path}"

    def make(self, path: str, mode: int, target: str | None = None) -> None:
        if target is not None:
            os.symlink(target, self.at(path))  # noqa: PTH211
        elif stat.S_ISDIR(mode):
            os.mkdir(self.at(path))  # noqa: PTH102
        else:
            os.mknod(self.at(path), mode)

    def remove(self, path: str, directory: bool = False) -> None:
        (os.rmdir if directory else os.unlink)(self.at(path))

    def rename(self, old: str, new: str) -> None:
        os.rename(self.at(old), self.at(new))  # noqa: PTH104

    def names(self, path: str) -> set[str]:
        return set(os.listdir(self.at(path)))  # noqa: PTH208

    def kind(self, path: str, follow: bool) -> tuple[int, int]:
        st_ = os.stat(self.at(path), follow_symlinks=follow)  # noqa: PTH116
        return stat.S_IFMT(st_.st_mode), st_.st_nlink if not stat.S_ISDIR(st_.st_mode) else 0


class Ours(Host):
    def __init__(self, files: Files, prefix: str) -> None:
        self.files, self.prefix = files, prefix

    def make(self, path: str, mode: int, target: str | None = None) -> None:
        self.files.make(self.prefix + path, mode, target)

    def remove(self, path: str, directory: bool = False) -> None:
        self.files.remove(self.prefix + path, directory)

    def rename(self, old: str, new: str) -> None:
        self.files.rename(self.prefix + old, self.prefix + new)

    def names(self, path: str) -> set[str]:
        return self.files.names(self.prefix + path)

    def kind(self, path: str, follow: bool) -> tuple[int, int]:
        _, mode, _, links = self.files.stat(self.prefix + path, follow)
        return stat.S_IFMT(mode), links if not stat.S_ISDIR(mode) else 0


NAME = st.sampled_from(["a", "b", "c", "l", ".", "..", "a" * 255, "a" * 256])
#: Paths stay below the test's own root: no leading "..".
PATH = st.builds(
    lambda parts, slash: "/t/" + "/".join(parts) + slash,
    st.lists(NAME, min_size=1, max_size=4).filter(
        lambda p: all(
            sum(1 if x != ".." else -1 for x in p[: i + 1] if x != ".") >= 0 for i in range(len(p))
        )
    ),
    st.sampled_from(["", "", "", "/"]),
)
TARGET = st.sampled_from(["a", "b/c", "l", "../t/a", ".", "missing", "a/../b"])
STEP = st.one_of(
    st.tuples(st.just("mkdir"), PATH),
    st.tuples(st.just("mknod"), PATH),
    st.tuples(st.just("symlink"), PATH, TARGET),
    st.tuples(st.just("unlink"), PATH),
    st.tuples(st.just("rmdir"), PATH),
    st.tuples(st.just("rename"), PATH, PATH),
    st.tuples(st.just("stat"), PATH),
    st.tuples(st.just("lstat"), PATH),
    st.tuples(st.just("list"), PATH),
)


def run(system: Host, step: tuple[str, ...]) -> Any:
    match step:
        case ("mkdir", path):
            return outcome(system.make, path, stat.S_IFDIR | 0o755)
        case ("mknod", path):
            return outcome(system.make, path, stat.S_IFREG | 0o644)
        case ("symlink", path, target):
            return outcome(system.make, path, stat.S_IFLNK | 0o777, target)
        case ("unlink", path):
            return outcome(system.remove, path)
        case ("rmdir", path):
            return outcome(system.remove, path, True)
        case ("rename", old, new):
            return outcome(system.rename, old, new)
        case ("list", path):
            return outcome(system.names, path)
        case (kind, path):
            return outcome(system.kind, path, kind == "stat")
    raise AssertionError(step)


def remove_all(ours: Ours, path: str) -> None:
    for name in ours.names(path):
        child = f"{path}/{name}"
        if stat.S_ISDIR(ours.kind(child, False)[0]):
            remove_all(ours, child)
        else:
            ours.remove(child)
    ours.remove(path, True)


@given(steps=st.lists(STEP, max_size=25))
def test_paths_behave_as_on_the_host(files: Files, steps: list[tuple[str, ...]]) -> None:
    live = files.lib.seam_heap_live
    ours = Ours(files, "")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        host = Host(Path(folder))
        for system in (host, ours):
            system.make("/t", stat.S_IFDIR | 0o755)
        try:
            for step in steps:
                assert run(ours, step) == run(host, step), step
        finally:
            remove_all(ours, "/t")
    assert files.lib.seam_heap_live == live


WRITE = st.tuples(st.just("write"), st.integers(0, 20000), st.binary(min_size=1, max_size=9000))
READ = st.tuples(st.just("read"), st.integers(0, 30000), st.integers(0, 9000))
RESIZE = st.tuples(st.just("resize"), st.integers(0, 30000), st.none())


@given(
    backing=st.integers(0, 3 * 4096 + 100),
    steps=st.lists(st.one_of(WRITE, READ, RESIZE), max_size=20),
)
def test_data_over_a_boot_module(files: Files, backing: int, steps: list[Any]) -> None:
    """A file whose data starts out in place in somebody else's memory, which never changes."""
    lib, ffi = files.lib, files.ffi
    pages = lib.seam_pages_live
    frames = lib.page_alloc(2, lib.FRAME_RAMDISK, 0)
    module = ffi.cast("char *", lib.pa_to_va(frames))
    model = bytearray(os.urandom(1) * backing)
    ffi.memmove(module, bytes(model), backing)
    before = bytes(ffi.buffer(module, 16384))
    file = files.open("/f", os.O_RDWR | os.O_CREAT)
    lib.test_backing(b"/f", module, backing)
    for kind, at, extra in steps:
        if kind == "write":
            assert files.write(file, extra, at) == len(extra)
            model.extend(bytes(max(0, at + len(extra) - len(model))))
            model[at : at + len(extra)] = extra
        elif kind == "read":
            assert files.read(file, extra, at) == model[at : at + extra]
        else:
            files.check(lib.file_truncate(file, at))
            del model[at:]
            model.extend(bytes(at - len(model)))
        assert files.stat("/f")[2] == len(model)
    assert files.read(file, 40000, 0) == model
    assert bytes(ffi.buffer(module, 16384)) == before
    files.remove("/f")
    files.close(file)
    lib.page_free(frames, 2)
    assert lib.seam_pages_live == pages


def test_a_full_file_system_keeps_what_fits(files: Files) -> None:
    file = files.open("/big", os.O_RDWR | os.O_CREAT)
    piece, written = bytes(range(256)) * 1024, 0
    with pytest.raises(OSError, match="No space"):
        while True:
            written += files.write(file, piece)
    assert files.stat("/big")[2] == written > 3 << 20
    assert files.read(file, 256, written - 256) == bytes(range(256))
    files.remove("/big")
    files.close(file)


@pytest.mark.parametrize("successes", range(12))
def test_no_memory_is_an_error_and_no_leak(files: Files, successes: int) -> None:
    live = files.lib.seam_heap_live
    files.lib.seam_fail_after(successes)
    try:
        files.make("/x", stat.S_IFDIR | 0o755)
    except OSError as e:
        assert e.errno == errno.ENOMEM
    files.lib.seam_fail_after(-1)
    if outcome(files.stat, "/x") != "ENOENT":
        files.remove("/x", True)
    assert files.lib.seam_heap_live == live


def test_open_flags(files: Files) -> None:
    create = os.O_CREAT | os.O_RDWR
    files.close(files.open("/o", create))
    files.make("/ol", stat.S_IFLNK | 0o777, "o")
    files.make("/dangling", stat.S_IFLNK | 0o777, "made")
    assert outcome(files.open, "/o", create | os.O_EXCL) == "EEXIST"
    assert outcome(files.open, "/ol", os.O_NOFOLLOW) == "ELOOP"
    assert outcome(files.open, "/o", os.O_DIRECTORY) == "ENOTDIR"
    assert outcome(files.open, "/", os.O_RDWR) == "EISDIR"
    assert outcome(files.open, "/new/", create) == "EISDIR"
    assert outcome(files.open, "/dangling", create | os.O_EXCL) == "EEXIST"
    files.close(files.open("/dangling", create))
    assert stat.S_ISREG(files.stat("/made")[1])
    file = files.open("/o", os.O_WRONLY | os.O_APPEND)
    files.write(file, b"one")
    files.write(file, b"two", 0)
    assert outcome(files.read, file, 1) == "EBADF"
    files.close(file, files.open("/o", os.O_RDWR | os.O_TRUNC))
    assert files.stat("/o")[2] == 0
    for name in ("/o", "/ol", "/dangling", "/made"):
        files.remove(name)
