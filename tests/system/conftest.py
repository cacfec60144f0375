# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the system tests."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.system.bochs import Bochs
from tests.system.machine import ISO, ROOT, Config, Machine


@pytest.fixture(scope="session", autouse=True)
def iso() -> Path:
    """The ISO that every machine boots."""
    assert ISO.exists(), f"{ISO} is missing: make iso"
    return ISO


@pytest.fixture
def logs(request: pytest.FixtureRequest) -> Path:
    """This test's folder below build/logs/."""
    name = re.sub(r"[^\w.=,-]+", "_", request.node.nodeid.removeprefix("tests/system/"))
    return ROOT / "build/logs" / name


@pytest.fixture
def boot(logs: Path) -> Iterator[Callable[..., Machine]]:
    """Starts machines that end with the test: boot(cpus=2, options="...") -> Machine."""
    with ExitStack() as stack:
        count = 0

        def start(**config: Any) -> Machine:
            nonlocal count
            count += 1
            folder = logs if count == 1 else logs / str(count)
            return stack.enter_context(Machine(Config(**config), folder))

        yield start


@pytest.fixture
def bochs(logs: Path) -> Iterator[Callable[..., Bochs]]:
    """Starts Bochs machines that end with the test: bochs(cpus=2) -> Bochs."""
    with ExitStack() as stack:

        def start(**config: Any) -> Bochs:
            return stack.enter_context(Bochs(logs, **config))

        yield start
