# SPDX-License-Identifier: Apache-2.0
"""An NVMe controller with one namespace in memory. Spec: NVMe 1.4.

Faults are switched on by attributes: never_ready, silent (commands are taken, nothing comes back),
statuses (per operation code), and held completions that a test releases in any order.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.unit.models.bench import Bench

CAP, VS, INTMS, INTMC, CC, CSTS, AQA, ASQ, ACQ = 0, 8, 0xC, 0x10, 0x14, 0x1C, 0x24, 0x28, 0x30
DOORBELLS = 0x1000
BASE = 0x1000_0000
BLOCK = 512


@dataclass
class Pair:
    sq: int
    cq: int
    entries: int
    vector: int = 0
    head: int = 0
    tail: int = 0
    cq_tail: int = 0
    phase: int = 1


@dataclass
class Command:
    queue: int
    cid: int
    opcode: int
    nsid: int
    prp1: int
    prp2: int
    cdw: tuple[int, ...]


@dataclass
class Nvme:
    bench: Bench
    blocks: int = 2048
    mdts: int = 0
    namespaces: int = 1
    never_ready: bool = False
    stuck_ready: bool = False
    silent: bool = False
    silent_admin: bool = False
    held: list[Command] | None = None
    statuses: dict[int, int] = field(default_factory=dict)
    queues: dict[int, Pair] = field(default_factory=dict)
    regs: dict[int, int] = field(default_factory=dict)
    commands: list[Command] = field(default_factory=list)
    resets: int = 0
    max_pairs: int = 64
    abort_works: bool = True
    before_complete: Callable[[Command], None] | None = None
    before_create: Callable[[], None] | None = None  # of an I/O completion queue

    def __post_init__(self) -> None:
        self.data = bytearray(self.blocks * BLOCK)

    # Registers

    def read(self, offset: int, width: int) -> int:
        if offset == CAP:
            return 127 | 2 << 24 | 1 << 37 | 1 << 16
        if offset == VS:
            return 0x10400
        return self.regs.get(offset, 0)

    def write(self, offset: int, width: int, value: int) -> None:
        if offset >= DOORBELLS:
            self._doorbell((offset - DOORBELLS) // 4, value)
            return
        before = self.regs.get(offset, 0)
        self.regs[offset] = value
        if offset == CC:
            self._control(before, value)

    def _control(self, before: int, value: int) -> None:
        if value & 1 and not before & 1:
            aqa = self.regs[AQA]
            entries = (aqa & 0xFFF) + 1
            self.queues = {0: Pair(self.regs[ASQ], self.regs[ACQ], entries)}
            if not self.never_ready:
                self.regs[CSTS] = 1
        elif before & 1 and not value & 1:
            self.resets += 1
            self.queues.clear()
            if self.held:
                self.held.clear()
            self.regs[CSTS] = 1 if self.stuck_ready else 0
        if value >> 14 & 3:
            self.regs[CSTS] = self.regs.get(CSTS, 0) & ~0xC | 2 << 2

    def _doorbell(self, index: int, value: int) -> None:
        assert index // 2 in self.queues, "doorbell of a queue that does not exist"
        pair = self.queues[index // 2]
        assert value < pair.entries, "doorbell out of range"
        if index % 2:
            return
        pair.tail = value
        while pair.head != pair.tail and self.regs.get(CSTS, 0) & 1:
            raw = self.bench.load(pair.sq + 64 * pair.head, 64)
            pair.head = (pair.head + 1) % pair.entries
            opcode, _, cid, nsid = struct.unpack_from("<BBHI", raw)
            prp1, prp2 = struct.unpack_from("<QQ", raw, 24)
            cdw = struct.unpack_from("<6I", raw, 40)
            self._take(Command(index // 2, cid, opcode, nsid, prp1, prp2, cdw))

    # Commands

    def _take(self, command: Command) -> None:
        self.commands.append(command)
        if command.queue == 0:
            if not self.silent_admin:
                self._admin(command)
        elif self.held is not None:
            self.held.append(command)
        elif not self.silent:
            self.execute(command)

    def _admin(self, command: Command) -> None:
        result = 0
        cdw10, cdw11 = command.cdw[0], command.cdw[1]
        status = self.statuses.get(command.opcode | 0x100, 0)
        if status:
            pass
        elif command.opcode == 6:
            self.bench.store(command.prp1, self._identify(cdw10 & 0xFF, command.nsid))
        elif command.opcode == 9:
            pairs = min(self.max_pairs - 1, cdw11 & 0xFFFF)
            result = pairs | pairs << 16
        elif command.opcode == 5:
            if self.before_create:
                self.before_create()
            entries = (cdw10 >> 16) + 1
            self.queues[cdw10 & 0xFFFF] = Pair(0, command.prp1, entries, cdw11 >> 16)
        elif command.opcode == 1:
            self.queues[cdw10 & 0xFFFF].sq = command.prp1
        elif command.opcode == 8:
            self._abort(cdw10)
        else:
            status = 1
        self.complete(command, status, result)

    def _abort(self, cdw10: int) -> None:
        queue, cid = cdw10 & 0xFFFF, cdw10 >> 16
        if not self.abort_works:
            return
        for command in self.commands:
            if (command.queue, command.cid) == (queue, cid):
                self.complete(command, 7)
                return

    def _identify(self, cns: int, nsid: int) -> bytes:
        page = bytearray(4096)
        if cns == 1:
            page[4:24] = b"SN0001".ljust(20)
            page[24:64] = b"Model  disk".ljust(40)
            page[64:72] = b"1.0".ljust(8)
            page[77] = self.mdts
            struct.pack_into("<IH", page, 516, self.namespaces, 0b1100)
            page[525] = 1
        elif cns == 2:
            struct.pack_into(f"<{self.namespaces}I", page, 0, *range(1, self.namespaces + 1))
        elif cns == 0 and 1 <= nsid <= self.namespaces:
            struct.pack_into("<QQQ", page, 0, self.blocks, self.blocks, 0)
            page[128 + 2] = 9
        return bytes(page)

    def segments(self, command: Command, size: int) -> list[tuple[int, int]]:
        """The PRPs of a command as (machine address, length), checked by the rules of 4.3."""
        assert command.prp1 % 4 == 0
        first = min(size, 4096 - command.prp1 % 4096)
        out = [(command.prp1, first)]
        left = size - first
        if not left:
            return out
        pages = [command.prp2]
        if left > 4096:
            count = -(-left // 4096)
            assert command.prp2 % 8 == 0 and command.prp2 % 4096 + 8 * count <= 4096
            pages = list(struct.unpack(f"<{count}Q", self.bench.load(command.prp2, 8 * count)))
        for page in pages:
            assert page % 4096 == 0
            out.append((page, min(left, 4096)))
            left -= out[-1][1]
        assert left == 0
        return out

    def execute(self, command: Command) -> None:
        status = self.statuses.get(command.opcode, 0) or self._io(command)
        self.complete(command, status)

    def _io(self, command: Command) -> int:
        lba = command.cdw[0] | command.cdw[1] << 32
        count = (command.cdw[2] & 0xFFFF) + 1
        if command.opcode == 0:
            return 0
        if command.opcode == 9:
            _, count, lba = struct.unpack("<IIQ", self.bench.load(command.prp1, 16))
        if lba + count > self.blocks:
            return 0x80
        start, size = lba * BLOCK, count * BLOCK
        if command.opcode in (8, 9):
            self.data[start : start + size] = bytes(size)
            return 0
        for pa, length in self.segments(command, size):
            if command.opcode == 1:
                self.data[start : start + length] = self.bench.load(pa, length)
            elif command.opcode == 2:
                self.bench.store(pa, bytes(self.data[start : start + length]))
            else:
                return 1
            start += length
        return 0

    def complete(self, command: Command, status: int = 0, result: int = 0) -> None:
        if command.queue not in self.queues:
            return
        pair = self.queues[command.queue]
        field_ = status << 1 | pair.phase
        entry = struct.pack("<IIHHHH", result, 0, pair.head, command.queue, command.cid, field_)
        self.bench.store(pair.cq + 16 * pair.cq_tail, entry)
        pair.cq_tail += 1
        if pair.cq_tail == pair.entries:
            pair.cq_tail, pair.phase = 0, pair.phase ^ 1
        self.bench.fire(pair.vector)
