# SPDX-License-Identifier: Apache-2.0
"""The vDSO as a program finds it: prints "no vDSO", or "vDSO holds" when all of this is so.

It is mapped without a page that is writable and executable; glibc's clocks are read from it (a
process that has taken away its page of times dies of reading one); its clocks are those of the
system calls, and so is its CPU, on every CPU.
"""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

AT_SYSINFO_EHDR, PAGE = 33, 4096
CLOCK_GETTIME, GETCPU = 228, 309

libc = ctypes.CDLL(None)
libc.getauxval.restype = libc.dlsym.restype = libc.dlvsym.restype = ctypes.c_void_p


def by_call(clock: int) -> int:
    ts = (ctypes.c_int64 * 2)()
    assert libc.syscall(CLOCK_GETTIME, clock, ts) == 0
    return ts[0] * 10**9 + ts[1]


def areas(image: int) -> list[str]:
    """Protections of the page of times and of the image."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    starts = {int(line.split("-")[0], 16): line.split()[1] for line in maps}
    return [starts[image - PAGE], starts[image]]


def dies_without_times(image: int) -> bool:
    pid = os.fork()
    if pid == 0:
        assert libc.mprotect(ctypes.c_void_p(image - PAGE), PAGE, 0) == 0
        time.monotonic()
        os._exit(0)
    return os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGSEGV


def cpus_seen(getcpu: int) -> int:
    """A bit for each CPU that this process has been on; those of the call agree."""
    seen, end = 0, time.monotonic() + 1
    number, node, before, after = (ctypes.c_uint32(99) for _ in range(4))
    while time.monotonic() < end:
        libc.syscall(GETCPU, ctypes.byref(before), None, None)
        ctypes.CFUNCTYPE(ctypes.c_int)(getcpu)(ctypes.byref(number), ctypes.byref(node), None)
        libc.syscall(GETCPU, ctypes.byref(after), None, None)
        if before.value == after.value:  # else it has moved
            assert (number.value, node.value) == (after.value, 0)
            seen |= 1 << number.value
    return seen


def all_cpus(getcpu: int) -> int:
    """A bit for each CPU that one of several busy processes has been on."""
    pids, seen = [], 0
    for _ in range(2 * (os.cpu_count() or 1)):
        pids.append(os.fork())
        if pids[-1] == 0:
            os._exit(cpus_seen(getcpu))
    for pid in pids:
        seen |= os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return seen


def main() -> int:
    image = libc.getauxval(AT_SYSINFO_EHDR)
    if not image:
        print("no vDSO")
        return 0
    assert ctypes.string_at(image, 4) == b"\x7fELF"
    assert areas(image) == ["r--p", "r-xp"]
    assert dies_without_times(image)
    for clock in (time.CLOCK_REALTIME, time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME):
        for _ in range(1000):
            low, middle, high = by_call(clock), time.clock_gettime_ns(clock), by_call(clock)
            assert low <= middle <= high, (clock, low, middle, high)
    vdso = ctypes.CDLL("linux-vdso.so.1")
    getcpu = libc.dlvsym(ctypes.c_void_p(vdso._handle), b"__vdso_getcpu", b"LINUX_2.6")
    assert all_cpus(getcpu) == (1 << (os.cpu_count() or 1)) - 1
    print("vDSO holds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
