# SPDX-License-Identifier: Apache-2.0
"""What a userworld makes the kernel allocate is charged: at the limit each kind is refused, and
what was made on the way is given back."""

import errno
import os
import socket
import stat
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.unit import fs_unit
from tests.unit.fs_unit import Files

STREAM, DGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM


@pytest.fixture(scope="module")
def files() -> Files:
    return Files(fs_unit.build())


@pytest.fixture
def limit(files: Files) -> Iterator[Callable[[bool], None]]:
    def reached(on: bool) -> None:
        files.lib.seam_charge_refused = on

    yield reached
    reached(False)


def create(files: Files, call: str, *arguments: Any) -> Any:
    out = files.ffi.new("struct file **")
    files.check(getattr(files.lib, call)(*arguments, out))
    return out[0]


MAKERS: dict[str, Callable[[Files], Any]] = {
    "open": lambda files: files.open("/there"),
    "pipe": lambda files: files.pipe(),
    "socket": lambda files: files.pair(STREAM),
    "epoll": lambda files: files.epoll(),
    "eventfd": lambda files: create(files, "eventfd_file", 0, False, 0),
    "timerfd": lambda files: create(files, "timerfd_file", False, 0),
    "signalfd": lambda files: create(files, "signalfd_file", 0, 0),
    "file": lambda files: files.make("/fresh", stat.S_IFREG | 0o644),
    "folder": lambda files: files.make("/fresh", stat.S_IFDIR | 0o755),
    "link": lambda files: files.make("/fresh", stat.S_IFLNK | 0o777, "somewhere"),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_nothing_is_made_at_the_limit(
    files: Files, limit: Callable[[bool], None], kind: str
) -> None:
    files.close(files.open("/there", os.O_RDWR | os.O_CREAT))
    live = files.lib.seam_heap_live
    limit(True)
    for _ in range(3):
        with pytest.raises(OSError) as caught:
            MAKERS[kind](files)
        assert caught.value.errno in (errno.ENOMEM, errno.ENOBUFS)
    assert files.lib.seam_heap_live == live
    limit(False)
    files.remove("/there")


@pytest.mark.parametrize("kind", [STREAM, DGRAM])
def test_messages_end_with_enobufs(files: Files, limit: Callable[[bool], None], kind: int) -> None:
    one, two = files.pair(kind)
    assert files.send(one, b"before") == 6
    limit(True)
    live = files.lib.seam_heap_live
    with pytest.raises(OSError) as caught:
        files.send(one, b"x")
    assert caught.value.errno == errno.ENOBUFS
    assert files.lib.seam_heap_live == live
    assert files.recv(two, 10)[0] == b"before"
    limit(False)
    assert files.send(one, b"after") == 5
    files.close(one, two)


def test_registrations_pipes_and_locks(files: Files, limit: Callable[[bool], None]) -> None:
    reader, writer = files.pipe()
    epoll = files.epoll()
    limit(True)
    with pytest.raises(OSError) as caught:
        files.epoll_ctl(epoll, 1, reader, 3, 1)
    assert caught.value.errno == errno.ENOMEM
    with pytest.raises(OSError) as caught:
        files.write(writer, b"x")
    assert caught.value.errno == errno.ENOMEM
    limit(False)
    files.epoll_ctl(epoll, 1, reader, 3, 1)
    assert files.write(writer, b"x") == 1 and files.epoll_wait(epoll) == {3: 1}
    files.close(reader, writer, epoll)


def test_sparse_files_are_charged_for_their_tables(
    files: Files, limit: Callable[[bool], None]
) -> None:
    """One byte at 64 GiB takes a table of 32,768 entries, or fails."""
    file = files.open("/sparse", os.O_RDWR | os.O_CREAT)
    limit(True)
    with pytest.raises(OSError) as caught:
        files.write(file, b"x", 64 << 30)
    assert caught.value.errno in (errno.ENOMEM, errno.ENOSPC)
    limit(False)
    assert files.write(file, b"x", 64 << 30) == 1
    files.close(file)
    files.remove("/sparse")


@pytest.mark.parametrize("kind", [STREAM, DGRAM])
def test_one_byte_counts_as_what_it_takes(files: Files, kind: int) -> None:
    """A send buffer of 208 KiB holds hundreds of one-byte messages, not 212,992."""
    one, two = files.pair(kind)
    sent = 0
    with pytest.raises(BlockingIOError):
        while True:
            sent += files.send(one, b"x")
            assert sent < 10_000
    assert sent > 100
    got = 0
    while got < sent:
        data, _ = files.recv(two, 4096)
        got += len(data)
    with pytest.raises(BlockingIOError):
        files.recv(two, 1)
    assert files.send(one, b"x" * 10_000) == 10_000
    files.close(one, two)
