# SPDX-License-Identifier: Apache-2.0
"""The service console on serial: login, busybox, Python, and esxcli through the control socket."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.system.machine import READY, Machine


class Shell:
    """A logged-in session on a machine's serial console."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.console = machine.console
        self.marks = 0
        self.console.expect(READY, 120)
        self.console.expect("login: ", 120)
        self.console.send("root\r")
        self.console.expect(r"\] ", 120)

    def run(self, command: str, timeout: float = 120) -> tuple[int, str]:
        """Exit status and output of a line of the shell."""
        self.marks += 1
        mark = f"mark-{self.marks}"
        self.console.send(f"echo {mark}-begin; {command}; echo {mark}-end-$?\r")
        found = self.console.expect(
            rf"(?s)\n{mark}-begin\r?\n(?P<text>.*?){mark}-end-(?P<rc>\d+)", timeout
        )
        return int(found["rc"]), found["text"].replace("\r\n", "\n")

    def json(self, command: str) -> Any:
        rc, text = self.run(f"esxcli --formatter=json {command}")
        assert rc == 0, text
        return json.loads(text)


@pytest.fixture
def shell(boot: Callable[..., Machine]) -> Iterator[Shell]:
    yield Shell(boot(cpus=2, memory=1024))


def test_first_minutes(shell: Shell) -> None:
    """Busybox and CPython, unmodified; esxcli and lspci agree about the machine."""
    rc, text = shell.run("ls / && python3 -c 'print(6 * 7)'")
    assert rc == 0 and "vmfs" in text and "\n42\n" in text
    version = shell.json("system version get")[0]
    assert version["Product"] == "Tepui"
    assert len(shell.json("hardware cpu list")) == 2
    memory = shell.json("hardware memory get")[0]["PhysicalMemory"]
    assert 1000 << 20 < int(memory.split()[0]) <= 1024 << 20
    ours = {row["Address"][5:] for row in shell.json("hardware pci list")}
    _, text = shell.run("lspci -n")
    assert ours == {line.split()[0] for line in text.splitlines() if line}
    assert any(w["Name"] == "sh" or "sh" in w["Name"] for w in shell.json("system process list"))


def test_wrong_commands(shell: Shell) -> None:
    rc, text = shell.run("esxcli hardware nothing")
    assert rc == 2 and "Unknown command or namespace hardware nothing" in text
    rc, text = shell.run("esxcli system module get -m none")
    assert rc == 1 and "No module named 'none'" in text


def test_power_off(shell: Shell) -> None:
    shell.console.send("esxcli system shutdown poweroff -r test\r")
    assert shell.machine.wait_exit(60) == 0
