# SPDX-License-Identifier: Apache-2.0
"""The service console on serial: login, busybox, Python, and esxcli through the control socket."""

import re
from collections.abc import Callable, Iterator

import pytest

from tests.system.machine import Machine
from tests.system.shell import Shell


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
    # The host judges itself: this machine has disks' controllers, and no NIC.
    rc, text = shell.run("esxcli hcl check")
    assert rc == 1 and re.search(r"VERDICT +this host +WILL NOT INSTALL", text), text
    assert re.search(r"ERROR .*NO_NICS", text) and re.search(r"OK .* ahci +EMULATED", text), text
    assert any(r["Driver"] == "nvme" for r in shell.json("hcl list"))
    assert any(w["Name"] == "sh" or "sh" in w["Name"] for w in shell.json("system process list"))


def test_wrong_commands(shell: Shell) -> None:
    rc, text = shell.run("esxcli hardware nothing")
    assert rc == 2 and "Unknown command or namespace hardware nothing" in text
    rc, text = shell.run("esxcli system module get -m none")
    assert rc == 1 and "No module named 'none'" in text


def test_power_off(shell: Shell) -> None:
    shell.console.send("esxcli system shutdown poweroff -r test\r")
    assert shell.machine.wait_exit(60) == 0
