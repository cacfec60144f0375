# SPDX-License-Identifier: Apache-2.0
"""Pipes, AF_UNIX sockets and epoll against models in Python."""

import errno
import os
import select
import socket
from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit import fs_unit
from tests.unit.fs_unit import Files

ADD, DEL, MOD = 1, 2, 3
ONESHOT = 1 << 30


@pytest.fixture(scope="module")
def files() -> Files:
    return Files(fs_unit.build())


def failing(action: Any, *arguments: Any) -> str:
    with pytest.raises(OSError) as caught:
        action(*arguments)
    return errno.errorcode[caught.value.errno or 0]


MOVE = st.one_of(
    st.tuples(st.just("write"), st.integers(1, 20000)),
    st.tuples(st.just("read"), st.integers(1, 20000)),
    st.tuples(st.just("resize"), st.sampled_from([4096, 8192, 65536])),
)


@given(moves=st.lists(MOVE, max_size=30))
def test_a_pipe_is_a_bounded_queue_of_bytes(files: Files, moves: list[tuple[str, int]]) -> None:
    live, size = files.lib.seam_heap_live, 65536
    reader, writer = files.pipe()
    queue, counter = bytearray(), 0
    for kind, n in moves:
        room = size - len(queue)
        if kind == "write":
            data = bytes((counter + i) & 0xFF for i in range(n))
            fits = n if n <= room else (0 if n <= select.PIPE_BUF else room)
            if fits:
                assert files.write(writer, data) == fits
            else:
                assert failing(files.write, writer, data) == "EAGAIN"
            queue += data[:fits]
            counter += fits
        elif kind == "read" and queue:
            got = files.read(reader, n)
            assert got == queue[:n]
            del queue[: len(got)]
        elif kind == "read":
            assert failing(files.read, reader, n) == "EAGAIN"
        elif len(queue) <= n:
            size = files.check(files.lib.pipe_size(writer, n))
            assert size == n
        else:
            assert failing(files.check, files.lib.pipe_size(writer, n)) == "EBUSY"
        assert bool(files.lib.test_poll(reader) & select.POLLIN) == bool(queue)
        assert bool(files.lib.test_poll(writer) & select.POLLOUT) == (
            size - len(queue) >= select.PIPE_BUF
        )
    files.close(writer)
    while queue:
        del queue[: len(files.read(reader, 9999))]
    assert files.read(reader, 1) == b"" and files.lib.test_poll(reader) & select.POLLHUP
    files.close(reader)
    assert files.lib.seam_heap_live == live


def test_a_pipe_without_readers(files: Files) -> None:
    reader, writer = files.pipe()
    files.close(reader)
    assert failing(files.write, writer, b"x") == "EPIPE"
    assert files.lib.test_poll(writer) & select.POLLERR
    files.close(writer)


def test_fifos(files: Files) -> None:
    files.make("/fifo", 0o010600)
    assert failing(files.open, "/fifo", os.O_WRONLY) == "ENXIO"
    reader = files.open("/fifo")
    writer = files.open("/fifo", os.O_WRONLY)
    files.write(writer, b"through")
    files.close(writer)
    assert files.read(reader, 99) == b"through" and files.read(reader, 99) == b""
    files.close(reader)
    files.remove("/fifo")


SEND = st.tuples(st.just("send"), st.integers(0, 1), st.binary(min_size=1, max_size=3000))
PASS = st.tuples(st.just("pass"), st.integers(0, 1), st.binary(min_size=1, max_size=30))
RECV = st.tuples(st.just("recv"), st.integers(0, 1), st.integers(1, 5000))


@given(kind=st.sampled_from([1, 2, 5]), moves=st.lists(st.one_of(SEND, PASS, RECV), max_size=30))
def test_socket_pairs(files: Files, kind: int, moves: list[Any]) -> None:
    """Streams join what comes without files; messages keep their bounds; files arrive in order."""
    live = files.lib.seam_heap_live
    ends = files.pair(kind)
    queues: tuple[deque[Any], ...] = (deque(), deque())  # towards each end: [bytes, has a file]
    for move, side, what in moves:
        queue = queues[side if move == "recv" else 1 - side]
        if move != "recv":
            passed = files.pipe() if move == "pass" else None
            assert files.send(ends[side], what, passed and passed[0]) == len(what)
            files.close(*(passed or ()))
            queue.append([what, move == "pass"])
        elif not queue:
            assert failing(files.recv, ends[side], what) == "EAGAIN"
        else:
            data, has_file = queue.popleft()
            while kind == socket.SOCK_STREAM and len(data) < what and queue and not queue[0][1]:
                data += queue.popleft()[0]
            if kind == socket.SOCK_STREAM and len(data) > what:
                queue.appendleft([data[what:], False])
            got, came = files.recv(ends[side], what)
            assert got == data[:what] and (came is not None) == has_file
            if came:
                files.close(came)
    files.close(ends[0])
    if kind != socket.SOCK_DGRAM:
        assert failing(files.send, ends[1], b"x") == "EPIPE"
    files.close(ends[1])
    assert files.lib.seam_heap_live == live  # files that were never received are closed too


