# SPDX-License-Identifier: Apache-2.0
"""CPython's own regression tests, held against the table that a run on Debian's kernel left."""

from collections.abc import Callable, Sequence

import pytest

from tests.system import beside, cpython
from tests.system.machine import Machine


def check(module_boot: Callable[..., Machine], names: Sequence[str], timeout: float) -> None:
    """Each file passes 98% of the cases that pass on Debian's kernel, and fails none that the
    table does not name."""
    counts, known = cpython.expected()
    config = beside.tepui(cpython.module(), cpython.CONFIG)
    machine = module_boot(iso=config.iso, options=config.options, cpus=2, memory=config.memory)
    results = cpython.run(machine.console, names, timeout)
    for name, result in results.items():
        assert set(result.failed) <= known, name
        assert len(result.passed) >= 0.98 * counts[name], name


@pytest.mark.timeout(900)
def test_fast_files(module_boot: Callable[..., Machine]) -> None:
    check(module_boot, cpython.FAST, 250)


@pytest.mark.soak
@pytest.mark.timeout(10_800)
def test_every_file(module_boot: Callable[..., Machine]) -> None:
    """All that the table has."""
    check(module_boot, list(cpython.expected()[0]), 3600)
