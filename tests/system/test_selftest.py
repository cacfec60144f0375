# SPDX-License-Identifier: Apache-2.0
"""The running kernel's own tests of memory and scheduler (boot option selftest=)."""

from collections.abc import Callable

import pytest

from tests.system.machine import Machine

Boot = Callable[..., Machine]


@pytest.mark.parametrize("cpus", [1, 2, 8])
def test_memory_and_scheduler(boot: Boot, cpus: int) -> None:
    console = boot(cpus=cpus, options="selftest=all").console
    done = console.expect(r"selftest: done, (?P<failed>\d+) failed", 180)
    assert done["failed"] == "0", console.transcript
    for name in ("pages", "heap", "kmap", "locks", "waits", "timers", "worlds", "work"):
        assert f"selftest: {name}: ok" in console.transcript
