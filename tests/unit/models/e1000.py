# SPDX-License-Identifier: Apache-2.0
"""An 82540EM or 82574L. Spec: Intel SDM 317453-006 3.2, 3.3, 13.4.

Faults: silent (frames are not sent), held (sent frames report back when a test says so),
never_ready (the reset does not end), no_link.
"""

import struct
from dataclasses import dataclass, field

from tests.unit.models.bench import Bench

BASE, SIZE = 0x4000_0000, 0x20000
CTRL, STATUS, ICR, IMS, IMC, RCTL, TCTL = 0, 8, 0xC0, 0xD0, 0xD8, 0x100, 0x400
RDBAL, RDLEN, RDH, RDT = 0x2800, 0x2808, 0x2810, 0x2818
TDBAL, TDLEN, TDH, TDT = 0x3800, 0x3808, 0x3810, 0x3818
TXDW, LSC, RXT0 = 1, 4, 0x80
RST = 1 << 26
DEXT, DATA, EOP, RS, TSE, VLE = 1 << 29, 1 << 20, 1 << 24, 1 << 27, 1 << 26, 1 << 30


@dataclass
class Sent:
    """A frame that the device was given: data, the options' bits, the context in force."""

    data: bytes
    tso: bool
    sums: int
    tag: int | None
    context: bytes


@dataclass
class E1000:
    bench: Bench
    silent: bool = False
    never_ready: bool = False
    no_link: bool = False
    held: list[int] | None = None  # descriptors that have not reported yet
    regs: dict[int, int] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    resets: int = 0
    pieces: bytes = b""
    context: bytes = b""

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.regs = {0x5400: 0x12005452, 0x5404: 0x80005634}
        self.pieces = self.context = b""
        if self.held:
            self.held.clear()

    def read(self, offset: int, width: int) -> int:
        if offset == STATUS:
            return 0x80 | 1 | (0 if self.no_link else 2)
        if offset == ICR:
            cause = self.regs.get(ICR, 0)
            self.regs[ICR] = 0
            return cause
        return self.regs.get(offset, 0)

    def write(self, offset: int, width: int, value: int) -> None:
        if offset == CTRL and value & RST:
            self.resets += 1
            self.reset()
            self.regs[CTRL] = value if self.never_ready else value & ~RST
        elif offset == IMC:
            self.regs[IMS] = self.regs.get(IMS, 0) & ~value
        elif offset == IMS:
            self.regs[IMS] = self.regs.get(IMS, 0) | value
            self.cause(0)
        else:
            self.regs[offset] = value
            if offset == TDT and self.regs.get(TCTL, 0) & 2:
                self.transmit()

    def cause(self, bits: int) -> None:
        self.regs[ICR] = self.regs.get(ICR, 0) | bits
        if self.regs[ICR] & self.regs.get(IMS, 0):
            self.bench.fire(0)

    def transmit(self) -> None:
        entries = self.regs[TDLEN] // 16
        while not self.silent and self.regs[TDH] != self.regs[TDT]:
            index = self.regs[TDH]
            at = self.regs[TDBAL] + 16 * index
            raw = self.bench.load(at, 16)
            address, command, _, options, special = struct.unpack("<QIBBH", raw)
            self.regs[TDH] = (index + 1) % entries
            assert command & DEXT
            if not command & DATA:
                self.context = raw
                continue
            self.pieces += self.bench.load(address, command & 0xFFFFF)
            if not command & EOP:
                continue
            tag = special if command & VLE else None
            tso = bool(command & TSE)
            self.sent.append(Sent(self.pieces, tso, options, tag, self.context))
            self.pieces = b""
            assert command & RS
            if self.held is None:
                self.report(index)
            else:
                self.held.append(index)

    def report(self, index: int) -> None:
        self.bench.store(self.regs[TDBAL] + 16 * index + 12, b"\1")
        self.cause(TXDW)

    def receive(self, frame: bytes, status: int = 0, errors: int = 0, tag: int = 0) -> bool:
        """Puts a frame into the ring; False where it has no room."""
        parts = [frame[i : i + 2048] for i in range(0, len(frame), 2048)]
        entries = self.regs[RDLEN] // 16
        if (self.regs[RDT] - self.regs[RDH]) % entries < len(parts):
            return False
        for n, part in enumerate(parts):
            last = n == len(parts) - 1
            self.put(part, len(part), 1 | (2 | status if last else 0), errors if last else 0, tag)
        self.cause(RXT0)
        return True

    def put(self, part: bytes, length: int, status: int, errors: int = 0, tag: int = 0) -> None:
        """One receive descriptor written back, whatever it says."""
        index, entries = self.regs[RDH], self.regs[RDLEN] // 16
        at = self.regs[RDBAL] + 16 * index
        self.bench.store(int.from_bytes(self.bench.load(at, 8), "little"), part)
        self.bench.store(at + 8, struct.pack("<HHBBH", length, 0, status, errors, tag))
        self.regs[RDH] = (index + 1) % entries
