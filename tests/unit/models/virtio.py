# SPDX-License-Identifier: Apache-2.0
"""Modern virtio devices with their PCI transport: block and network. Spec: VIRTIO 1.1 2.6, 4.1.

Faults: held chains that a test finishes in any order, silence, statuses, used entries for no chain.
"""

import struct
from dataclasses import dataclass, field

from tests.unit.models.bench import Bench, Driven

BASE = 0x2000_0000
COMMON, NOTIFY, ISR, DEVICE = 0x000, 0x100, 0x200, 0x300
SECTOR = 512
F_FLUSH, F_MQ, F_DISCARD, F_ZEROES = 1 << 9, 1 << 12, 1 << 13, 1 << 14
F_INDIRECT, F_EVENT_IDX, F_VERSION_1 = 1 << 28, 1 << 29, 1 << 32
#: Checksums, segmentation, MTU, address, merged buffers, status, control, filters, queue pairs.
N_ALL = sum(1 << bit for bit in (0, 1, 3, 5, 7, 8, 11, 12, 15, 16, 17, 18, 22))
NEXT, WRITE, INDIRECT = 1, 2, 4
Piece = tuple[int, int, bool]


@dataclass
class Ring:
    size: int = 128
    vector: int = 0xFFFF
    desc: int = 0
    avail: int = 0
    used: int = 0
    seen: int = 0
    done: int = 0


