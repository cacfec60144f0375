# SPDX-License-Identifier: Apache-2.0
"""An AHCI controller with a disk at port 0, NCQ. Spec: AHCI 1.3.1 3, 4.2, 5.3; ATA8-ACS.

Faults: never_ready (reset, link, BSY, engine), silent, held commands that a test finishes in any
order, errors by command, identify data of the test's own, an error log that is none.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.unit.models.bench import Bench

BASE, SIZE, PORT = 0x3000_0000, 0x1100, 0x100
GHC, IS, PI = 0x04, 0x08, 0x0C
P_CLB, P_IS, P_IE, P_CMD, P_TFD, P_SIG = 0x00, 0x10, 0x14, 0x18, 0x20, 0x24
P_SSTS, P_SCTL, P_SERR, P_SACT, P_CI = 0x28, 0x2C, 0x30, 0x34, 0x38
DHRS, SDBS, TFES = 1, 1 << 3, 1 << 30
SECTOR = 512
READ, WRITE = (0x25, 0x60), (0x35, 0x61)


def identify(sectors: int, **words: int) -> bytes:
    """IDENTIFY DEVICE's page; words as w83=0x4400."""
    page = bytearray(512)
    for at, text, size in ((20, b"SN0001", 20), (46, b"1.0", 8), (54, b"Model disk", 40)):
        padded = text.ljust(size)
        page[at : at + size : 2], page[at + 1 : at + size : 2] = padded[1::2], padded[::2]
    values = {75: 31, 76: 1 << 8, 83: 0x4400, 85: 1 << 5, 169: 1, 217: 1}
    values.update({int(name[1:]): value for name, value in words.items()})
    for word, value in values.items():
        struct.pack_into("<H", page, 2 * word, value)
    struct.pack_into("<Q", page, 200, sectors)
    return bytes(page)


