# SPDX-License-Identifier: Apache-2.0
"""Pipes, AF_UNIX sockets and epoll against models in Python."""

import errno
import os
import select
import socket
import threading
from collections import deque
from itertools import pairwise
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


def test_two_threads_bind_one_socket(files: Files) -> None:
    """The second comes while the first makes its node; one of them gives the socket its name."""
    live = files.lib.seam_heap_live
    out = files.ffi.new("struct file **")
    results = []
    for first, second in ((b"/one\0", b"/two\0"), (b"/one\0", b"\0two")):
        files.check(files.lib.test_socket(socket.SOCK_DGRAM, out))
        one = out[0]

        def bind(one: Any = one, second: bytes = second) -> None:
            results.append(files.lib.test_bind(one, second, len(second), -1))

        meanwhile = files.ffi.callback("void(void)", bind)
        files.lib.test_meanwhile = meanwhile
        results.append(files.lib.test_bind(one, first, len(first), -1))
        files.close(one)
        # No name leads to the socket that is gone.
        files.check(files.lib.test_socket(socket.SOCK_DGRAM, out))
        for name in (first, second):
            assert files.lib.test_connect(out[0], name, len(name)) in (
                -errno.ECONNREFUSED,
                -errno.ENOENT,
            )
        files.close(out[0])
        files.remove("/one")
    assert results == [-errno.EINVAL, 0] * 2
    assert files.lib.seam_heap_live == live


def test_two_threads_connect_one_socket(files: Files) -> None:
    """The second comes while the first waits for room in the listener's backlog."""
    live = files.lib.seam_heap_live
    out = files.ffi.new("struct file **")
    name = b"\0busy"

    def new() -> Any:
        files.check(files.lib.test_socket(socket.SOCK_STREAM, out))
        return out[0]

    listener, one = new(), new()
    files.check(files.lib.test_bind(listener, name, len(name), 1))
    others = [new(), new()]
    for other in others:
        files.check(files.lib.test_connect(other, name, len(name)))
    accepted, results = [], []

    def accept_all(_: int) -> bool:
        for _ in others:
            files.check(files.lib.test_accept(listener, out))
            accepted.append(out[0])
        results.append(files.lib.test_connect(one, name, len(name)))
        return True

    asleep = files.ffi.callback("bool(uint64_t)", accept_all)
    files.lib.seam_sleep = asleep
    results.append(files.lib.test_connect_wait(one, name, len(name)))
    files.lib.seam_sleep = files.ffi.NULL
    assert results == [-errno.EALREADY, 0]
    files.close(listener, one, *others, *accepted)
    assert files.lib.seam_heap_live == live


def test_an_end_that_came_in_a_message_is_closed_by_its_peer(files: Files) -> None:
    """The reader has no room for the file, which is the reader's own peer."""
    live = files.lib.seam_heap_live
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        one, two = files.pair(kind)
        files.send(one, b"my end", one)
        files.close(one)
        buffer = files.ffi.new("char[]", 9)
        assert files.lib.test_recv_bare(two, buffer, 9) == 6
        if kind != socket.SOCK_DGRAM:
            assert files.recv(two, 9) == (b"", None)
        files.close(two)
        assert files.lib.seam_heap_live == live


def test_sockets_that_carry_sockets_are_released_without_recursion(files: Files) -> None:
    """Thousands of sockets, each in the queue of the next, closed on a small stack."""
    live = files.lib.seam_heap_live
    last, _ = files.pipe()
    files.close(_)
    for _ in range(3000):
        one, two = files.pair(socket.SOCK_STREAM)
        files.send(one, b"x", last)
        files.close(last, one)
        last = two
    before = threading.stack_size(512 << 10)
    closer = threading.Thread(target=files.close, args=(last,))
    closer.start()
    threading.stack_size(before)
    closer.join()
    assert files.lib.seam_heap_live == live


