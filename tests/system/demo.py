# SPDX-License-Identifier: Apache-2.0
"""`make demo`: shows, on an emulated machine, what the vmkernel can do so far, with times."""

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.system.machine import ISO, READY, Config, Firmware, Machine

LOGS = Path("build/logs/demo").resolve()


def step(text: str, action: Callable[[], str]) -> None:
    """Prints what happens, then its result and the seconds that it took."""
    print(f"{text:<58}", end="", flush=True)
    start = time.monotonic()
    result = action()
    print(f"{time.monotonic() - start:6.1f} s   {result}")


def boot(firmware: Firmware) -> str:
    config = Config(cpus=2, memory=1024, firmware=firmware)
    with Machine(config, LOGS / firmware) as machine:
        return machine.console.expect(READY, 120).group()


def main() -> int:
    print(f"The ISO: {ISO} ({ISO.stat().st_size / 1e6:.1f} MB)")
    for firmware in Firmware:
        name = {"bios": "SeaBIOS", "uefi": "OVMF"}[firmware]
        step(f"Power on, {name}, 2 CPUs, 1 GiB, CD", partial(boot, firmware))
    print(f"What the consoles showed: {LOGS}")
    print("The tepui command: build/venv/bin/tepui. Try it yourself: make run")
    return 0


if __name__ == "__main__":
    sys.exit(main())
