# SPDX-License-Identifier: Apache-2.0
"""The service console on serial: login, busybox, Python, and esxcli through the control socket."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

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


#: Tries to log in to the API: prints the status of the answer for each password.
API_LOGIN = """\
import http.client, json, ssl, sys, time
for password in sys.argv[1:]:
    body = json.dumps({"account": "root", "password": password})
    while True:
        try:
            api = http.client.HTTPSConnection("127.0.0.1", context=ssl._create_unverified_context())
            api.request("POST", "/api/session", body, {"Content-Type": "application/json"})
            break
        except ConnectionRefusedError:  # hostd is starting
            time.sleep(0.2)
    print("status", api.getresponse().status)
"""


def test_passwd(shell: Shell, tmp_path: Path) -> None:
    """It changes what the login and the API ask for; the old password is refused."""
    old, fresh = "Tepui-2026", "Tafelberg-7"

    def change(*typed: str) -> str:
        """Answers the prompts in turn; what it says at its end."""
        shell.console.send("passwd; echo end-$?\r")
        for text in typed:
            shell.console.expect(r"[Pp]assword( again)?: ", 60)
            shell.console.send(f"{text}\r")
        return shell.console.expect(r"(?s)(.*)end-\d", 60)[0]

    assert "The password of root is changed." in change(old, old)
    assert "wrong password" in change("Wrong-2026")
    assert "the two differ" in change(old, fresh, fresh + "x")
    assert "a password has 7 to 40 characters" in change(old, "short", "short")
    said = change(old, fresh, fresh)
    assert "The password of root is changed.\nend-0" in said.replace("\r", "")
    transcript = shell.console.transcript
    assert old not in transcript and fresh not in transcript, "a password was echoed"
    # A program finds it too, and who asks busybox for its own is told that it cannot.
    run = "import subprocess; subprocess.run(['passwd', '--help'])"
    rc, text = shell.run(f'python3 -c "{run}"')
    assert "esxcli system account set" in text, text
    rc, text = shell.run("busybox passwd -d root; echo $?; cat /etc/shadow")
    assert "can't update password file /etc/shadow\n1\nroot:*:" in text, text
    (tmp_path / "api.py").write_text(API_LOGIN)
    program = shell.put(tmp_path / "api.py")
    rc, text = shell.run(f"python3 {program} {old} {fresh}")
    assert rc == 0 and text.split() == ["status", "401", "status", "200"], text
    shell.console.send("exit\r")
    for password, wanted in ((old, "Login incorrect"), (fresh, r"\] ")):
        shell.console.expect("login: ", 60)
        shell.console.send("root\r")
        shell.console.expect("Password: ", 60)
        shell.console.send(f"{password}\r")
        shell.console.expect(wanted, 60)


def test_power_off(shell: Shell) -> None:
    shell.console.send("esxcli system shutdown poweroff -r test\r")
    assert shell.machine.wait_exit(60) == 0
