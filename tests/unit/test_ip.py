# SPDX-License-Identifier: Apache-2.0
"""The host's TCP/IP: two hosts on a wire, one of them against scapy, and malformed frames."""

import contextlib
import errno
import itertools
import random
import re
import socket
import struct
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether

from tests.unit.ip_unit import Host, Socket

IN, OUT, ERR, HUP = 1, 4, 8, 16
A, B = "10.0.0.1", "10.0.0.2"


class Wire:
    """Two hosts; `lose` drops that share of the frames, by a generator of its own."""

    def __init__(self, a: Host, b: Host) -> None:
        self.a, self.b = a, b
        self.lose, self.random, self.longest = 0.0, random.Random(1), 0
        self.steps = self.frames = 0
        self.flying: deque[tuple[Host, bytes]] = deque()
        a.wire = lambda frame: self.flying.append((b, frame))
        b.wire = lambda frame: self.flying.append((a, frame))
        a.pump = b.pump = self.step

    def step(self) -> bool:
        self.steps += 1
        self.a.step()
        self.b.step()
        for _ in range(len(self.flying)):
            host, frame = self.flying.popleft()
            self.longest = max(self.longest, len(frame))
            self.frames += 1
            if self.random.random() >= self.lose:
                host.receive(frame)
        return True

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step()


@pytest.fixture(scope="module")
def hosts() -> tuple[Host, Host]:
    a, b = Host("ip-a"), Host("ip-b")
    a.address(A)
    b.address(B)
    return a, b


@pytest.fixture
def wire(hosts: tuple[Host, Host]) -> Iterator[Wire]:
    wire = Wire(*hosts)
    known = wire.a.socket(kind=socket.SOCK_DGRAM)
    known.send(b"", (B, 7))  # by ARP
    wire.run(5)
    known.close()
    errors = [h.lib.seam_log_count[0] for h in hosts]
    yield wire
    wire.lose = 0.0
    wire.run(200)
    for host, before in zip(hosts, errors, strict=True):
        line = host.ffi.string(host.lib.seam_log_line)
        assert host.lib.seam_log_count[0] == before, line


def pair(wire: Wire, family: int = socket.AF_INET, to: str = B) -> tuple[Socket, Socket]:
    """A connection: the client's and the server's socket."""
    listener = wire.b.socket(family)
    listener.bind("0.0.0.0" if family == socket.AF_INET else "::", 0)
    listener.listen()
    client = wire.a.socket(family)
    client.connect(to, listener.name()[1])
    server = listener.accept()
    listener.close()
    return client, server


def test_siphash_is_as_in_the_paper(hosts: tuple[Host, Host]) -> None:
    key = hosts[0].ffi.new("uint64_t[2]", struct.unpack("<2Q", bytes(range(16))))
    assert hosts[0].lib.siphash(key, bytes(range(15)), 15) == 0xA129CA6149BE45E5


def test_tcp_carries_bytes_both_ways(wire: Wire) -> None:
    client, server = pair(wire)
    assert client.name(peer=True) == server.name() and client.name() == server.name(peer=True)
    assert client.send(b"hello") == 5
    assert server.poll() & IN == 0
    assert server.recv(100) == b"hello"
    assert server.send(b"answer") == 6
    assert client.recv(3) == b"ans" and client.recv(100, 2) == b"wer" and client.recv(9) == b"wer"
    client.close()
    assert server.recv(10) == b"" and server.poll() & IN
    server.close()


@pytest.mark.parametrize("lose", [0.0, 0.05])
def test_a_bulk_transfer_arrives_whole(wire: Wire, lose: float) -> None:
    client, server = pair(wire)
    wire.lose = lose
    data, sent, got = random.Random(2).randbytes(200_000 if lose else 2_000_000), 0, bytearray()
    while len(got) < len(data):
        with contextlib.suppress(BlockingIOError):
            sent += client.send(data[sent : sent + 65536], flags=0x40) if sent < len(data) else 0
        wire.step()
        with contextlib.suppress(BlockingIOError):
            got += server.recv(1 << 20, 0x40)
    assert got == data and wire.longest == 1514  # what Ethernet carries, and no less
    client.close()
    server.close()


