# SPDX-License-Identifier: Apache-2.0
"""The debug build: the whole ground under its checks of lock ranks and undefined behaviour."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tepui.iso import image
from tests.system.machine import ROOT, Machine
from tests.system.test_every_operation import ask_everything

Boot = Callable[..., Machine]


@pytest.fixture(scope="module")
def debug_iso(tmp_path_factory: pytest.TempPathFactory) -> Path:
    make = ["flock", "build/debug.lock", "make", "-s", "-j2", "DEBUG=1", "test-image"]
    subprocess.run(make, cwd=ROOT, check=True)
    iso = tmp_path_factory.mktemp("debug") / "tepui.iso"
    modules = {"userworld": ROOT / "build/userworld.img"}
    image.build(iso, ROOT / "build/debug/test/vmkernel.elf", modules)
    return iso


def test_selftests_pass_all_checks(boot: Boot, debug_iso: Path) -> None:
    names = "pages,heap,kmap,locks,waits,timers,work"
    console = boot(iso=debug_iso, cpus=2, options=f"selftest={names} init=none").console
    assert console.expect(r"selftest: done, (\d+) failed", 240)[1] == "0", console.transcript


def test_the_service_console_passes_all_checks(boot: Boot, debug_iso: Path) -> None:
    boot(iso=debug_iso, cpus=2, memory=1024).console.expect("login: ", 240)


def test_every_operation_and_command_passes_all_checks(boot: Boot, debug_iso: Path) -> None:
    ask_everything(boot, debug_iso)


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("lockorder", r"lock outer \(rank 10\) wanted while inner \(rank 94\) is held"),
        ("undefined", r"#UD invalid opcode"),
    ],
)
def test_what_is_wrong_panics(boot: Boot, debug_iso: Path, case: str, reason: str) -> None:
    console = boot(iso=debug_iso, options=f"panictest={case}").console
    console.expect(rf"^PANIC: .*{reason}", 120, panic=True)
