# SPDX-License-Identifier: Apache-2.0
"""Userworlds on the running vmkernel: busybox, and programs that mean no good."""

import hashlib
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tepui.iso import cpio, image
from tests.system import guests
from tests.system.console import Console
from tests.system.machine import ROOT, Machine

Boot = Callable[..., Machine]
APPLETS = (
    "sh cat ls ps kill sleep grep wc seq head tail sort tr mkdir rm mv cp ln dd sha256sum true"
)
PROGRAMS = ("fuzz", "hostile", "passing")
INIT = """#!/bin/sh
while :; do setsid sh -c 'PS1="ready> " exec sh </dev/ttyS0 >/dev/ttyS0 2>&1'; done
"""


@pytest.fixture(scope="session")
def busybox_iso(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ISO whose userworld image holds busybox and this folder's programs."""
    folder = tmp_path_factory.mktemp("userworld")
    root = folder / "root"
    for name in ("bin", "sbin", "dev", "proc", "sys", "tmp", "etc", "root"):
        (root / name).mkdir(parents=True)
    guests.busybox(root, APPLETS + " setsid id free test uname tar gzip vi stty")
    (root / "sbin/init").write_text(INIT)
    (root / "sbin/init").chmod(0o755)
    for name in PROGRAMS:
        source = str(ROOT / f"tests/system/programs/{name}.c")
        command = [
            "gcc",
            "-std=gnu11",
            "-O1",
            "-static",
            "-Wall",
            "-o",
            str(root / "bin" / name),
            str(source),
        ]
        subprocess.run(command, check=True)
    with (folder / "userworld").open("wb") as out:
        cpio.write(root, out, 0)
    iso = folder / "tepui.iso"
    image.build(iso, ROOT / "build/vmkernel.elf", {"userworld": folder / "userworld"})
    return iso


@pytest.fixture
def shell(boot: Boot, busybox_iso: Path) -> Console:
    console = boot(iso=busybox_iso, cpus=2, options="loglevel=warning").console
    console.expect("ready> ")
    return console


def run(console: Console, command: str, timeout: float = 60) -> str:
    """A command's output, between its echo and the next prompt."""
    _, printed = console.command(command, timeout)
    console.expect("ready> ")
    return printed


def test_files_and_pipes(shell: Console) -> None:
    assert run(shell, "seq 1000 | sort -rn | head -1").strip() == "1000"
    zeros = run(shell, "dd if=/dev/zero bs=1000 count=300 2>/dev/null | sha256sum")
    assert zeros.split()[0] == hashlib.sha256(bytes(300_000)).hexdigest()
    run(shell, "mkdir /tmp/d; seq 100000 >/tmp/d/x; cp /tmp/d/x /tmp/d/y; mv /tmp/d/y /tmp/z")
    assert run(shell, "cat /tmp/z | wc -l").strip() == "100000"
    assert run(shell, "tar cf - /tmp/d 2>/dev/null | gzip | gzip -d | tar tf -").split() == [
        "tmp/d/",
        "tmp/d/x",
    ]


def test_processes_and_signals(shell: Console) -> None:
    assert run(shell, "(exit 7); echo $?").strip() == "7"
    assert run(shell, "sh -c 'kill -9 $$'; echo $?").split()[-1] == "137"
    assert run(shell, "sh -c 'sleep 100 & p=$!; kill $p; wait $p'; echo $?").split()[-1] == "143"
    # The job itself says that it has begun: before it has the terminal, keys mean nothing to it.
    job = "sh -c 'echo begin; exec sleep 100'\n"
    shell.send(job)
    shell.expect(r"\nbegin")
    shell.send("\x03")
    shell.expect("ready> ")
    shell.send(job)
    shell.expect(r"\nbegin")
    shell.send("\x1a")
    shell.expect("Stopped")
    assert "sleep 100" in run(shell, "jobs")
    assert run(shell, "kill %1; wait; echo gone").split()[-1] == "gone"


def test_bad_signal_frames(shell: Console) -> None:
    """Only the process suffers: SIGSEGV (139), SIGTRAP (133) of a trap flag, or nothing where
    the value is corrected."""
    out = re.search(r"sigframe:((?: \d+){9})", run(shell, "hostile sigframe"))
    assert out
    assert [int(n) for n in out[1].split()] == [139, 139, 139, 139, 139, 0, 133, 0, 0]


def test_fork_bomb(shell: Console) -> None:
    assert "temporarily unavailable after many" in run(shell, "hostile fork", 120)
    assert run(shell, "echo alive").strip() == "alive"


def test_memory_bomb(shell: Console) -> None:
    assert "ended with 137" in run(shell, "hostile memory", 180)
    assert run(shell, "echo alive").strip() == "alive"


def test_descriptors_in_flight_and_sets_in_sets(shell: Console) -> None:
    """Each deed has an end, and the kernel goes on."""
    for deed, printed in (
        ("peer", "1 then 0"),
        ("chain", "900"),
        ("rings", "0 refused"),
        ("flood", "refused"),
        ("bytes", "charged"),
        ("sets", "bounded"),
        ("binds", "0 dangling"),
        ("netlink", "bounded"),
        ("icmp6", "4 refused"),
    ):
        assert f"passing {deed}: {printed}" in run(shell, f"passing {deed}", 120)
    assert run(shell, "echo alive").strip() == "alive"


def test_corrupted_programs(shell: Console) -> None:
    """Headers with wrong bytes: refused, or a process that ends; the kernel goes on."""
    assert "hostile elf: 300 tried" in run(shell, "hostile elf 300", 300)
    assert run(shell, "echo alive").strip() == "alive"


def test_nothing_leaks(shell: Console) -> None:
    """Free memory is the same after 3,000 more process lives: 64 bytes left by each would show."""

    def free() -> int:
        return int(run(shell, "grep MemFree /proc/meminfo").split()[1])

    run(shell, "hostile fork", 120)  # so many at once: every cache holds the most that it keeps
    run(shell, "hostile lives 200", 120)
    before = free()
    run(shell, "hostile lives 3000", 300)
    assert before - free() < 62


def memory_free(shell: Console) -> int:
    """In KiB."""
    return int(run(shell, "grep MemFree /proc/meminfo").split()[1])


@pytest.mark.parametrize("processes", [1, 12])
def test_one_byte_messages_for_ever(shell: Console, processes: int) -> None:
    """The sender is refused, and the console still has memory to work with; it comes back.

    Each message is charged its true size to the process and its user (vmk/account.h). 1,374,622
    of them took all of the kernel's memory before.
    """
    before = memory_free(shell)
    run(shell, f"{{ hostile messages {processes} >/tmp/messages 2>&1 & }}")
    run(shell, "until grep -q full /tmp/messages; do sleep 1; done", 240)
    out = run(shell, "cat /tmp/messages")
    assert out.count("sent, then: ") == processes
    # Whichever bound is met first: memory's, or that of descriptors in flight.
    assert set(re.findall("then: (.*?)\r?\n", out)) <= {
        "No buffer space available",
        "Cannot allocate memory",
        "Too many open files",
    }
    assert memory_free(shell) > before // 2
    assert run(shell, "echo alive | tr a-z A-Z | cat").strip() == "ALIVE"
    run(shell, "kill -9 %1; wait", 120)
    free = "until [ $(grep MemFree /proc/meminfo | tr -dc 0-9) -gt %d ]; do sleep 1; done"
    run(shell, free % (before - 4096), 120)


def test_page_tables_are_charged(shell: Console) -> None:
    """A page that is mapped in each 2 MiB: 65,536 times before, a page of tables each time."""
    before = memory_free(shell)
    out = re.search(r"hostile tables: (\d+), ended with (\d+)", run(shell, "hostile tables", 120))
    assert out and 1000 < int(out[1]) < 20_000  # of a process's 32 MiB
    assert int(out[2]) in (2, 137)
    assert before - memory_free(shell) < 4096


def random_calls(shell: Console, calls: int, timeout: float) -> None:
    """So many from each of four userworlds at once."""
    for seed in range(4):
        run(shell, f"{{ fuzz {seed} {calls} </dev/null >/tmp/fuzz{seed} 2>&1 & }}")
    out = run(shell, "wait; cat /tmp/fuzz?", timeout)
    made = [int(n) for n in re.findall(r"fuzz \d: (\d+) calls", out)]
    assert len(made) == 4 and min(made) >= calls
    assert run(shell, "echo alive").strip() == "alive"


def test_random_calls(shell: Console) -> None:
    random_calls(shell, 25_000, 300)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_ten_million_random_calls(shell: Console) -> None:
    random_calls(shell, 2_500_000, 7000)
