# SPDX-License-Identifier: Apache-2.0
"""NIC drivers on QEMU's models: the vmkernel echoes every frame, the peer on the wire compares.

Evidence level: EMULATED."""

import random
from collections.abc import Callable

import pytest

from tests.system.machine import Machine
from tests.system.peer import Peer

Boot = Callable[..., Machine]

MODELS = {
    "e1000": "e1000,netdev=wire,mac=52:54:00:00:00:01",
    "e1000e": "e1000e,netdev=wire,mac=52:54:00:00:00:01",
    "virtio-net": "virtio-net-pci,netdev=wire,disable-legacy=on,mac=52:54:00:00:00:01",
    "virtio-net-legacy": "virtio-net-pci,netdev=wire,disable-modern=on,mac=52:54:00:00:00:01",
    "virtio-net-plain": "virtio-net-pci,netdev=wire,mrg_rxbuf=off,event_idx=off,"
    "indirect_desc=off,ctrl_vq=off,vectors=0,mac=52:54:00:00:00:01",
}
ROWS = {
    "e1000": ("e1000", "8086:100e"),
    "e1000e": ("e1000e", "8086:10d3"),
    "virtio-net": ("virtio_net", "1af4:1041"),
    "virtio-net-legacy": ("virtio_net", "1af4:1000"),
}
PROVING = [
    pytest.param(m, marks=[pytest.mark.proves(*ROWS[m])] if m in ROWS else []) for m in MODELS
]
FRAMES = 10_000
WINDOW = 64  # frames under way: fewer than any receive ring has room for
NIC, PEER = bytes.fromhex("525400000001"), bytes.fromhex("525400000002")


def frame(number: int, rng: random.Random) -> bytes:
    """Any length from 60 to 1514, one in four with a VLAN tag (then up to 1518); numbered."""
    size = rng.choice([60, 64, 127, 128, 1514, rng.randrange(60, 1515)])
    tag = b"\x81\x00\x00\x2a" if number % 4 == 0 else b""
    head = NIC + PEER + tag + b"\x88\xb5" + number.to_bytes(4, "big")
    return (head + rng.randbytes(size))[: size + len(tag)]


@pytest.mark.parametrize("model", PROVING)
def test_frames_come_back(boot: Boot, model: str) -> None:
    """10,000 frames of all sizes each way, intact and in order."""
    rng = random.Random(model)
    with Peer() as peer:
        arguments = (*peer.arguments, "-device", MODELS[model])
        machine = boot(options="nictest=all", arguments=arguments)
        peer.accept()
        machine.console.expect(r"nictest: vmnic0: echoing", 60)
        expected: list[bytes] = []
        sent = 0
        while sent < FRAMES or expected:
            while sent < FRAMES and len(expected) < WINDOW:
                data = frame(sent, rng)
                peer.send(data)
                expected.append(PEER + NIC + data[12:])
                sent += 1
            answer = peer.receive(10)
            assert answer is not None, f"frame {sent - len(expected)} of {sent} is missing"
            assert answer == expected.pop(0)


def test_link_changes(boot: Boot) -> None:
    with Peer() as peer:
        arguments = (*peer.arguments, "-device", MODELS["virtio-net"] + ",id=nic")
        machine = boot(options="nictest=all", arguments=arguments)
        peer.accept()
        machine.console.expect(r"nictest: vmnic0: echoing", 60)
        machine.qmp.execute("set_link", name="nic", up=False)
        machine.console.expect(r"vmnic0: link down", 20)
        machine.qmp.execute("set_link", name="nic", up=True)
        machine.console.expect(r"vmnic0: link up", 20)