def test_the_mtu_of_the_switch_holds_at_once(wire: Wire) -> None:
    """For connections that are open, too: else nothing long would get through any more."""
    before = pair(wire)
    assert wire.a.lib.vswitch_set(b"vSwitch0", 1280) == 0
    try:
        wire.run(2)
        for client, server in (before, pair(wire)):
            wire.longest, got = 0, 0
            assert client.send(bytes(5000)) == 5000
            while got < 5000:
                got += len(server.recv(5000))
            assert 1000 < wire.longest <= 14 + 1280
            client.close()
            server.close()
    finally:
        assert wire.a.lib.vswitch_set(b"vSwitch0", 1500) == 0
        wire.run(2)


def test_ipv6_and_dual_stack(wire: Wire) -> None:
    wire.a.lib.vmknic_add_ipv6(b"vmk0", socket.inet_pton(socket.AF_INET6, "fd00::1"))
    wire.b.lib.vmknic_add_ipv6(b"vmk0", socket.inet_pton(socket.AF_INET6, "fd00::2"))
    wire.run(3000)  # duplicate address detection
    client, server = pair(wire, socket.AF_INET6, "fd00::2")
    client.send(b"six")
    assert server.recv(9) == b"six" and server.name(peer=True)[0] == "fd00::1"
    client.close()
    server.close()
    client, server = pair(wire, socket.AF_INET6, f"::ffff:{B}")
    client.send(b"mapped")
    assert server.recv(9) == b"mapped" and server.name(peer=True)[0] == f"::ffff:{A}"
    client.close()
    server.close()


def test_refusals_have_their_errors(wire: Wire) -> None:
    client = wire.a.socket()
    with pytest.raises(ConnectionRefusedError):
        client.connect(B, 9)
    client.close()
    client = wire.a.socket()
    with pytest.raises(BlockingIOError) as caught:
        client.connect(B, 9, nonblock=True)
    assert caught.value.errno == errno.EINPROGRESS and client.poll() & OUT == 0
    wire.run(20)
    assert client.poll() & (OUT | ERR) == OUT | ERR
    assert wire.a.lib.t_error(client.handle) == errno.ECONNREFUSED
    client.close()
    one, two = wire.a.socket(), wire.a.socket()
    one.bind("0.0.0.0", 4000)
    one.listen()
    with pytest.raises(OSError, match="98"):
        two.bind("0.0.0.0", 4000)
        two.listen()
    with pytest.raises(OSError, match="99"):
        two.bind("10.9.9.9", 0)
    with pytest.raises(BlockingIOError):
        one.accept(nonblock=True)
    one.host.lib.t_linger(one.handle, 0)  # means nothing to a listener
    one.close()
    two.close()
    unconnected = wire.a.socket()
    with pytest.raises(OSError, match="107"):
        unconnected.recv(1)
    unconnected.close()


def test_closing_with_unread_data_resets(wire: Wire) -> None:
    client, server = pair(wire)
    client.send(b"never read")
    wire.run(10)
    server.close()
    wire.run(10)
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert client.recv(1) == b""
    with pytest.raises(BrokenPipeError):
        client.send(b"x")
    client.close()


def test_half_closed_connections_carry_the_other_way(wire: Wire) -> None:
    client, server = pair(wire)
    assert wire.a.lib.t_shutdown(client.handle, 1) == 0
    assert server.recv(1) == b""
    server.send(b"late")
    assert client.recv(9) == b"late"
    with pytest.raises(BrokenPipeError):
        client.send(b"x")
    server.close()
    assert client.recv(1) == b"" and client.poll() & HUP
    wire.run(40_000)  # its control block has gone, the socket has not
    assert client.name()[0] == A
    client.close()


