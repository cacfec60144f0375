# SPDX-License-Identifier: Apache-2.0
"""hostd on the host, `tepui --host` on a workstation: the same commands, over TLS."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.machine import Machine
from tests.system.shell import Shell
from tests.system.test_net import free_port

TEPUI = Path(sys.executable).with_name("tepui")
PASSWORD = "correct-horse"


def tepui(home: Path, *words: str, password: str = PASSWORD) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"HOME": str(home), "TEPUI_PASSWORD": password}
    return subprocess.run(
        [str(TEPUI), *words], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )


@pytest.mark.slow
def test_commands_from_a_workstation(boot: Callable[..., Machine], tmp_path: Path) -> None:
    port = free_port()
    forward = f"user,id=n,hostfwd=tcp:127.0.0.1:{port}-:443"
    nic = ("-netdev", forward, "-device", "virtio-net-pci,netdev=n")
    shell = Shell(boot(cpus=2, memory=1024, arguments=nic))
    rc, text = shell.run(f"esxcli system account set --id root -p {PASSWORD}")
    assert rc == 0, text
    rc, text = shell.run("until grep -q 'listening on' /var/log/hostd.log; do sleep 1; done", 60)
    _, text = shell.run("cat /var/log/hostd.log")
    found = re.search(r"certificate SHA-256 (\S+)", text)
    assert found, text
    host = ("--host", f"127.0.0.1:{port}", "--thumbprint", found[1])

    done = tepui(tmp_path, *host, "--formatter=json", "system", "version", "get")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["Product"] == "Tepui"
    here = tepui(tmp_path, *host, "hardware", "cpu", "global", "get").stdout
    _, there = shell.run("esxcli hardware cpu global get")
    assert here == there

    done = tepui(tmp_path, *host, "--user", "root", "system", "account", "list")
    assert "administrator" in done.stdout
    other = ("--host", f"127.0.0.1:{port}", "--thumbprint", "00" * 32)
    done = tepui(tmp_path, *other, "system", "version", "get")
    assert done.returncode == 1 and "its certificate is" in done.stderr
    (tmp_path / ".cache/tepui/tokens.json").unlink()
    done = tepui(tmp_path, *host, "system", "version", "get", password="wrong-horse")
    assert done.returncode == 1 and "wrong account or password" in done.stderr
    done = tepui(tmp_path, *host, "system", "nothing")
    assert done.returncode == 2 and "Unknown command" in done.stderr
