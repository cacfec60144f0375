# SPDX-License-Identifier: Apache-2.0
"""The registers of a guest's first processor as boot protocols want them.

Source: AMD APM 2, 4.8 (segments), 3.1 (control registers).
"""

from dataclasses import dataclass, field
from typing import Any

from tepui.shell import abi

CR0_PE, CR0_ET, CR0_NE, CR0_PG = 1 << 0, 1 << 4, 1 << 5, 1 << 31
CR4_PAE = 1 << 5
EFER_LME, EFER_LMA = 1 << 8, 1 << 10
RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI = range(8)


@dataclass(frozen=True, slots=True)
class Segment:
    """attributes: bits 0-7 type, S, DPL, P; 8-11 AVL, L, D/B, G."""

    selector: int
    attributes: int
    limit: int = 0xFFFF_FFFF
    base: int = 0


CODE64 = Segment(0x10, 0xA9B)
CODE32 = Segment(0x10, 0xC9B)
DATA = Segment(0x18, 0xC93)
LDT = Segment(0, 0x082, 0xFFFF)
TASK = Segment(0, 0x08B, 0x67)


@dataclass(frozen=True, slots=True)
class State:
    """gpr: by number of the encoding. Segments that are not named are DATA."""

    rip: int
    cr0: int
    cr3: int = 0
    cr4: int = 0
    efer: int = 0
    gpr: dict[int, int] = field(default_factory=dict)
    code: Segment = CODE32
    gdt: Segment = Segment(0, 0, 0)

    def fill(self, c: Any) -> None:
        """Writes itself into a struct vm_vcpu_state."""
        board = abi.lib()
        c.rip, c.cr0, c.cr3, c.cr4, c.efer = self.rip, self.cr0, self.cr3, self.cr4, self.efer
        c.rflags = 2
        for number, value in self.gpr.items():
            c.gpr[number] = value
        segments = dict.fromkeys(range(board.VM_SEGMENTS), DATA)
        segments |= {board.VM_CS: self.code, board.VM_LDTR: LDT, board.VM_TR: TASK}
        segments |= {board.VM_GDTR: self.gdt, board.VM_IDTR: Segment(0, 0, 0)}
        for index, segment in segments.items():
            seg = c.seg[index]
            seg.selector, seg.attributes = segment.selector, segment.attributes
            seg.limit, seg.base = segment.limit, segment.base


def protected32(rip: int, gpr: dict[int, int]) -> State:
    """32-bit protected mode, flat, paging off: PVH and Multiboot."""
    return State(rip, CR0_PE | CR0_ET, gpr=gpr)


def long64(rip: int, cr3: int, gpr: dict[int, int], gdt: Segment) -> State:
    """64-bit mode on the page tables at cr3."""
    cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_PG
    return State(rip, cr0, cr3, CR4_PAE, EFER_LME | EFER_LMA, gpr, CODE64, gdt)