@pytest.mark.parametrize("length", [1, 2, 5])
def test_rings_of_sockets_in_flight_are_collected(files: Files, length: int) -> None:
    live = files.lib.seam_heap_live
    pairs = [files.pair(socket.SOCK_STREAM) for _ in range(length)]
    for n, (one, _) in enumerate(pairs):
        files.send(one, b"x", pairs[(n + 1) % length][1])
    for one, two in pairs[1:]:
        files.close(one, two)
    # The first one is open: through it all can still be received, one after the other.
    held = pairs[0][1]
    for _ in range(3):
        data, came = files.recv(held, 1)
        assert data == b"x" and came is not None
        files.send(pairs[0][0], b"x", came)
        files.close(came)
    files.close(*pairs[0])
    files.close(*files.pair(socket.SOCK_STREAM))  # a release is what collects
    assert files.lib.seam_heap_live == live


def test_a_ring_through_a_connection_that_nobody_accepts_is_collected(files: Files) -> None:
    live = files.lib.seam_heap_live
    out = files.ffi.new("struct file **")
    name = b"\0ring"
    files.check(files.lib.test_socket(socket.SOCK_STREAM, out))
    listener = out[0]
    files.check(files.lib.test_bind(listener, name, len(name), 4))
    files.check(files.lib.test_socket(socket.SOCK_STREAM, out))
    client = out[0]
    files.check(files.lib.test_connect(client, name, len(name)))
    files.send(client, b"the listener itself", listener)
    files.close(listener)
    files.check(files.lib.test_socket(socket.SOCK_STREAM, out))
    files.check(files.lib.test_connect(out[0], name, len(name)))  # it is alive, by its name
    files.close(out[0], client)
    files.close(*files.pair(socket.SOCK_STREAM))
    assert files.lib.seam_heap_live == live


def test_files_in_flight_are_bounded(files: Files) -> None:
    """What is garbage does not count in the end: it is collected when it stands in the way."""
    live = files.lib.seam_heap_live
    reader, writer = files.pipe()
    pairs = [files.pair(socket.SOCK_STREAM) for _ in range(8)]
    for one, _ in pairs:
        for _ in range(512):
            assert files.send(one, b"x", reader) == 1
    one, two = files.pair(socket.SOCK_STREAM)
    assert failing(files.send, one, b"x", reader) == "ETOOMANYREFS"
    assert files.recv(pairs[0][1], 1)[1] == reader
    files.close(reader)
    files.send(one, b"x", reader)
    files.close(one, two, *(end for pair in pairs for end in pair))
    rings = [files.pair(socket.SOCK_DGRAM) for _ in range(8)]
    for one, two in rings:
        for _ in range(512):
            files.send(one, b"x", two)
    one, two = files.pair(socket.SOCK_STREAM)
    assert failing(files.send, one, b"x", reader) == "ETOOMANYREFS"
    # In their own queues alone: nothing was released, so nothing is collected before it must.
    files.close(*(ring[1] for ring in rings))
    files.send(one, b"x", reader)
    files.close(reader, writer, one, two, *(ring[0] for ring in rings))
    assert files.lib.seam_heap_live == live


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_short_messages_are_charged_with_what_they_take(files: Files, kind: int) -> None:
    live = files.lib.seam_heap_live
    one, two = files.pair(kind)
    sent = 0
    while sent < 2000:
        try:
            files.send(one, b"x")
        except BlockingIOError:
            break
        sent += 1
    # The memory that a message takes is charged: some 190 bytes for one of one byte.
    assert 500 < sent < 1500
    for _ in range(sent if kind != socket.SOCK_STREAM else 1):
        files.recv(two, sent)
    assert files.send(one, bytes(20000)) == 20000
    files.close(one, two)
    assert files.lib.seam_heap_live == live


GRAPH_MOVE = st.one_of(
    st.tuples(st.just("send"), st.integers(0, 5), st.integers(0, 11)),
    st.tuples(st.just("recv"), st.integers(0, 5), st.integers(0, 1)),
    st.tuples(st.just("close"), st.integers(0, 11), st.just(0)),
)


