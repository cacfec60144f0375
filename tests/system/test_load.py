# SPDX-License-Identifier: Apache-2.0
"""The booted host under load: many connections, malformed frames, hostd killed again and again."""

import http.client
import itertools
import json
import os
import random
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6ND_NA, ICMPv6ND_RA, IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw, fuzz

from tests.system.console import SCALE
from tests.system.machine import Machine
from tests.system.peer import Peer
from tests.system.shell import Shell
from tests.system.test_remote import PASSWORD, Workstation, host

Boot = Callable[..., Machine]
IDLE, BUSY, SHORT = 200, 50, 5000
FRAMES = 1_000_000 if os.environ.get("TEPUI_SOAK") else 100_000
BATCH, SEEDS, KILLS, WRITERS = 1000, 2000, 20, 4
ANSWERS_WITHIN = 2  # seconds, at the console
SLACK = 2048  # KiB
MAC, US, HOST = "52:54:00:aa:00:02", "10.7.0.1", "10.7.0.2"
VERSION = "/api/commands/system/version/get"


def context() -> ssl.SSLContext:
    made = ssl.create_default_context()
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    return made


class Api:
    """A connection to hostd that asks with a token."""

    def __init__(self, station: Workstation, token: str = "") -> None:
        self.headers = {"Authorization": f"Bearer {token}"}
        self.to = http.client.HTTPSConnection(
            "127.0.0.1", station.https, timeout=240, context=context()
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.to.close()

    def post(self, path: str, body: dict[str, str]) -> dict[str, str]:
        """Raises OSError or HTTPException when nobody answers, AssertionError for a refusal."""
        self.to.request("POST", path, json.dumps(body), self.headers)
        answer = self.to.getresponse()
        data: dict[str, str] = json.loads(answer.read())
        assert answer.status == 200, data
        return data


class Load:
    def __init__(self, shell: Shell, station: Workstation, wire: Peer, mac: str) -> None:
        self.shell, self.station, self.wire, self.mac = shell, station, wire, mac
        self.slowest, self.requests = 0.0, 0
        self.failures: list[BaseException] = []
        self.random = random.Random(6)
        self.seeds = list(self.make_seeds())

    def probe(self) -> None:
        """Asks the console for a sign of life."""
        start = time.monotonic()
        assert self.shell.run("echo here", 60) == (0, "here\n")
        self.slowest = max(self.slowest, time.monotonic() - start)

    def during(self, *threads: threading.Thread) -> None:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                self.probe()
                thread.join(0.2)
        assert not self.failures, self.failures

    def guarded(self, work: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except (OSError, http.client.HTTPException, AssertionError) as e:
                self.failures.append(e)

        return threading.Thread(target=run)

    def busy(self, token: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        with Api(self.station, token) as api:
            while time.monotonic() < end:
                assert api.post(VERSION, {})["rows"]
                self.requests += 1

    def short(self, count: int) -> None:
        """Connections that say what no TLS client says and wait for the end."""
        for _ in range(count):
            with socket.create_connection(("127.0.0.1", self.station.https), 60) as s:
                s.sendall(b"GET / HTTP/1.0\r\n\r\n")
                while s.recv(100):
                    pass

    def make_seeds(self) -> Iterator[bytes]:
        """Frames with odd values in their fields, whose checksums are right."""
        head = Ether(src=MAC, dst=self.mac)
        ip, ip6 = IP(src=US, dst=HOST), IPv6(src="fe80::7", dst="ff02::1")
        bodies: list[Callable[[], Packet]] = [
            lambda: fuzz(ARP(op=1, pdst=HOST)),
            lambda: ip / fuzz(TCP(dport=443)) / Raw(b"x" * 40),
            lambda: ip / fuzz(TCP(dport=443, flags="S")),
            lambda: ip / fuzz(UDP(dport=68)) / Raw(bytes(300)),
            lambda: ip / fuzz(ICMP()),
            lambda: fuzz(IP(src=US, dst=HOST)) / TCP(dport=443),
            lambda: IP(src=US, dst=HOST, flags=1, frag=self.random.randrange(99)) / bytes(600),
            lambda: ip6 / fuzz(ICMPv6EchoRequest()),
            lambda: ip6 / fuzz(ICMPv6ND_NA()),
            lambda: ip6 / fuzz(ICMPv6ND_RA()),
            lambda: fuzz(Dot1Q()) / ip / fuzz(UDP()),
        ]
        random.seed(6)  # scapy's
        for number in range(SEEDS):
            yield bytes(head / bodies[number % len(bodies)]())[:1514]

    def frame(self) -> bytes:
        """A seed, changed in some bytes behind the destination two times of three."""
        data = bytearray(self.random.choice(self.seeds))
        if self.random.randrange(3):
            for _ in range(self.random.randint(1, 8)):
                data[self.random.randrange(6, len(data))] = self.random.randrange(256)
            del data[self.random.randrange(14, len(data) + 1) :]
        return bytes(data)

    def frames(self, count: int) -> None:
        """Batches, each followed by a question that the host answers."""
        question = bytes(
            Ether(dst="ff:ff:ff:ff:ff:ff", src=MAC) / ARP(op=1, hwsrc=MAC, psrc=US, pdst=HOST)
        )
        for _ in range(count // BATCH):
            for _ in range(BATCH):
                self.wire.send(self.frame())
            deadline = time.monotonic() + 60 * SCALE
            self.wire.send(question)
            while not self.answers(data := self.wire.receive(1)):
                assert time.monotonic() < deadline, "the host answers no ARP"
                if not data:  # a full ring may have dropped it
                    self.wire.send(question)
            self.probe()

    @staticmethod
    def answers(data: bytes | None) -> bool:
        frame = Ether(data) if data and data[12:14] == b"\x08\x06" else None
        return bool(frame and frame[ARP].op == 2 and frame[ARP].psrc == HOST)

    def round(self, token: str, seconds: float, short: int, frames: int) -> None:
        """All of it at the sizes given; the idle connections live through it and then answer."""
        with ExitStack() as stack:
            idle = []
            for _ in range(IDLE):
                idle.append(stack.enter_context(Api(self.station, token)))
                idle[-1].to.connect()
            self.probe()
            busy = [self.guarded(lambda: self.busy(token, seconds)) for _ in range(BUSY)]
            self.during(*busy)
            self.during(self.guarded(lambda: self.short(short)))
            self.frames(frames)
            for api in idle:
                assert api.post(VERSION, {})["rows"]
                self.probe()

    def free(self) -> int:
        """KiB of memory, once they have not grown for half a minute."""
        most, since = 0, time.monotonic()
        while time.monotonic() < since + 30 * SCALE:
            self.probe()
            found = re.search(r"MemFree: +(\d+)", self.shell.run("cat /proc/meminfo")[1])
            assert found
            if int(found[1]) > most:
                most, since = int(found[1]), time.monotonic()
        return most


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_many_connections_and_malformed_frames(boot: Boot, tmp_path: Path) -> None:
    station = Workstation(tmp_path)
    with Peer() as wire:
        second = (*wire.arguments, "-device", f"virtio-net-pci,netdev={wire.name}")
        station.arguments = (*station.arguments, *second)
        shell = host(boot, station)
        wire.accept()
        for words in (
            "network vswitch standard uplink remove -v vSwitch0 -u vmnic1",
            "network vswitch standard add -v lab",
            "network vswitch standard uplink add -v lab -u vmnic1",
            "network vswitch standard portgroup add -v lab -p lab",
            "network ip interface add -i vmk1 -p lab",
            f"network ip interface ipv4 set -i vmk1 -t static -I {HOST} -N 255.255.255.0",
        ):
            rc, text = shell.run(f"esxcli {words}")
            assert rc == 0, text
        mac = next(r for r in shell.json("network ip interface list") if r["Name"] == "vmk1")
        load = Load(shell, station, wire, mac["MACAddress"])
        with Api(station) as api:
            token = api.post("/api/session", {"account": "root", "password": PASSWORD})["token"]
        load.round(token, 20, 100, 5 * BATCH)  # what is kept from now on is kept
        before = load.free()
        load.round(token, 60, SHORT, FRAMES)
        after = load.free()
        _, text = shell.run("esxcli network nic stats get -n vmnic1")
        arrived = int(text.split("Packets Received: ")[1].split()[0])
        print(f"{load.requests} requests; console: {load.slowest:.2f} s; free: {before} {after}")
        print(f"{arrived} frames arrived")
        assert arrived >= FRAMES
        assert after >= before - SLACK
        assert load.slowest < ANSWERS_WITHIN * SCALE


class Writer:
    """Adds port groups, each with a name of its own, and remembers what was acknowledged."""

    def __init__(self, station: Workstation, token: str) -> None:
        self.station, self.token = station, token
        self.acknowledged: list[str] = []
        self.changed, self.over = threading.Condition(), False

    def work(self, number: int) -> None:
        path = "/api/commands/network/vswitch/standard/portgroup/add"
        for count in itertools.takewhile(lambda _: not self.over, itertools.count()):
            name = f"w{number}-{count}"
            try:
                with Api(self.station, self.token) as api:
                    api.post(path, {"portgroup_name": name, "vswitch_name": "vSwitch0"})
            except (OSError, http.client.HTTPException):
                time.sleep(0.2)  # hostd is gone, and needs the CPUs to be back
                continue  # again, with another name
            with self.changed:
                self.acknowledged.append(name)
                self.changed.notify()

    def wait(self) -> None:
        """Until a hostd that runs now has acknowledged: more than what may be on its way."""
        with self.changed:
            count = len(self.acknowledged) + WRITERS
            assert self.changed.wait_for(lambda: len(self.acknowledged) > count, 240 * SCALE)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_hostd_killed_under_load(boot: Boot, tmp_path: Path) -> None:
    """It is back by itself each time, and what it acknowledged is there."""
    station = Workstation(tmp_path)
    shell = host(boot, station)
    rc, text = shell.run("esxcli system account token add -n load -i root -r administrator")
    assert rc == 0, text
    writer = Writer(station, text.split()[-1])
    threads = [threading.Thread(target=writer.work, args=(n,)) for n in range(WRITERS)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(KILLS):
            writer.wait()
            rc, text = shell.run("kill -KILL $(pidof hostd)")
            assert rc == 0, text
        writer.wait()
    finally:
        writer.over = True
    for thread in threads:
        thread.join()
    there = {row["Name"] for row in shell.json("network vswitch standard portgroup list")}
    _, text = shell.run("esxcli config get network.portgroups")
    kept = set(re.findall(r"w\d-\d+", text))
    print(f"{len(writer.acknowledged)} acknowledged, {len(there)} there, {len(kept)} kept")
    assert set(writer.acknowledged) <= there and set(writer.acknowledged) <= kept
    assert shell.run("grep -c 'listening on' /var/log/hostd.log")[1] == f"{KILLS + 1}\n"
