# SPDX-License-Identifier: Apache-2.0
"""The record of a panic is found by the next boot, and only as a whole."""

import pytest

from tests.unit import cunit

CODE = """
#include "vmk/boot.h"
#include "vmk/layout.h"
#include "vmk/panic.h"
#include "vmk/log.h"
#include <string.h>
enum { RAM = 4 << 20, MIDDLE = 2 << 20 };
char *direct_host;
char image_start[1];
struct boot_info boot_info;
static char ram[RAM];
static const char screen[] = "PANIC: it broke\\n";
static unsigned lines; /* of the log */
static uint64_t reserved;

void panic_print(const char *fmt, ...) {}
const char *panic_screen_text(size_t *len)
{
	*len = sizeof(screen) - 1;
	return screen;
}
void boot_reserve(pa_t base, uint64_t len) { reserved = base; }
size_t log_read(uint64_t *seq, char *buf, size_t size)
{
	size_t used = 0;
	while (*seq < lines && used + 16 <= size) {
		memset(buf + used, 'a' + *seq % 26, 15);
		buf[used + 15] = '\\n';
		used += 16;
		(*seq)++;
	}
	return used;
}
void boot(bool module_in_the_way)
{
	direct_host = ram;
	boot_info.ranges = 1;
	boot_info.range[0] = (struct boot_range){ .len = RAM, .type = BOOT_RAM };
	boot_info.modules = module_in_the_way;
	boot_info.module[0] = (struct boot_module){ .file = MIDDLE - 4096, .file_len = 8192 };
	reserved = 0;
	panic_record_init();
}
void fail(unsigned count)
{
	extern const struct panic_step __start_panic_steps[];
	lines = count;
	__start_panic_steps[0].fn(NULL);
}
uint64_t place(void) { return reserved; }
void spoil(unsigned at) { ram[MIDDLE + at] ^= 4; }
long found(char *out)
{
	size_t len;
	const char *text = panic_record(&len);
	if (text == NULL)
		return -1;
	memcpy(out, text, len);
	return (long)len;
}
"""
CDEF = """
void boot(bool module_in_the_way); void fail(unsigned count); uint64_t place(void);
void spoil(unsigned at); long found(char *out); void panic_record_done(void);
"""
HEAD = b"PANIC: it broke\n\nThe end of the log:\n"


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    sources = ["vmkernel/log/record.c", "vmkernel/lib/crc32c.c"]
    return cunit.build("record", sources, (), CDEF, (), CODE)


def found(unit: cunit.Unit) -> bytes | None:
    out = unit.ffi.new("char[]", 1 << 20)
    length = unit.lib.found(out)
    return None if length < 0 else bytes(unit.ffi.buffer(out, length))


def log(first: int, last: int) -> bytes:
    return b"".join(bytes([97 + i % 26]) * 15 + b"\n" for i in range(first, last))


@pytest.mark.parametrize("lines", [0, 1, 500, 4096, 10000])
def test_the_next_boot_finds_screen_and_log(unit: cunit.Unit, lines: int) -> None:
    unit.lib.boot(False)
    unit.lib.fail(lines)
    unit.lib.boot(False)
    assert unit.lib.place() == 2 << 20
    assert found(unit) == HEAD + log(max(0, lines - 4096), lines)
    unit.lib.panic_record_done()
    assert found(unit) is None
    unit.lib.boot(False)
    assert found(unit) is None


@pytest.mark.parametrize("at", [0, 8, 12, 16, 16 + len(HEAD), 16 + len(HEAD) + 159])
def test_what_was_overwritten_is_no_record(unit: cunit.Unit, at: int) -> None:
    unit.lib.boot(False)
    unit.lib.fail(10)
    unit.lib.spoil(at)
    unit.lib.boot(False)
    assert found(unit) is None


def test_a_module_in_the_way_is_left_alone(unit: cunit.Unit) -> None:
    fresh = unit.copy("module")
    fresh.lib.boot(True)
    assert fresh.lib.place() == 0
    fresh.lib.fail(10)
    assert found(fresh) is None
