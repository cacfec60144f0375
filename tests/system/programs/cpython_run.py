# SPDX-License-Identifier: Apache-2.0
"""Runs CPython's own regression tests case by case, on any kernel: cpython_run.py OUT TEST...

Each file runs in a process of its own; what it says of its cases goes to OUT/TEST as lines
"OUTCOME CASE" (start, ok, fail, skip). A case that ends its process or makes no progress for
PATIENCE seconds is "crash" or "hang", and the rest of the file goes on in a new process.
"""

import importlib
import os
import subprocess
import sys
import time
import unittest
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

PATIENCE = 240.0  # seconds for one case; TCG on a busy machine is slow
ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]


class Recorder(unittest.TestResult):
    """Writes every outcome down as it comes."""

    def __init__(self, out: Path) -> None:
        super().__init__()
        self.file = out.open("a", buffering=1)
        self.bad = False

    def say(self, outcome: str, test: unittest.TestCase) -> None:
        self.file.write(f"{outcome} {test.id()}\n")

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().startTest(test)
        self.bad = False
        self.say("start", test)

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        self.say("ok", test)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802
        self.say("skip", test)

    def failed(self, test: unittest.TestCase, err: ExcInfo) -> None:
        self.say("fail", test)
        text = self._exc_info_to_string(err, test)  # type: ignore[attr-defined]
        print(f"== {test.id()}\n{text}", flush=True)

    def addError(self, test: unittest.TestCase, err: ExcInfo) -> None:  # noqa: N802
        self.failed(test, err)

    def addFailure(self, test: unittest.TestCase, err: ExcInfo) -> None:  # noqa: N802
        self.failed(test, err)

    def addExpectedFailure(self, test: unittest.TestCase, err: ExcInfo) -> None:  # noqa: N802
        self.say("ok", test)

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        self.say("fail", test)

    def addSubTest(  # noqa: N802
        self, test: unittest.TestCase, subtest: unittest.TestCase, err: ExcInfo | None
    ) -> None:
        if err is not None:
            self.failed(test, err)


def cases(suite: Any) -> Iterator[unittest.TestCase]:
    for one in suite:
        if isinstance(one, unittest.TestSuite):
            yield from cases(one)
        else:
            yield one


def finished(out: Path) -> set[str]:
    """Cases that need not run again: all that were begun."""
    lines = out.read_text().splitlines() if out.exists() else []
    return {line.split(" ", 1)[1] for line in lines}


def child(name: str, out: Path) -> int:
    """The cases of one file that have not run yet."""
    support = importlib.import_module("test.support")
    os_helper = importlib.import_module("test.support.os_helper")
    resources = ["subprocess"]
    if name == "test_socketserver":  # it means the loopback interface, and would skip itself whole
        resources.append("network")
    vars(support).update(use_resources=resources, verbose=0)
    with os_helper.temp_cwd(f"tempcwd{os.getpid()}"):  # one that hung has left its own
        suite = unittest.defaultTestLoader.loadTestsFromName(f"test.{name}")
        done = finished(out)
        left = [case for case in cases(suite) if case.id() not in done]
        unittest.TestSuite(left).run(Recorder(out))
    return 0


def watch(name: str, out: Path) -> None:
    """Runs the file until all of its cases have an outcome."""
    while True:
        begun = len(finished(out))
        command = [sys.executable, __file__, "--child", str(out), name]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        verdict = "crash"
        size, since = -1, time.monotonic()
        while process.poll() is None:
            if (now := out.stat().st_size if out.exists() else 0) != size:
                size, since = now, time.monotonic()
            elif time.monotonic() - since > PATIENCE:
                verdict = "hang"
                os.killpg(process.pid, 9)
            try:
                process.wait(1)
            except subprocess.TimeoutExpired:
                continue
        lines = out.read_text().splitlines() if out.exists() else []
        if lines and lines[-1].startswith("start ") and process.returncode:
            with out.open("a") as file:
                file.write(f"{verdict} {lines[-1].split(' ', 1)[1]}\n")
        if process.returncode == 0:
            return
        if len(finished(out)) == begun:
            with out.open("a") as file:
                file.write(f"{verdict} {name}\n")  # the file as a whole
            return


def main(arguments: list[str]) -> int:
    if arguments[0] == "--child":
        return child(arguments[2], Path(arguments[1]))
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name in arguments[1:]:
        start = time.monotonic()
        watch(name, folder / name)
        print(f"ran {name} in {time.monotonic() - start:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
