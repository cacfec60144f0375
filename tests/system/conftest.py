# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the system tests."""

import re
import subprocess
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tepui.hcl import image, records
from tests.system.bochs import Bochs
from tests.system.machine import ISO, ROOT, Config, Machine

#: The firmware of the machines that a test booted.
BOOTED = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--evidence",
        choices=("stale", "all"),
        help="run only the tests that prove rows of the compatibility list, write their records",
    )


def proofs(item: pytest.Item) -> list[tuple[str, str]]:
    """The (driver, row) pairs that a test's `proves` marks name."""
    return [(m.args[0], m.args[1]) for m in item.iter_markers("proves")]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    which = config.getoption("--evidence", None)
    if which:
        stale = records.stale(ROOT, image.read(ROOT / "build/vmkernel.elf", ""))
        items[:] = [i for i in items if any(which == "all" or p in stale for p in proofs(i))]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """What a passed test proves travels with its report, from whichever worker ran it."""
    report = (yield).get_result()
    if report.when == "call" and report.passed and item.config.getoption("--evidence", None):
        booted: list[str] = item.stash[BOOTED]
        firmware = ", ".join(sorted(set(booted)))
        report.user_properties += [("proves", (d, row, firmware)) for d, row in proofs(item)]


#: Node id, and (driver, row, firmware).
PASSED: list[tuple[str, Any]] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    PASSED.extend((report.nodeid, p) for name, p in report.user_properties if name == "proves")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not PASSED or hasattr(session.config, "workerinput"):
        return
    version = subprocess.run(
        ["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=True
    )
    machine = f"QEMU {version.stdout.split()[3]}"
    hcl = image.read(ROOT / "build/vmkernel.elf", "")
    source = {(driver, row): path for driver, row, path in records.proven(hcl)}
    written = [
        records.Record(d, row, test, records.digest(ROOT, source[d, row]), firmware, machine)
        for test, (d, row, firmware) in PASSED
    ]
    records.save(ROOT, written)


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


def starter(folder: Path, booted: list[str]) -> Iterator[Callable[..., Machine]]:
    """Starts machines that end with whoever asked; the second's logs are in folder/2.

    The firmware of each goes to `booted`."""
    with ExitStack() as stack:
        count = 0

        def start(**config: Any) -> Machine:
            nonlocal count
            count += 1
            here = folder if count == 1 else folder / str(count)
            machine = stack.enter_context(Machine(Config(**config), here))
            booted.append(str(machine.config.firmware))
            return machine

        yield start


@pytest.fixture
def boot(logs: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Machine]]:
    """Machines that end with the test: boot(cpus=2, options="...") -> Machine."""
    yield from starter(logs, request.node.stash.setdefault(BOOTED, []))


@pytest.fixture(scope="module")
def module_boot(request: pytest.FixtureRequest) -> Iterator[Callable[..., Machine]]:
    """Machines that end with the test's module."""
    yield from starter(ROOT / "build/logs" / request.node.name.replace("/", "_"), [])


@pytest.fixture
def bochs(logs: Path) -> Iterator[Callable[..., Bochs]]:
    """Starts Bochs machines that end with the test: bochs(cpus=2) -> Bochs."""
    with ExitStack() as stack:

        def start(**config: Any) -> Bochs:
            return stack.enter_context(Bochs(logs, **config))

        yield start
