# SPDX-License-Identifier: Apache-2.0
"""The line discipline against the host's: the same keys give the same bytes to both sides."""

import os
import select
import signal
import termios
import tty
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit import cunit

#: Ends what is typed; and how long the host may take to show it, in seconds.
END, PATIENCE = b"E", 2.0

CDEF = """
void test_new(uint32_t iflag, uint32_t oflag, uint32_t lflag);
void test_type(const uint8_t *s, size_t n);
int64_t test_read(uint8_t *out, size_t n);
void test_write(const char *s, size_t n);
size_t test_output(char *out, size_t n);
int test_signal(void);
size_t test_readable(void);
"""
CODE = r"""
#include "vmk/string.h"
#include "seam.h"
static struct ldisc d;
static char shown[1 << 20];
static size_t len;
static int last_signal;
static void output(void *arg, const char *s, size_t n)
{
	if (n > sizeof(shown) - len)
		n = sizeof(shown) - len;
	memcpy(shown + len, s, n);
	len += n;
}
static void on_signal(void *arg, int sig) { last_signal = sig; }
static const struct ldisc_ops ops = { output, on_signal };
void test_new(uint32_t iflag, uint32_t oflag, uint32_t lflag)
{
	ldisc_init(&d, &ops, NULL);
	d.t.iflag = iflag;
	d.t.oflag = oflag;
	d.t.lflag = lflag;
	len = 0;
	last_signal = 0;
}
void test_type(const uint8_t *s, size_t n) { ldisc_input(&d, s, n); }
ssize_t test_read(uint8_t *out, size_t n) { return ldisc_read(&d, out, n); }
void test_write(const char *s, size_t n) { ldisc_write(&d, s, n); }
size_t test_output(char *out, size_t n)
{
	size_t had = len;
	memcpy(out, shown, had < n ? had : n);
	len = 0;
	return had;
}
int test_signal(void) { return last_signal; }
size_t test_readable(void) { return ldisc_readable(&d); }
"""


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    return cunit.build("ldisc", ["vmkernel/fs/ldisc.c"], ["fs/ldisc.h"], CDEF, code=CODE)


class Host:
    """A fresh pty of the host's kernel, the slave with the flags under test."""

    def __init__(self, iflag: int, oflag: int, lflag: int) -> None:
        self.master, self.slave = os.openpty()
        mode = termios.tcgetattr(self.slave)
        mode[tty.IFLAG], mode[tty.OFLAG], mode[tty.LFLAG] = iflag, oflag, lflag
        termios.tcsetattr(self.slave, termios.TCSANOW, mode)

    def __enter__(self) -> "Host":
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self.master)
        os.close(self.slave)

    def take(self, expected: int) -> bytes:
        """What the screen shows: `expected` bytes, or fewer when no more come for a while."""
        out = b""
        while len(out) < expected and select.select([self.master], [], [], PATIENCE)[0]:
            out += os.read(self.master, 65536)
        return out

    def lines(self, size: int) -> list[bytes]:
        """What reads return, up to the one that ends with END."""
        out: list[bytes] = []
        while (not out or not out[-1].endswith(END)) and select.select(
            [self.slave], [], [], PATIENCE
        )[0]:
            out.append(os.read(self.slave, size))
        return out


IFLAG = st.sampled_from([0, termios.ICRNL, termios.INLCR, termios.IGNCR, termios.ISTRIP, 0x4000])
OFLAG = st.sampled_from([0, termios.OPOST, termios.OPOST | termios.ONLCR])
LFLAG = st.builds(
    lambda *bits: sum(bits),
    *(
        st.sampled_from([0, bit])
        for bit in (termios.ECHO, termios.ECHONL, termios.ECHOCTL, termios.IEXTEN)
    ),
    st.sampled_from([0, termios.ECHOE | termios.ECHOK | termios.ECHOKE]),
    st.just(termios.ICANON),
)
KEYS = st.text("ab _\t\n\r\x7f\x04\x15\x17\x16\x01é", max_size=40).map(str.encode)


@given(iflag=IFLAG, oflag=OFLAG, lflag=LFLAG, keys=KEYS, size=st.sampled_from([3, 5, 4096]))
def test_lines_as_the_host_gives_them(
    unit: cunit.Unit, iflag: int, oflag: int, lflag: int, keys: bytes, size: int
) -> None:
    unit.lib.test_new(iflag, oflag, lflag)
    keys += b"\x04\x04" + END + b"\x04"
    unit.lib.test_type(unit.ffi.from_buffer(keys), len(keys))
    out = unit.ffi.new("char[]", 65536)
    shown = bytes(unit.ffi.buffer(out, unit.lib.test_output(out, 65536)))
    lines = []
    while (n := unit.lib.test_read(unit.ffi.cast("uint8_t *", out), size)) >= 0:
        lines.append(bytes(unit.ffi.buffer(out, n)))
    with Host(iflag, oflag, lflag) as host:
        os.write(host.master, keys)
        assert lines == host.lines(size)
        assert shown == host.take(len(shown))


@given(oflag=OFLAG, text=st.text("ab\n\r\t\b é", max_size=60).map(str.encode))
def test_what_is_written(unit: cunit.Unit, oflag: int, text: bytes) -> None:
    unit.lib.test_new(0, oflag, 0)
    unit.lib.test_write(unit.ffi.from_buffer(text), len(text))
    out = unit.ffi.new("char[]", 65536)
    shown = bytes(unit.ffi.buffer(out, unit.lib.test_output(out, 65536)))
    with Host(0, oflag, 0) as host:
        os.write(host.slave, text)
        assert shown == host.take(len(shown))


@given(data=st.binary(max_size=3000))
def test_raw_passes_everything(unit: cunit.Unit, data: bytes) -> None:
    unit.lib.test_new(0, 0, 0)
    unit.lib.test_type(unit.ffi.from_buffer(data), len(data))
    assert unit.lib.test_readable() == len(data)
    out = unit.ffi.new("uint8_t[]", 4096)
    n = unit.lib.test_read(out, 4096)
    assert bytes(unit.ffi.buffer(out, max(n, 0))) == data


@pytest.mark.parametrize(
    ("key", "expected"),
    [(b"\x03", signal.SIGINT), (b"\x1c", signal.SIGQUIT), (b"\x1a", signal.SIGTSTP)],
)
def test_signal_keys_flush_the_line(unit: cunit.Unit, key: bytes, expected: int) -> None:
    flags = termios.ISIG | termios.ICANON | termios.ECHO | termios.ECHOCTL
    unit.lib.test_new(0, 0, flags)
    unit.lib.test_type(b"half a line" + key + b"x\n", 14)
    assert unit.lib.test_signal() == expected
    out: Any = unit.ffi.new("uint8_t[]", 64)
    assert unit.lib.test_read(out, 64) == 2 and bytes(out[0:2]) == b"x\n"


@given(size=st.integers(4000, 9000))
def test_a_full_line_still_ends(unit: cunit.Unit, size: int) -> None:
    unit.lib.test_new(0, 0, termios.ICANON)
    unit.lib.test_type(b"x" * size + b"\n", size + 1)
    out = unit.ffi.new("uint8_t[]", 8192)
    assert unit.lib.test_read(out, 8192) == min(size, 4095) + 1
    assert out[min(size, 4095)] == ord("\n")