@dataclass
class Ahci:
    bench: Bench
    sectors: int = 4096
    cap: int = 31 << 8 | 1 << 30 | 1 << 31
    page: bytes = b""
    never_ready: str = ""  # "reset", "link", "busy", "engine"
    silent: bool = False
    held: list[int] | None = None
    errors: dict[int, int] = field(default_factory=dict)  # by command: the error register
    log_lies: bool = False
    regs: dict[int, int] = field(default_factory=dict)
    commands: list[int] = field(default_factory=list)
    resets: int = 0
    on_reset: Callable[[], None] = lambda: None
    failed: tuple[int, int] = (0x80, 0)  # tag and error, as the log page has them

    def __post_init__(self) -> None:
        self.data = bytearray(self.sectors * SECTOR)
        self.page = self.page or identify(self.sectors)
        self.regs[PORT + P_SIG] = 0x101

    def get(self, register: int) -> int:
        return self.regs.get(PORT + register, 0)

    def put(self, register: int, value: int) -> None:
        self.regs[PORT + register] = value

    def read(self, offset: int, width: int) -> int:
        if offset == 0:
            return self.cap
        if offset == PI:
            return 1
        if offset == PORT + P_SSTS:
            return 0 if self.never_ready == "link" else 0x113
        if offset == PORT + P_TFD and self.never_ready == "busy":
            return 0x80
        return self.regs.get(offset, 0)

    def write(self, offset: int, width: int, value: int) -> None:
        if offset == GHC:
            self.regs[GHC] = value if self.never_ready == "reset" else value & ~1
        elif offset in (IS, PORT + P_IS, PORT + P_SERR):
            self.regs[offset] = self.regs.get(offset, 0) & ~value
        elif offset == PORT + P_CMD:
            running = value >> 0 & 1 or self.never_ready == "engine"
            self.put(P_CMD, value & ~0xC000 | running << 15 | (value >> 4 & 1) << 14)
            if not value & 1:
                self.put(P_CI, 0)
                self.put(P_SACT, 0)
        elif offset == PORT + P_SCTL:
            if value & 15 == 1:
                self.resets += 1
                self.on_reset()
            self.put(P_SCTL, value)
            self.put(P_TFD, 0x50)
            if self.held:
                self.held.clear()
        elif offset == PORT + P_SACT:
            self.put(P_SACT, self.get(P_SACT) | value)
        elif offset == PORT + P_CI:
            self.put(P_CI, self.get(P_CI) | value)
            self._issue(value)
        elif offset == PORT + P_IE:
            self.put(P_IE, value)
            self.fire(0)  # what is pending already interrupts now
        else:
            self.regs[offset] = value

    def _issue(self, slots: int) -> None:
        assert self.get(P_CMD) & 1, "a command with the engine off"
        for slot in range(32):
            if not slots & 1 << slot:
                continue
            command = self.fis(slot)[2]
            self.commands.append(command)
            if command in (0xEC, 0x2F) or not (self.silent or self.held is not None):
                self.execute(slot)
            elif self.held is not None:
                self.held.append(slot)

    def fis(self, slot: int) -> bytes:
        return self.bench.load(self._header(slot)[2], 20)

    def _header(self, slot: int) -> tuple[int, int, int]:
        """Flags, number of PRDs, address of the command table."""
        raw = self.bench.load(self.get(P_CLB) + 32 * slot, 16)
        flags, prds, _, low, high = struct.unpack("<HHIII", raw)
        assert flags & 31 == 5 and low % 128 == 0
        return flags, prds, low | high << 32

    def pieces(self, slot: int) -> list[tuple[int, int]]:
        _, prds, table = self._header(slot)
        out = []
        for i in range(prds):
            low, high, _, count = struct.unpack("<IIII", self.bench.load(table + 128 + 16 * i, 16))
            assert low % 2 == 0 and count & 1 and count < 4 << 20
            out.append((low | high << 32, (count & 0x3FFFFF) + 1))
        return out

    def execute(self, slot: int) -> None:
        if self.get(P_TFD) & 1:
            return  # an error stops everything until the engine is started again, 6.2.2
        f = self.fis(slot)
        assert f[0] == 0x27 and f[1] == 0x80
        command, queued = f[2], f[2] in (0x60, 0x61)
        lba = int.from_bytes(f[4:7] + f[8:11], "little")
        count = (f[3] | f[11] << 8 if queued else f[12] | f[13] << 8) or 65536
        if queued:
            assert f[12] >> 3 == slot and self.get(P_SACT) & 1 << slot
        error = self.errors.get(command, 0)
        if not error:
            error = self._transfer(slot, command, lba, count)
        self.finish(slot, queued, error)

    def _transfer(self, slot: int, command: int, lba: int, count: int) -> int:
        """The error register, 0 for success."""
        at, pieces = lba * SECTOR, self.pieces(slot)
        if command in READ + WRITE:
            if lba + count > self.sectors:
                return 0x10
            assert sum(size for _, size in pieces) == count * SECTOR
            for pa, size in pieces:
                if command in WRITE:
                    self.data[at : at + size] = self.bench.load(pa, size)
                else:
                    self.bench.store(pa, bytes(self.data[at : at + size]))
                at += size
        elif command == 0xEC:
            self.bench.store(pieces[0][0], self.page)
        elif command == 0x2F:
            tag, error = self.failed
            page = bytes([0x80 if self.log_lies else tag, 0, 0x41, error]).ljust(512, b"\0")
            self.bench.store(pieces[0][0], page)
        elif command == 0x06:
            entry = int.from_bytes(self.bench.load(pieces[0][0], 8), "little")
            first, many = entry & (1 << 48) - 1, entry >> 48
            self.data[first * SECTOR : (first + many) * SECTOR] = bytes(many * SECTOR)
        elif command != 0xEA:
            return 4
        return 0

    def finish(self, slot: int, queued: bool, error: int = 0) -> None:
        """Completion, or the stop that an error is: what is under way stays in CI and SACT."""
        if error:
            self.failed = (slot if queued else 0x80, error)
            self.put(P_TFD, error << 8 | 0x41)
            self.fire(TFES)
            return
        self.put(P_CI, self.get(P_CI) & ~(1 << slot))
        if queued:
            self.put(P_SACT, self.get(P_SACT) & ~(1 << slot))
        self.fire(SDBS if queued else DHRS)

    def fire(self, cause: int) -> None:
        self.put(P_IS, self.get(P_IS) | cause)
        if self.get(P_IE) & self.get(P_IS):
            self.regs[IS] = 1
            if self.regs.get(GHC, 0) & 2:
                self.bench.fire(0)
