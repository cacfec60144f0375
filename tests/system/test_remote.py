# SPDX-License-Identifier: Apache-2.0
"""hostd on the host, `tepui --host` and ssh on a workstation: the same console from anywhere."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.system import guests
from tests.system.machine import Machine
from tests.system.shell import Shell
from tests.system.test_net import free_port
from tests.system.test_vm_console import VMX

TEPUI = Path(sys.executable).with_name("tepui")
PASSWORD = "Correct-horse"


class Workstation:
    """Where an administrator sits: a home of its own, and the way to the host."""

    def __init__(self, home: Path) -> None:
        self.home, self.https, self.ssh = home, free_port(), free_port()
        self.forward = ",".join(
            f"hostfwd=tcp:127.0.0.1:{here}-:{there}"
            for here, there in ((self.https, 443), (self.ssh, 22))
        )
        nic = f"user,id=n,{self.forward}"
        self.arguments: tuple[str, ...] = ("-netdev", nic, "-device", "virtio-net-pci,netdev=n")
        self.host: tuple[str, ...] = ("--host", f"127.0.0.1:{self.https}")

    def tepui(
        self, *words: str, password: str = PASSWORD, given: str = ""
    ) -> subprocess.CompletedProcess[str]:
        env = os.environ | {"HOME": str(self.home), "TEPUI_PASSWORD": password}
        line = [str(TEPUI), *words]
        return subprocess.run(line, env=env, input=given, capture_output=True, text=True)

    def key(self) -> str:
        """Makes the key pair that `openssh` logs in with; the public one."""
        key = self.home / "id"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        return key.with_suffix(".pub").read_text().strip()

    def openssh(self, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        options = f"-F none -p {self.ssh} -i {self.home / 'id'} -o LogLevel=ERROR"
        options += (
            f" -o UserKnownHostsFile={self.home / 'known'} -o StrictHostKeyChecking=accept-new"
        )
        options += " -o BatchMode=yes -o IdentitiesOnly=yes"
        line = ["ssh", *options.split(), "root@127.0.0.1", *words]
        return subprocess.run(line, input=given, capture_output=True, text=True)


@pytest.fixture
def station(tmp_path: Path) -> Workstation:
    return Workstation(tmp_path)


def host(boot: Callable[..., Machine], station: Workstation, **config: Any) -> Shell:
    """A host with a password, whose hostd listens; the station knows its certificate."""
    config = {"cpus": 2, "memory": 1024, **config}
    shell = Shell(boot(arguments=station.arguments, **config))
    rc, text = shell.run(f"echo {PASSWORD} | esxcli system account set -i root --password-stdin")
    assert rc == 0, text
    rc, text = shell.run("until grep -q 'listening on' /var/log/hostd.log; do sleep 1; done", 120)
    _, text = shell.run("cat /var/log/hostd.log")
    found = re.search(r"certificate SHA-256 (\S+)", text)
    assert found, text
    station.host = (*station.host, "--thumbprint", found[1])
    return shell


@pytest.mark.slow
def test_commands_from_a_workstation(
    boot: Callable[..., Machine], station: Workstation, tmp_path: Path
) -> None:
    shell = host(boot, station)
    done = station.tepui(*station.host, "--formatter=json", "system", "version", "get")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["Product"] == "Tepui"
    here = station.tepui(*station.host, "hardware", "cpu", "global", "get").stdout
    _, there = shell.run("esxcli hardware cpu global get")
    assert here == there

    done = station.tepui("shell", *station.host, given="uname -v; esxcli system ntp get; exit 7\n")
    assert done.returncode == 7, done.stderr
    assert "Tepui" in done.stdout and "Enabled: false" in done.stdout

    done = station.tepui(*station.host, "network", "vswitch", "standard", "add", "-v", "lab")
    assert done.returncode == 0, done.stderr
    done = station.tepui(*station.host, "config", "set", "network.vswitches.lab.mtu", "9000")
    assert done.stdout == "Revision 2\n", done.stderr
    _, text = shell.run("esxcli network vswitch standard list | grep -A6 ^lab")
    assert "MTU: 9000" in text
    done = station.tepui(*station.host, "config", "rollback", "1")
    assert done.returncode == 0, done.stderr
    _, text = shell.run("esxcli config get network.vswitches.lab.mtu; esxcli config diff")
    assert text.split()[0] == "1500" and "lab" not in text
    _, text = shell.run("esxcli system auditrecords list | tail -n 4")
    assert 'command done user="root" source="10.0.2.2" line="config rollback 1"' in text

    other = (*station.host[:2], "--thumbprint", "00" * 32)
    done = station.tepui(*other, "system", "version", "get")
    assert done.returncode == 1 and "its certificate is" in done.stderr
    (tmp_path / ".cache/tepui/tokens.json").unlink()
    done = station.tepui(*station.host, "system", "version", "get", password="wrong-horse")
    assert done.returncode == 1 and "wrong account or password" in done.stderr
    done = station.tepui(*station.host, "system", "nothing")
    assert done.returncode == 2 and "Unknown command" in done.stderr
    done = station.tepui(*station.host, "system", "shutdown", "poweroff", "-r", "test")
    assert done.returncode == 0, done.stderr
    assert shell.machine.wait_exit() == 0


@pytest.mark.slow
def test_ssh(boot: Callable[..., Machine], station: Workstation) -> None:
    shell = host(boot, station)
    add = f"esxcli system ssh key add -k '{station.key()}'"
    rc, text = shell.run(f"{add} && vim-cmd hostsvc/enable_ssh")
    assert rc == 0, text
    rc, text = shell.run("until grep -q 'SSH on port' /var/log/hostd.log; do sleep 1; done", 120)
    assert rc == 0, text
    done = station.openssh("esxcli system version get; exit 3")
    assert done.returncode == 3 and "Product: Tepui" in done.stdout, done.stderr
    done = station.openssh("-tt", given="tty; echo it is $((6*7)); exit 5\n")
    assert done.returncode == 5 and "it is 42" in done.stdout and "/dev/pts/" in done.stdout
    rc, text = shell.run("vim-cmd hostsvc/disable_ssh")
    assert rc == 0, text
    shell.run("until grep -q 'SSH is off' /var/log/hostd.log; do sleep 1; done", 120)
    done = station.openssh("true")
    assert done.returncode == 255


@pytest.mark.soak
def test_a_shutdown_ends_the_guests_in_order(
    boot: Callable[..., Machine], station: Workstation, logs: Path
) -> None:
    """Asked for from a workstation: the guest's power button first, then the host."""
    script = "echo guest: waits; while :; do read line </dev/ttyS0; done"
    iso = guests.host_iso(logs / "host.iso", {"web.vmx": VMX.encode()}, script)
    shell = host(boot, station, iso=iso, memory=1536, threads="single")
    for words in ("register /guest/web.vmx", "power on web"):
        done = station.tepui(*station.host, "vm", *words.split())
        assert done.returncode == 0, done.stderr
    shell.console.send("esxcli vm console web\r")
    shell.console.expect("guest: waits", 240)
    done = station.tepui(*station.host, "system", "shutdown", "poweroff", "-g", "600", "-r", "test")
    assert done.returncode == 0, done.stderr
    shell.console.expect("vm: web: the guest switched itself off", 60)
    assert shell.machine.wait_exit(60) == 0
