# SPDX-License-Identifier: Apache-2.0
"""The running kernel's own tests of memory and scheduler (boot option selftest=)."""

from collections.abc import Callable

import pytest

from tests.system.machine import TEST_ISO, Machine

Boot = Callable[..., Machine]


@pytest.mark.parametrize("cpus", [1, 2, 8])
def test_memory_and_scheduler(boot: Boot, cpus: int) -> None:
    console = boot(iso=TEST_ISO, cpus=cpus, options="selftest=all init=none").console
    done = console.expect(r"selftest: done, (?P<failed>\d+) failed", 180)
    assert done["failed"] == "0", console.transcript
    for name in ("pages", "heap", "kmap", "locks", "waits", "timers", "worlds", "work"):
        assert f"selftest: {name}: ok" in console.transcript


def test_sixty_worlds_get_their_shares_of_two_cpus(boot: Boot) -> None:
    """Within 3% by the worlds' own counters; virtual time, so the host's load has no part in it."""
    console = boot(iso=TEST_ISO, cpus=2, icount=7, options="selftest=share init=none").console
    done = console.expect(r"selftest: done, (?P<failed>\d+) failed", 240)
    assert done["failed"] == "0", console.transcript
    assert "selftest: share: ok" in console.transcript