@pytest.mark.parametrize("name", [b"/sock\0", b"\0abstract"])
def test_connections(files: Files, name: bytes) -> None:
    live = files.lib.seam_heap_live
    out = files.ffi.new("struct file **")

    def new(kind: int = socket.SOCK_STREAM) -> Any:
        files.check(files.lib.test_socket(kind, out))
        return out[0]

    def connect(file: Any) -> int:
        return files.check(files.lib.test_connect(file, name, len(name)))

    listener, clients = new(), [new() for _ in range(4)]
    files.check(files.lib.test_bind(listener, name, len(name), 1))
    other = new()
    assert failing(files.check, files.lib.test_bind(other, name, len(name), 1)) == "EADDRINUSE"
    for client in clients[:2]:
        connect(client)
    assert failing(connect, clients[2]) == "EAGAIN"
    files.check(files.lib.test_accept(listener, out))
    server = out[0]
    files.send(clients[0], b"question")
    assert files.recv(server, 99)[0] == b"question"
    files.send(server, b"answer")
    files.lib.test_shutdown(server, socket.SHUT_WR)
    assert files.recv(clients[0], 99)[0] == b"answer"
    assert files.recv(clients[0], 99)[0] == b""
    files.close(listener)
    assert failing(files.send, clients[1], b"nobody took this connection") == "EPIPE"
    assert failing(connect, clients[3]) == "ECONNREFUSED"
    files.close(server, other, *clients)
    if name[0]:
        files.remove("/sock")
    assert files.lib.seam_heap_live == live


EPOLL_MOVE = st.one_of(
    st.tuples(
        st.just("ctl"),
        st.sampled_from([ADD, MOD, DEL]),
        st.integers(0, 3),
        st.sampled_from(
            [select.EPOLLIN, select.EPOLLIN | select.EPOLLET, select.EPOLLIN | ONESHOT]
        ),
    ),
    st.tuples(st.just("write"), st.integers(0, 3)),
    st.tuples(st.just("read"), st.integers(0, 3)),
    st.tuples(st.just("wait"), st.booleans()),
)


@given(moves=st.lists(EPOLL_MOVE, max_size=40))
def test_epoll(files: Files, moves: list[Any]) -> None:
    """Level, edge and one-shot against a model; a set within a set shows the same."""
    live = files.lib.seam_heap_live
    pipes = [files.pipe() for _ in range(4)]
    inner, outer = files.epoll(), files.epoll()
    files.epoll_ctl(outer, ADD, inner, 9, select.EPOLLIN)
    fill = [0, 0, 0, 0]
    watched: dict[int, list[Any]] = {}  # pipe -> [events, an edge has come]
    for move, *rest in moves:
        match move, rest:
            case "ctl", (op, n, events):
                if (op == ADD) == (n in watched):
                    expected = "EEXIST" if op == ADD else "ENOENT"
                    assert failing(files.epoll_ctl, inner, op, pipes[n][0], n, events) == expected
                    continue
                files.epoll_ctl(inner, op, pipes[n][0], n, events)
                if op == DEL:
                    del watched[n]
                else:
                    watched[n] = [events, True]
            case "write", (n,):
                files.write(pipes[n][1], b"x")
                fill[n] += 1
                if n in watched:
                    watched[n][1] = True
            case "read", (n,):
                if fill[n]:
                    files.read(pipes[n][0], 99)
                    fill[n] = 0
                    if n in watched:
                        watched[n][1] = True  # a change, though nothing to read
            case "wait", (nested,):
                ready = {
                    n
                    for n, (events, edge) in watched.items()
                    if fill[n] and events and (edge or not events & select.EPOLLET)
                }
                if nested:
                    assert set(files.epoll_wait(outer)) == ({9} if ready else set())
                    continue
                assert files.epoll_wait(inner) == dict.fromkeys(ready, select.EPOLLIN)
                for n, state in watched.items():
                    state[1] = False
                    if n in ready and state[0] & ONESHOT:
                        state[0] = 0
    assert failing(files.epoll_ctl, inner, ADD, outer, 1, select.EPOLLIN) == "ELOOP"
    files.close(*(end for pipe in pipes for end in pipe))
    assert files.epoll_wait(inner) == {}
    files.close(inner, outer)
    assert files.lib.seam_heap_live == live
