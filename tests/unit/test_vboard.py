# SPDX-License-Identifier: Apache-2.0
"""The board's device models as the guest sees them: PIC, I/O APIC, local APIC, PIT, RTC, UART."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit import cunit

SOURCES = [
    *(f"vmkernel/vmm/{name}.c" for name in ("iobus", "vpic", "vioapic", "vlapic", "vlapic_timer")),
    *(f"vmkernel/vdev/{name}.c" for name in ("vpit", "vrtc", "vuart", "vconsole")),
    "vmkernel/lib/date.c",
]
HEADERS = [
    *("vmm/vpic.h", "vmm/vioapic.h", "vmm/vlapic.h", "vdev/vpit.h", "vdev/vrtc.h", "vdev/vuart.h"),
    "seam.h",
]
CODE = """
#include <string.h>
struct testbed {
	struct iobus io;
	struct vpic pic;
	struct vioapic ioapic;
	struct vlapic apic;
	struct vpit pit;
	struct vrtc rtc;
	struct vuart uart;
	struct virq line[16];
	bool level[16];
	unsigned edges[16], eois, ipis, messages;
	uint64_t last_ipi;
	struct apic_message last;
} board;
static void set(struct virq *q, bool level)
{
	unsigned n = (unsigned)(q - board.line);
	board.edges[n] += level && !board.level[n];
	board.level[n] = level;
	vpic_set(&board.pic, n, level);
}
static void pic_changed(struct vpic *p, bool output) {}
static void deliver(struct vioapic *io, const struct apic_message *m)
{
	board.messages++;
	board.last = *m;
}
static void wake(struct vlapic *a) {}
static void ipi(struct vlapic *a, uint64_t icr) { board.ipis++; board.last_ipi = icr; }
static void eoi(struct vlapic *a, uint8_t vector)
{
	board.eois++;
	vioapic_eoi(&board.ioapic, vector);
}
static uint64_t tsc(struct vlapic *a) { return seam_now * 2; }
static ns_t to_ns(struct vlapic *a, uint64_t ticks) { return ticks / 2; }
static const struct vlapic_env env = { wake, ipi, eoi, tsc, to_ns };
int board_make(void)
{
	memset(&board, 0, sizeof board);
	for (int i = 0; i < 16; i++)
		board.line[i].set = set;
	vlapic_init(&board.apic, &env, 3, true);
	struct iobus *b = &board.io;
	int err = iobus_init(b) || vpic_init(&board.pic, b, pic_changed);
	err = err || vioapic_init(&board.ioapic, b, deliver) || vpit_init(&board.pit, b, board.line);
	err = err || vrtc_init(&board.rtc, b, &board.line[8], 64 << 20);
	return err || vuart_init(&board.uart, b, &board.line[4], 0x3f8);
}
void board_free(void)
{
	vlapic_stop(&board.apic);
	vpit_stop(&board.pit);
	vrtc_stop(&board.rtc);
	vuart_destroy(&board.uart);
	iobus_destroy(&board.io);
}
struct testbed *the_board(void) { return &board; }
"""
CDEF = """
struct testbed {
	struct iobus io; struct vpic pic; struct vioapic ioapic; struct vlapic apic; struct vpit pit;
	struct vrtc rtc; struct vuart uart; struct virq line[16]; bool level[16];
	unsigned edges[16], eois, ipis, messages; uint64_t last_ipi; struct apic_message last;
};
int board_make(void); void board_free(void); struct testbed *the_board(void);
"""
S = 10**9


class Board:
    def __init__(self, unit: cunit.Unit) -> None:
        self.lib, self.ffi = unit.lib, unit.ffi
        assert unit.lib.board_make() == 0
        self.b: Any = unit.lib.the_board()

    def at(self, name: str) -> Any:
        return self.ffi.addressof(self.b, name)

    def out(self, port: int, value: int, size: int = 1) -> None:
        self.lib.iobus_port_write(self.at("io"), port, size, value)

    def inp(self, port: int, size: int = 1) -> int:
        return int(self.lib.iobus_port_read(self.at("io"), port, size))

    def mmio(self, gpa: int, value: int | None = None) -> int:
        if value is not None:
            self.lib.iobus_mmio_write(self.at("io"), gpa, 4, value)
            return 0
        return int(self.lib.iobus_mmio_read(self.at("io"), gpa, 4))

    def line(self, n: int, level: bool) -> None:
        self.lib.vpic_set(self.at("pic"), n, level)

    def pic_start(self) -> None:
        for base, vector, cascade in ((0x20, 0x30, 4), (0xA0, 0x38, 2)):
            self.out(base, 0x11)
            for value in (vector, cascade, 1, 0):
                self.out(base + 1, value)


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    return cunit.build("vboard", SOURCES, HEADERS, CDEF, code=CODE)


@pytest.fixture
def board(unit: cunit.Unit) -> Iterator[Board]:
    yield Board(unit)
    unit.lib.board_free()


def test_pic_serves_the_secondary_before_input_3(board: Board) -> None:
    board.pic_start()
    board.line(12, True)
    assert board.lib.vpic_acknowledge(board.at("pic")) == 0x3C
    board.line(3, True)
    assert not board.b.pic.output  # the cascade is in service
    board.out(0xA0, 0x20)
    board.out(0x20, 0x20)
    assert board.lib.vpic_acknowledge(board.at("pic")) == 0x33


def test_pic_that_is_asked_for_nothing_is_spurious(board: Board) -> None:
    board.pic_start()
    board.line(5, True)
    board.line(5, False)
    assert board.lib.vpic_acknowledge(board.at("pic")) == 0x37


def test_ioapic_level_waits_for_eoi(board: Board) -> None:
    base, pin = 0xFEC00000, 17
    for register, value in ((0x11 + 2 * pin, 5 << 24), (0x10 + 2 * pin, 0x8000 | 0x51)):
        board.mmio(base, register)
        board.mmio(base + 0x10, value)
    board.lib.vioapic_set(board.at("ioapic"), pin, True)
    board.lib.vioapic_set(board.at("ioapic"), pin, True)
    assert (board.b.messages, board.b.last.dest, board.b.last.vector, board.b.last.level) == (
        1,
        5,
        0x51,
        True,
    )
    board.lib.vioapic_eoi(board.at("ioapic"), 0x51)  # still asserted: again
    assert board.b.messages == 2
    board.lib.vioapic_set(board.at("ioapic"), pin, False)
    board.lib.vioapic_eoi(board.at("ioapic"), 0x51)
    assert board.b.messages == 2


def test_lapic_delivers_by_priority_class(board: Board) -> None:
    lib, apic = board.lib, board.at("apic")
    lib.vlapic_write(apic, 0xF0, 0x1FF)
    for vector in (0x41, 0x62, 0x65):
        lib.vlapic_post(apic, vector, False)
    assert lib.vlapic_pending(apic) == 0x65
    lib.vlapic_accept(apic, 0x65)
    assert lib.vlapic_pending(apic) == -1  # 62h is of the same class
    lib.vlapic_write(apic, 0xB0, 0)
    assert lib.vlapic_pending(apic) == 0x62
    lib.vlapic_write(apic, 0x80, 0x60)
    assert lib.vlapic_pending(apic) == -1
    lib.vlapic_write(apic, 0x80, 0)
    lib.vlapic_post(apic, 0x70, True)
    lib.vlapic_accept(apic, 0x70)
    lib.vlapic_write(apic, 0xB0, 0)
    assert board.b.eois == 1  # only the level-triggered one is passed on


@given(st.integers(1, 1 << 20), st.sampled_from((0b1011, 0b0000, 0b0001, 0b0011)))
def test_lapic_timer_is_exact(unit: cunit.Unit, initial: int, divide: int) -> None:
    board = Board(unit)
    lib, apic = unit.lib, board.at("apic")
    shift = {0b1011: 0, 0b0000: 1, 0b0001: 2, 0b0011: 4}[divide]
    lib.vlapic_write(apic, 0xF0, 0x1FF)
    lib.vlapic_write(apic, 0x320, 0x40)
    lib.vlapic_write(apic, 0x3E0, divide)
    lib.vlapic_write(apic, 0x380, initial)
    lib.seam_advance((initial << shift) - 1)
    assert lib.vlapic_pending(apic) == -1
    lib.seam_advance(1)
    assert lib.vlapic_pending(apic) == 0x40 and lib.vlapic_read(apic, 0x390) == 0
    lib.board_free()


def test_lapic_deadline_timer(board: Board) -> None:
    lib, apic = board.lib, board.at("apic")
    lib.vlapic_write(apic, 0xF0, 0x1FF)
    lib.vlapic_write(apic, 0x320, 0x40040)
    lib.vlapic_set_deadline(apic, lib.seam_now * 2 + 2000)
    lib.seam_advance(999)
    assert lib.vlapic_pending(apic) == -1
    lib.seam_advance(1)
    assert lib.vlapic_pending(apic) == 0x40 and board.b.apic.deadline_tsc == 0


@given(st.integers(0x800, 0x8FF), st.integers(0, (1 << 64) - 1))
def test_x2apic_registers_take_anything(unit: cunit.Unit, msr: int, value: int) -> None:
    board = Board(unit)
    apic = board.at("apic")
    assert unit.lib.vlapic_set_base(apic, 0xFEE00D00)
    unit.lib.vlapic_msr_write(apic, msr, value)
    out = unit.ffi.new("uint64_t *")
    unit.lib.vlapic_msr_read(apic, msr, out)
    assert not unit.lib.vlapic_set_base(apic, 0xFEE00900)  # back to xAPIC without a stop between
    unit.lib.board_free()


def test_pit_counts_and_interrupts(board: Board) -> None:
    board.out(0x43, 0x34)  # channel 0, both bytes, mode 2
    board.out(0x40, 0x9C)
    board.out(0x40, 0x2E)  # 11932: 100 Hz
    board.lib.seam_advance(S)
    assert 99 <= board.b.edges[0] <= 100
    board.out(0x43, 0x00)
    count = board.inp(0x40) | board.inp(0x40) << 8
    assert 0 < count <= 11932


def test_pit_channel_2_calibrates(board: Board) -> None:
    """What Linux does: mode 0, gate on, poll the output in port 61h."""
    board.out(0x61, 0)
    board.out(0x43, 0xB0)
    board.out(0x42, 0xFF)
    board.out(0x42, 0xFF)
    assert not board.inp(0x61) & 0x20
    board.lib.seam_advance(S)  # the gate is low: it stands
    assert not board.inp(0x61) & 0x20
    board.out(0x61, 1)
    board.lib.seam_advance(54_000_000)
    assert not board.inp(0x61) & 0x20
    board.lib.seam_advance(1_000_000)
    assert board.inp(0x61) & 0x20


def rtc(board: Board, register: int) -> int:
    board.out(0x70, register)
    return board.inp(0x71)


def test_rtc_tells_what_was_set(board: Board) -> None:
    for register, value in (
        (11, 0x82),
        (0, 0x59),
        (2, 0x59),
        (4, 0x23),
        (7, 0x31),
        (8, 0x12),
        (9, 0x99),
        (0x32, 0x20),
    ):
        board.out(0x70, register)
        board.out(0x71, value)
    board.out(0x70, 11)
    board.out(0x71, 0x02)
    board.lib.seam_advance(S)
    assert [rtc(board, n) for n in (0, 2, 4, 7, 8, 9, 0x32)] == [0, 0, 0, 1, 1, 0, 0x21]


def test_rtc_update_interrupt(board: Board) -> None:
    board.out(0x70, 11)
    board.out(0x71, 0x12)
    board.lib.seam_advance(2 * S)
    assert board.b.level[8] and rtc(board, 12) & 0x90 == 0x90
    assert not board.b.level[8]


def test_uart_sends_and_receives(board: Board) -> None:
    console = board.ffi.addressof(board.b.uart, "console")
    board.out(0x3FC, 8)
    board.out(0x3F9, 3)
    assert board.b.level[4] and board.inp(0x3FA) & 0xF == 2  # the transmitter is empty
    for byte in b"hello":
        board.out(0x3F8, byte)
    buffer, end = board.ffi.new("uint8_t[16]"), board.ffi.new("bool *")
    assert board.lib.vconsole_read(console, buffer, 16, end) == 5 and bytes(buffer)[:5] == b"hello"
    assert board.lib.vconsole_write(console, b"ok", 2) == 2
    assert board.inp(0x3FD) & 1 and board.inp(0x3FA) & 0xF == 4
    assert bytes((board.inp(0x3F8), board.inp(0x3F8))) == b"ok"
    assert not board.inp(0x3FD) & 1


def test_uart_waits_for_an_attached_reader(board: Board) -> None:
    console = board.ffi.addressof(board.b.uart, "console")
    board.lib.vconsole_attach(console, True)
    for _ in range(65537):
        board.out(0x3F8, 0x41)
    assert not board.inp(0x3FD) & 0x20  # one byte is held
    buffer, end = board.ffi.new("uint8_t[100]"), board.ffi.new("bool *")
    assert board.lib.vconsole_read(console, buffer, 100, end) == 100
    assert board.inp(0x3FD) & 0x20


@given(
    st.lists(
        st.tuples(
            st.integers(0, 0xFFFF),
            st.integers(0, 1 << 32),
            st.sampled_from((1, 2, 4)),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_any_access_is_safe(unit: cunit.Unit, accesses: list[tuple[int, int, int, bool]]) -> None:
    board = Board(unit)
    ports = (
        *range(0x20, 0x22),
        *range(0x40, 0x44),
        0x61,
        0x70,
        0x71,
        0xA0,
        0xA1,
        0x4D0,
        *range(0x3F8, 0x400),
    )
    for port, value, size, write in accesses:
        port = ports[port % len(ports)]
        if write:
            board.out(port, value & (1 << 8 * size) - 1, size)
        else:
            assert board.inp(port, size) < 1 << 8 * size
        unit.lib.seam_advance(value % 100_000_000)
    unit.lib.board_free()