@given(moves=st.lists(GRAPH_MOVE, max_size=40))
def test_files_live_as_long_as_they_can_be_reached(
    files: Files, moves: list[tuple[str, int, int]]
) -> None:
    """Six pairs of streams pass their ends to each other; a model tells which files exist."""
    live, start = files.lib.seam_heap_live, files.lib.test_files_open()
    ends = [end for _ in range(6) for end in files.pair(socket.SOCK_STREAM)]
    opened = [1] * 12  # descriptors of each end
    queues: list[deque[int]] = [deque() for _ in ends]

    def reachable() -> set[int]:
        found, todo = set[int](), [n for n in range(12) if opened[n]]
        while todo:
            if (n := todo.pop()) not in found:
                found.add(n)
                todo += queues[n]
        return found

    for move, a, b in moves:
        one, two = 2 * a, 2 * a + 1
        if move == "send" and opened[one] and opened[b] and two in reachable():
            files.send(ends[one], b"x", ends[b])
            queues[two].append(b)
        elif move == "recv" and opened[one + b] and queues[one + b]:
            got = files.recv(ends[one + b], 1)[1]
            n = queues[one + b].popleft()
            assert got == ends[n]
            opened[n] += 1
        elif move == "close" and opened[a]:
            opened[a] -= 1
            files.close(ends[a])
            there = reachable()
            for n in range(12):
                if n not in there:
                    queues[n].clear()
            files.close(*files.pair(socket.SOCK_STREAM))  # a release is what collects
            assert files.lib.test_files_open() == start + len(there)
    for n, count in enumerate(opened):
        files.close(*[ends[n]] * count)
    files.close(*files.pair(socket.SOCK_STREAM))
    assert (files.lib.seam_heap_live, files.lib.test_files_open()) == (live, start)


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


@pytest.mark.parametrize("outermost_first", [True, False])
def test_chains_of_epoll_sets_are_bounded_from_both_ends(
    files: Files, outermost_first: bool
) -> None:
    live = files.lib.seam_heap_live
    sets, (reader, writer) = [files.epoll() for _ in range(300)], files.pipe()
    links = list(range(299)) if outermost_first else list(range(298, -1, -1))
    made = set()
    for n in links:
        try:
            files.epoll_ctl(sets[n], ADD, sets[n + 1], 1, select.EPOLLIN)
            made.add(n)
        except OSError as error:
            assert error.errno == errno.ELOOP
    longest = run = 0
    for n in range(299):
        run = run + 1 if n in made else 0
        longest = max(longest, run)
    assert longest == 4
    # An event at the inner end of a chain is seen at its outer one.
    outer = next(n for n in range(295) if {n, n + 1, n + 2, n + 3} <= made)
    files.epoll_ctl(sets[outer + 4], ADD, reader, 2, select.EPOLLIN)
    assert files.epoll_wait(sets[outer]) == {}
    files.write(writer, b"x")
    assert files.epoll_wait(sets[outer]) == {1: select.EPOLLIN}
    files.close(reader, writer, *sets)
    assert files.lib.seam_heap_live == live


def test_a_set_with_many_paths_is_looked_at_once(files: Files) -> None:
    """Four layers of sets, each of which watches all of the next under many keys."""
    live = files.lib.seam_heap_live
    layers = [[files.epoll() for _ in range(12)] for _ in range(4)]
    for upper, lower in pairwise(layers):
        for outer in upper:
            for inner in lower:
                for key in range(12):
                    files.epoll_ctl(outer, ADD, inner, key, select.EPOLLIN)
    top = files.epoll()
    for outer in layers[0]:
        files.epoll_ctl(top, ADD, outer, 1, select.EPOLLIN)
    assert failing(files.epoll_ctl, layers[3][0], ADD, top, 1, select.EPOLLIN) == "ELOOP"
    files.close(top, *(one for layer in layers for one in layer))
    assert files.lib.seam_heap_live == live