def test_loopback(wire: Wire) -> None:
    listener, client = wire.a.socket(), wire.a.socket()
    listener.bind("127.0.0.1", 0)
    listener.listen()
    client.connect(*listener.name())
    server = listener.accept()
    data = bytes(range(256)) * 1000
    sent = client.send(data)
    got = b""
    while len(got) < sent:
        got += server.recv(65536)
    assert got == data[:sent] and client.name()[0] == "127.0.0.1"
    server.send(b"at once")
    assert client.recv(9, 0x40) == b"at once"
    datagrams = [wire.a.socket(kind=socket.SOCK_DGRAM) for _ in range(2)]
    datagrams[0].bind("127.0.0.1", 0)
    datagrams[1].send(b"too", datagrams[0].name())
    assert datagrams[0].recv(9, 0x40) == b"too"
    to_self, other = wire.a.socket(), wire.a.socket()
    other.bind(A, 0)
    other.listen()
    to_self.connect(*other.name())
    assert to_self.name()[0] == A
    accepted = other.accept()
    accepted.send(b"never read")
    to_self.close()
    with pytest.raises(OSError, match="107"):  # reset at once
        accepted.name(peer=True)
    for each in (listener, client, server, accepted, other, *datagrams):
        each.close()


def test_udp(wire: Wire) -> None:
    server, client = (host.socket(kind=socket.SOCK_DGRAM) for host in (wire.b, wire.a))
    server.bind("0.0.0.0", 0)
    port = server.name()[1]
    assert client.send(b"one", (B, port)) == 3
    assert server.recvfrom(100) == (b"one", (A, client.name()[1]))
    client.connect(B, port)
    assert client.name()[0] == A
    client.send(b"x" * 5000)  # fragments
    data, source = server.recvfrom(9000)
    assert data == b"x" * 5000
    server.send(b"cut short", source)
    assert client.recv(3) == b"cut"
    with pytest.raises(BlockingIOError):
        client.recv(1, 0x40)
    with pytest.raises(OSError, match="90"):
        client.send(bytes(65508))
    server.close()
    client.close()


