# SPDX-License-Identifier: Apache-2.0
"""A NIC's driver from the switch's side: frames in, frames out, each page accounted for."""

from dataclasses import dataclass
from typing import Any

from tests.unit.models.bench import Driven

CSUM_PARTIAL, CSUM_VALID, VLAN, TSO4, TSO6 = 1, 2, 4, 8, 16
HEADERS = ["vmk/pkt.h", "vmk/pci.h", "vmk/mm.h", "vmk/cpu.h"]
SOURCES = ["vmkernel/net/uplink.c", "vmkernel/net/pkt.c"]


@dataclass(frozen=True)
class Frame:
    """What the switch got."""

    data: bytes
    flags: int
    tag: int
    gso_size: int


class Nic:
    """The owner of vmnic0."""

    def __init__(self, driven: Driven) -> None:
        self.driven, unit = driven, driven.unit
        self.unit, self.bench = unit, driven.bench
        self.uplink = unit.lib.uplink_find(b"vmnic0")
        self.received: list[Frame] = []
        self.rx = unit.ffi.callback("void(struct uplink *, struct pkt *)", self._receive)
        self.link = unit.ffi.callback("void(struct uplink *)", lambda _: None)
        self.uplink.owner = self.uplink
        self.uplink.rx, self.uplink.link_changed = self.rx, self.link
        assert self.uplink.ops.set_up(self.uplink, True) == 0

    def _receive(self, _: Any, p: Any) -> None:
        data = self.unit.ffi.new("char[]", p.len)
        assert self.unit.lib.pkt_read(p, 0, data, p.len)
        content = bytes(self.unit.ffi.buffer(data, p.len))
        self.received.append(Frame(content, p.flags, p.vlan_tci, p.gso_size))
        self.unit.lib.pkt_done(p)

    def send(self, data: bytes, flags: int = 0, **members: int) -> int:
        """xmit's answer; members of the packet as gso_size=1460."""
        p = self.unit.lib.pkt_alloc(len(data))
        assert p and self.unit.lib.pkt_write(p, 0, data, len(data))
        p.flags = flags
        for name, value in members.items():
            setattr(p, name, value)
        rc = int(self.uplink.ops.xmit(self.uplink, 0, p))
        if rc:
            self.unit.lib.pkt_done(p)
        self.bench.check()
        return rc

    def taken(self) -> list[bytes]:
        """The frames that came since the last call."""
        self.bench.run()
        frames, self.received = [f.data for f in self.received], []
        return frames