@dataclass
class Virtio:
    """The transport. `serve` is called when the driver kicks a queue: subclasses do the work."""

    bench: Bench
    features: int = F_VERSION_1 | F_INDIRECT | F_EVENT_IDX
    queues: int = 1
    regs: dict[int, int] = field(default_factory=dict)
    rings: list[Ring] = field(default_factory=list)
    accepted: int = 0
    status: int = 0
    resets: int = 0
    silent: bool = False
    never_reset: bool = False
    result: int = 0
    held: list[tuple[int, int]] | None = None
    config: bytes = bytes(64)

    def __post_init__(self) -> None:
        self.rings = [Ring() for _ in range(self.queues)]

    def plug(self, driven: Driven) -> None:
        """Capabilities in configuration space, structures in BAR 4."""
        driven.unit.ffi.buffer(driven.lib.seam_config)[0:256] = self.capabilities()
        driven.model = self
        driven.bar(4, BASE, 0x1000)
        driven.pci.cap_msix = 0x90

    def capabilities(self) -> bytes:
        """Configuration space from 0x34 on: a chain of the four structures in BAR 4."""
        space = bytearray(256)
        space[0x34] = 0x40
        for n, (kind, at) in enumerate([(1, COMMON), (2, NOTIFY), (3, ISR), (4, DEVICE)]):
            off = 0x40 + 0x18 * n
            after = off + 0x18 if n < 3 else 0
            struct.pack_into("<BBBBBxxxIII", space, off, 9, after, 20, kind, 4, at, 0x100, 2)
        return bytes(space)

    def ring(self) -> Ring:
        return self.rings[self.regs.get(0x16, 0)]

    def read(self, offset: int, width: int) -> int:
        if offset >= DEVICE:
            return int.from_bytes(self.config[offset - DEVICE :][:width], "little")
        if offset == 0x04:
            return self.features >> 32 * self.regs.get(0, 0) & 0xFFFFFFFF
        if offset == 0x14:
            return self.status
        if offset == 0x18:
            return self.ring().size if self.regs.get(0x16, 0) < self.queues else 0
        if offset == 0x1A:
            return self.ring().vector
        if offset == 0x1E:
            return self.regs.get(0x16, 0)
        return self.regs.get(offset, 0)

    def write(self, offset: int, width: int, value: int) -> None:
        if NOTIFY <= offset < ISR:
            self.serve((offset - NOTIFY) // 2)
            return
        self.regs[offset] = value
        ring = self.ring()
        if offset == 0x14:
            if value == 0 and not self.never_reset:
                self.resets += self.status != 0
                self.rings = [Ring() for _ in range(self.queues)]
                self.accepted = 0
                if self.held:
                    self.held.clear()
            self.status = self.status if self.never_reset and not value else value
        elif offset == 0x0C:
            self.accepted |= value << 32 * self.regs.get(8, 0)
        elif offset == 0x18:
            ring.size = value
        elif offset == 0x1A:
            ring.vector = value
        elif offset in (0x20, 0x28, 0x30):
            setattr(ring, {0x20: "desc", 0x28: "avail", 0x30: "used"}[offset], value)
        elif offset in (0x24, 0x2C, 0x34):
            assert value == 0, "the arena lies below 4 GiB"

    def serve(self, index: int) -> None:
        ring = self.rings[index]
        end = struct.unpack("<H", self.bench.load(ring.avail + 2, 2))[0]
        while ring.seen != end:
            at = ring.avail + 4 + 2 * (ring.seen % ring.size)
            head = struct.unpack("<H", self.bench.load(at, 2))[0]
            ring.seen = ring.seen + 1 & 0xFFFF
            self.store_event(ring)
            if self.held is not None:
                self.held.append((index, head))
            elif not self.silent:
                self.execute(index, head)

    def store_event(self, ring: Ring) -> None:
        self.bench.store(ring.used + 4 + 8 * ring.size, struct.pack("<H", ring.seen))

    def chain(self, ring: Ring, head: int) -> list[Piece]:
        table, at, out = ring.desc, head, []
        for _ in range(ring.size):
            addr, size, flags, after = struct.unpack("<QIHH", self.bench.load(table + 16 * at, 16))
            if flags & INDIRECT:
                assert not flags & (NEXT | WRITE) and self.accepted & F_INDIRECT
                table, at = addr, 0
                continue
            out.append((addr, size, bool(flags & WRITE)))
            if not flags & NEXT:
                return out
            at = after
        raise AssertionError("a chain without end")

    def execute(self, index: int, head: int) -> None:
        raise NotImplementedError

    def finish(self, index: int, head: int, written: int) -> None:
        """Publishes a used entry; an interrupt when the driver's event index is passed."""
        ring = self.rings[index]
        at = ring.used + 4 + 8 * (ring.done % ring.size)
        self.bench.store(at, struct.pack("<II", head, written))
        before, ring.done = ring.done, ring.done + 1 & 0xFFFF
        self.bench.store(ring.used + 2, struct.pack("<H", ring.done))
        if not self.accepted & F_EVENT_IDX:
            if not self.bench.load(ring.avail, 1)[0] & 1:
                self.bench.fire(ring.vector)
            return
        event = struct.unpack("<H", self.bench.load(ring.avail + 4 + 2 * ring.size, 2))[0]
        if (ring.done - event - 1 & 0xFFFF) < (ring.done - before & 0xFFFF):
            self.bench.fire(ring.vector)


@dataclass
class VirtioBlk(Virtio):
    """A block device. Spec: 5.2."""

    features: int = F_VERSION_1 | F_INDIRECT | F_EVENT_IDX | F_FLUSH | F_DISCARD | F_ZEROES | 1 << 2
    sectors: int = 4096

    def __post_init__(self) -> None:
        super().__post_init__()
        self.data = bytearray(self.sectors * SECTOR)
        config = bytearray(64)
        struct.pack_into("<QII", config, 0, self.sectors, 0, 62)
        struct.pack_into("<I", config, 20, SECTOR)
        struct.pack_into("<H", config, 34, self.queues)
        struct.pack_into("<III", config, 36, 1024, 1, 1)
        struct.pack_into("<II", config, 48, 1024, 1)
        self.config = bytes(config)

    def execute(self, index: int, head: int) -> None:
        pieces = self.chain(self.rings[index], head)
        inputs = [p for p in pieces if not p[2]]
        outputs = [p for p in pieces if p[2]]
        assert pieces == inputs + outputs, "readable pieces come first"
        request = b"".join(self.bench.load(a, n) for a, n, _ in inputs)
        kind, _, sector = struct.unpack_from("<IIQ", request)
        status, written = self.result, 1
        at = sector * SECTOR
        if status:
            pass
        elif kind == 0:
            for addr, size, _ in outputs[:-1]:
                self.bench.store(addr, bytes(self.data[at : at + size]))
                at += size
                written += size
        elif kind == 1:
            self.data[at : at + len(request) - 16] = request[16:]
        elif kind in (11, 13):
            first, count, _ = struct.unpack_from("<QII", request, 16)
            self.data[first * SECTOR : (first + count) * SECTOR] = bytes(count * SECTOR)
        elif kind != 4:
            status = 2
        addr, size, _ = outputs[-1]
        assert size == 1
        self.bench.store(addr, bytes([status]))
        self.finish(index, head, written)


@dataclass
class VirtioNet(Virtio):
    """A network device. Spec: 5.1. Frames that the driver sends land in `sent`, header apart."""

    features: int = F_VERSION_1 | F_INDIRECT | F_EVENT_IDX | N_ALL
    pairs: int = 1
    link: bool = True
    sent: list[tuple[bytes, bytes]] = field(default_factory=list)
    commands: list[bytes] = field(default_factory=list)
    ack: int = 0

    def __post_init__(self) -> None:
        self.queues = 2 * self.pairs + 1
        super().__post_init__()
        self.set_link(self.link)

    def set_link(self, up: bool) -> None:
        mac = bytes.fromhex("525400123456")
        self.config = struct.pack("<6sHHH", mac, up, self.pairs, 1500).ljust(64, b"\0")

    def serve(self, index: int) -> None:
        if index % 2 or index == 2 * self.pairs:  # receive buffers wait in their ring
            super().serve(index)

    def execute(self, index: int, head: int) -> None:
        pieces = self.chain(self.rings[index], head)
        out = b"".join(self.bench.load(a, n) for a, n, writable in pieces if not writable)
        if index == 2 * self.pairs:
            self.commands.append(out)
            self.bench.store(pieces[-1][0], bytes([self.ack]))
            self.finish(index, head, 1)
        else:
            self.sent.append((out[:12], out[12:]))
            self.finish(index, head, 0)

    def buffer(self, index: int) -> tuple[int, Piece] | None:
        """The next receive buffer: head and its one piece."""
        ring = self.rings[index]
        if struct.unpack("<H", self.bench.load(ring.avail + 2, 2))[0] == ring.seen:
            return None
        at = ring.avail + 4 + 2 * (ring.seen % ring.size)
        head = struct.unpack("<H", self.bench.load(at, 2))[0]
        ring.seen = ring.seen + 1 & 0xFFFF
        self.store_event(ring)
        (piece,) = self.chain(ring, head)
        return head, piece

    def receive(self, frame: bytes, header: bytes = bytes(10), index: int = 0) -> bool:
        """Hands a frame to the driver, in as many merged buffers as it takes."""
        total, used = len(frame) + 12, []
        while total > 0 and (found := self.buffer(index)):
            used.append(found)
            total -= found[1][1]
        if total > 0:
            self.rings[index].seen -= len(used)
            return False
        data = header + struct.pack("<H", len(used)) + frame
        for head, (addr, size, _) in used:
            self.bench.store(addr, data[:size])
            self.finish(index, head, len(data[:size]))
            data = data[size:]
        return True