@pytest.mark.parametrize("address", [B, "127.0.0.1", "::1"])
def test_a_closed_port_refuses_connected_datagrams(wire: Wire, address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    client, other = (wire.a.socket(family, socket.SOCK_DGRAM) for _ in range(2))
    other.send(b"lost", (address, 7))
    client.connect(address, 7)
    assert client.send(b"lost") == 4
    with pytest.raises(ConnectionRefusedError):
        client.recv(9)
    with pytest.raises(BlockingIOError):
        client.recv(9, 0x40)
    client.send(b"lost")
    wire.run(10)
    assert client.poll() & ERR
    with pytest.raises(ConnectionRefusedError):
        client.send(b"told")
    assert client.poll() == other.poll() == OUT
    client.close()
    other.close()


def test_a_damaged_refusal_is_none(wire: Wire) -> None:
    client = wire.a.socket(kind=socket.SOCK_DGRAM)
    client.connect(B, 7)
    for damage, told in ((1, 0), (0, ERR)):
        wire.b.wire = (
            lambda frame, bit=damage: wire.flying.append(  # type: ignore[misc]
                (wire.a, frame[:-1] + bytes([frame[-1] ^ bit]))
            )
        )
        client.send(b"lost")
        wire.run(10)
        assert client.poll() & ERR == told
    client.close()


def test_udp_lite_keeps_apart_from_udp(wire: Wire) -> None:
    server, client = (host.socket(kind=socket.SOCK_DGRAM, proto=136) for host in (wire.b, wire.a))
    server.bind("0.0.0.0", 0)
    client.send(b"light", (B, server.name()[1]))
    assert [IP(frame[14:]).proto for _, frame in wire.flying] == [136]
    assert server.recvfrom(9) == (b"light", (A, client.name()[1]))
    plain = wire.a.socket(kind=socket.SOCK_DGRAM)
    plain.send(b"heavy", (B, server.name()[1]))
    wire.run(10)
    assert not server.poll() & IN
    for each in (server, client, plain):
        each.close()


HOPS, CLASS = (socket.IPPROTO_IPV6, 52), (socket.IPPROTO_IPV6, 67)


@pytest.mark.parametrize("proto", [17, 136])
def test_control_messages_of_ipv6(wire: Wire, proto: int) -> None:
    server, client = (wire.a.socket(socket.AF_INET6, socket.SOCK_DGRAM, proto) for _ in range(2))
    server.bind("::1", 0)
    server.option(socket.IPPROTO_IPV6, 51, 1)
    server.option(socket.IPPROTO_IPV6, 66, 1)
    one, two = struct.pack("i", 1), struct.pack("i", 2)
    client.send_control(server.name(), (*HOPS, two), (*CLASS, one))
    assert server.recv_control(1000) == ({HOPS: two, CLASS: one}, 0)
    client.send(b"x", server.name())  # the options of the socket are as before
    assert server.recv_control(48) == ({HOPS: struct.pack("i", 64), CLASS: bytes(4)}, 0)
    for room, want in (
        (0, {}), (15, {}), (16, {HOPS: b""}), (19, {HOPS: two[:3]}), (20, {HOPS: two}),
        (24 + 15, {HOPS: two}), (24 + 19, {HOPS: two, CLASS: one[:3]}),
    ):  # fmt: skip
        client.send_control(server.name(), (*HOPS, two), (*CLASS, one))
        assert server.recv_control(room) == (want, 8), room  # MSG_CTRUNC
    for bad in ((*HOPS, two + b"x"), (*HOPS, struct.pack("i", 256)), (41, 2, two)):
        with pytest.raises(OSError, match="22"):
            client.send_control(server.name(), bad)
    server.close()
    client.close()


def test_socket_buffers_bound_what_is_under_way(wire: Wire) -> None:
    listener, client = wire.b.socket(), wire.a.socket()
    listener.bind("0.0.0.0", 0)
    listener.option(1, 8, 8192)
    listener.listen()
    client.option(1, 7, 8192)
    client.connect(B, listener.name()[1])
    server = listener.accept()
    data, sent, got = random.Random(3).randbytes(400_000), 0, bytearray()
    for _ in range(300):
        with contextlib.suppress(BlockingIOError):
            sent += client.send(data[sent:], flags=0x40)
        wire.step()
    assert 65535 <= sent <= 65535 + 8192 and not client.poll() & OUT
    while len(got) < len(data):
        with contextlib.suppress(BlockingIOError):
            got += server.recv(1 << 20, 0x40)
        with contextlib.suppress(BlockingIOError):
            sent += client.send(data[sent:], flags=0x40)
        wire.step()
    assert got == data
    server.close()
    assert client.recv(9) == b""  # all was read: no reset
    client.close()
    listener.close()


def test_acknowledgements_wait_for_an_answer_only(wire: Wire) -> None:
    client, server = pair(wire)
    start = wire.steps
    for _ in range(10):  # Nagle's algorithm holds each until the one before is acknowledged
        client.send(b"news")
        assert server.recv(9) == b"news"
    assert wire.steps - start < 100  # ms
    for number in range(5):
        before = wire.frames
        client.send(b"question")
        assert server.recv(9) == b"question"
        server.send(b"answer")
        assert client.recv(9) == b"answer"
        assert number == 0 or wire.frames - before == 2
    client.close()
    server.close()


def test_ping_through_a_raw_socket(wire: Wire) -> None:
    raw = wire.a.socket(kind=socket.SOCK_RAW, proto=1)
    raw.send(bytes(ICMP(id=5, seq=1) / b"payload"), (B, 0))
    while (packet := IP(raw.recv(2000)))[ICMP].type != 0:
        pass
    assert packet.src == B and bytes(packet[ICMP].payload) == b"payload" and packet[ICMP].id == 5
    raw.close()


def test_netlink_lists_interfaces(wire: Wire) -> None:
    netlink = wire.a.socket(16, 3, 0)
    for request, answer in ((18, 16), (22, 20), (26, 24)):
        wire.a.lib.t_send(
            netlink.handle, struct.pack("=IHHIIB3x", 20, request, 0x301, 9, 0, 0), 20, 0, b"", 0
        )
        buffer, address = wire.a.ffi.new("char[]", 8192), wire.a.ffi.new("char[28]")
        n = wire.a.lib.t_recv(netlink.handle, buffer, 8192, 0, address)
        data, kinds = bytes(wire.a.ffi.buffer(buffer, n)), []
        while data:
            length, kind, _, seq, _ = struct.unpack_from("=IHHII", data)
            assert seq == 9
            kinds.append(kind)
            data = data[length:]
        assert kinds[-1] == 3 and set(kinds[:-1]) <= {answer}
        assert request == 26 or len(kinds) >= 3
    netlink.close()


def test_a_full_netlink_buffer_refuses_and_stays_readable(wire: Wire) -> None:
    """Requests without a reader: in the end ENOBUFS; what can be read is whole messages."""
    for request, kind in ((18, 16), (22, 20), (99, 2)):
        netlink = wire.a.socket(16, 3, 0)
        ask = struct.pack("=IHHIIB3x", 20, request, 0x301, 9, 0, 0)
        sent = 0
        while (n := wire.a.lib.t_send(netlink.handle, ask, 20, 0, b"", 0)) == 20:
            sent += 1
            assert sent < 1000
        assert n == -errno.ENOBUFS
        buffer, address = wire.a.ffi.new("char[]", 65536), wire.a.ffi.new("char[28]")
        n = wire.a.lib.t_recv(netlink.handle, buffer, 65536, 0, address)
        data, ends = bytes(wire.a.ffi.buffer(buffer, n)), 0
        while data:
            length, got = struct.unpack_from("=IH", data)
            assert length >= 16 and got in (kind, 3)
            ends += got == (3 if kind != 2 else 2)
            data = data[length:]
        assert ends == sent
        assert wire.a.lib.t_send(netlink.handle, ask, 20, 0, b"", 0) == 20
        netlink.close()


@pytest.mark.parametrize("size", [0, 1, 3, 4])
def test_icmpv6_has_a_place_for_its_checksum(wire: Wire, size: int) -> None:
    raw = wire.a.socket(socket.AF_INET6, socket.SOCK_RAW, 58)
    if size < 4:
        with pytest.raises(OSError) as caught:
            raw.send(bytes(size), ("::1", 0))
        assert caught.value.errno == errno.EINVAL
    else:
        assert raw.send(bytes(size), ("::1", 0)) == size
    raw.close()


def test_what_lwip_asserts_in_a_call_ends_the_call(wire: Wire) -> None:
    """tcp_output of a control block that is a listener's: the assertion does not return to it."""
    listener, client = wire.b.socket(), wire.a.socket()
    listener.bind(B, 7777)
    listener.listen()
    client.connect(B, 7777)
    server = listener.accept()
    lib = wire.a.lib
    state = lib.t_state(client.handle, 1)
    with contextlib.suppress(OSError):
        client.send(b"lost")
    assert lib.t_state(client.handle, state) == 1
    line = wire.a.ffi.string(lib.seam_log_line).decode()
    assert "listen-pcbs" in line and line.endswith(": dropped")
    lib.seam_log_count[0] -= 1  # that one was meant
    client.send(b"sent")
    assert server.recv(9) == b"sent"
    for one in (client, server, listener):
        one.close()


def test_lwip_is_called_through_its_guards() -> None:
    folder = Path(__file__).parents[2] / "vmkernel"
    rows = re.findall(
        r"^GUARDED(?:_VOID)?\d\((?:(?:err_t|struct \w+ \*), )?(\w+),",
        (folder / "ip/guard.c").read_text(),
        re.MULTILINE,
    )
    assert len(rows) > 35 and "tcp_write" in rows and "udp_sendto" in rows
    call = re.compile(rf"(?<!\w)(?:{'|'.join(rows)})\(")
    # The loopback is set up before there is anybody to call.
    for path in [*folder.glob("ip/*.c"), folder / "ctl/ops_ip.c"]:
        if path.name not in ("guard.c", "loop.c"):
            code = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
            assert call.findall(code) == [], path.name


def test_proc_files_have_linux_shapes(wire: Wire) -> None:
    listener = wire.a.socket()
    listener.bind("0.0.0.0", 8080)
    listener.listen()
    assert "00000000:1F90 00000000:0000 0A" in wire.a.proc("net/tcp")
    assert "vmk0:" in wire.a.proc("net/dev") and "vmk0\t0000000A" in wire.a.proc("net/route")
    listener.close()


def test_static_routes_go_to_their_gateway(wire: Wire) -> None:
    dest, gateway = socket.inet_aton("192.168.7.0"), socket.inet_aton(B)
    assert wire.a.lib.ip_route_add(False, dest, 24, socket.inet_aton("10.1.1.1")) == -101
    assert wire.a.lib.ip_route_add(False, dest, 24, gateway) == 0
    assert wire.a.lib.ip_route_add(False, dest, 24, gateway) == -17
    seen: list[bytes] = []
    wire.a.wire = seen.append
    out = wire.a.socket(kind=socket.SOCK_DGRAM)
    out.send(b"x", ("192.168.7.9", 5))
    assert any(IP in Ether(f) and Ether(f)[IP].dst == "192.168.7.9" for f in seen)
    assert wire.a.lib.ip_route_remove(False, dest, 24, gateway) == 0
    out.close()


def test_initial_sequence_numbers_and_ports_are_not_to_be_guessed(wire: Wire) -> None:
    seen: list[bytes] = []
    wire.a.wire = seen.append
    clients = [wire.a.socket() for _ in range(20)]
    for client in clients:
        with pytest.raises(BlockingIOError):
            client.connect(B, 80, nonblock=True)
        client.close()
    syns = [Ether(f)[TCP] for f in seen if TCP in Ether(f) and Ether(f)[TCP].flags == "S"]
    assert len({s.sport for s in syns}) >= 18
    steps = {(b.seq - a.seq) % 2**32 for a, b in itertools.pairwise(syns)}
    assert len(steps) == len(syns) - 1


def mangle(data: bytes, changes: list[tuple[int, int]], cut: int) -> bytes:
    out = bytearray(data)
    for at, value in changes:
        out[at % len(out)] = value
    return bytes(out[: len(out) - cut % len(out)])


CHANGES = st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=4)
SHAPES = st.sampled_from(["tcp", "syn", "udp", "icmp", "arp", "v6", "options"])


@settings(max_examples=500, deadline=None)
@given(SHAPES, CHANGES, st.integers(0, 40), st.binary(max_size=80))
def test_malformed_frames_harm_nobody(
    hosts: tuple[Host, Host], shape: str, changes: list[tuple[int, int]], cut: int, payload: bytes
) -> None:
    host = hosts[0]
    host.wire = lambda _frame: None
    eth = Ether(
        dst=host.mac,
        src="02:00:00:00:00:01",
    )
    ip = IP(src=B, dst=A)
    options = IP(src=B, dst=A, options=b"\x07\x27\x08" + b"\0" * 36)
    frame = {
        "tcp": eth
        / ip
        / TCP(sport=1, dport=80, flags="PA", options=[("MSS", 1), ("WScale", 9)])
        / payload,
        "syn": eth / ip / TCP(sport=1, dport=80, flags="S", options=[("SAckOK", b"")]) / payload,
        "udp": eth / ip / UDP(sport=1, dport=53) / payload,
        "icmp": eth / ip / ICMP() / payload,
        "arp": eth / ARP(op=1, psrc=B, pdst=A) / payload,
        "v6": eth / bytes([0x60, 0, 0, 0, 0, len(payload), 58, 255]) / bytes(32) / payload,
        "options": eth / options / UDP(sport=1, dport=53) / payload,
    }[shape]
    if shape == "v6":
        frame.type = 0x86DD
    host.receive(mangle(bytes(frame), changes, cut))
    host.step()
