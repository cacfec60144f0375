# SPDX-License-Identifier: Apache-2.0
"""At the service console: Debian's tools unmodified, ours, and attempts to break it."""

import csv
import re
import time
from collections.abc import Callable, Iterator

import pytest

from tests.system.machine import READY, Machine
from tests.system.shell import PROGRAMS, Shell


@pytest.fixture(scope="module")
def shell(module_boot: Callable[..., Machine]) -> Iterator[Shell]:
    yield Shell(module_boot(cpus=2, memory=1024))


def test_tools(shell: Shell) -> None:
    """ls, cat, ps, top, grep, find, dd, sha256sum, tar, gzip, vi, lspci: each does its work."""
    checks = {
        "ls -l /usr/bin/python3 | cut -d' ' -f1 | cut -c1": "l",
        "ps | grep -c '[h]ostd'": "1",
        "ps -o user,comm | grep -m1 -o 'root  *init'": "root     init",
        "top -b -n1 | grep -c '^CPU:'": "1",
        "grep -c processor /proc/cpuinfo": "2",
        "find /etc -name pass''wd": "/etc/passwd",
        "dd if=/dev/zero bs=1k count=64 2>/dev/null | sha256sum | cut -c1-16": "de2f256064a0af79",
        "tar czf /tmp/e.tgz -C / etc && gzip -dc /tmp/e.tgz | tar tf - | grep -c etc/hosts": "1",
        "whoami": "root",
    }
    for command, expected in checks.items():
        _, text = shell.run(command)
        assert text.strip().splitlines()[-1:] == [expected], (command, text)
    shell.run("printf 'one\\ntwo\\n' >/tmp/v")
    shell.console.send("vi /tmp/v\r")
    shell.console.expect("(?s)one.*two.*/tmp/v")
    shell.console.send("dd:wq\r")
    shell.console.expect(r"\] ")
    assert shell.run("cat /tmp/v")[1].strip() == "two"
    _, text = shell.run("lspci -nn | grep -c '\\[8086:'")
    assert int(text) >= 3


def test_standard_library(shell: Shell) -> None:
    """CPython imports all of it, but what needs a display."""
    rc, text = shell.run(f"python3 {shell.put(PROGRAMS / 'imports.py')}", 300)
    assert rc == 0 and int(text.split()[1]) > 180, text


def test_vmtop(shell: Shell) -> None:
    """Batch mode: a busy loop shows as a world that uses a CPU."""
    shell.run("sh -c 'while :; do :; done' & echo $! >/tmp/pid")
    rc, text = shell.run("vmtop -b -d 2 -n 2")
    shell.run("kill $(cat /tmp/pid)")
    assert rc == 0
    title, *rows = csv.reader(text.strip().splitlines())
    assert len(rows) == 2 and all(len(r) == len(title) for r in rows)
    used = [i for i, name in enumerate(title) if name.endswith("Used")]
    assert max(float(rows[-1][i]) for i in used) > 20


def test_vsish(shell: Shell) -> None:
    rc, text = shell.run(
        "vsish -e ls / && vsish -e get /sched/timer/fired && vsish -e cat /version"
    )
    assert rc == 0 and "memory/" in text.split() and "world/" in text.split()
    assert re.search(r"^\d+$", text, re.M) and "/version/cpus:2" in text
    rc, text = shell.run("vsish -e get /no/such")
    assert rc == 1 and "no such node" in text


def test_python(shell: Shell) -> None:
    """vmsh --python: the client is bound, integers are shown in hex."""
    shell.console.send("vmsh --python\r")
    shell.console.expect(">>> ")
    shell.console.send("host.info().cpus + 40\r")
    shell.console.expect(r"\n0x2a\s")
    shell.console.send("\x04")
    shell.console.expect(r"\] ")


def test_vmsh(shell: Shell) -> None:
    """Completion, history, another output, help; the terminal is as before afterwards."""
    console = shell.console
    console.send("vmsh\r")
    console.expect("vmsh> ")
    console.send("sys\tver\tget\r")
    console.expect(r"(?s)system version get.*Product: Tepui")
    console.expect("vmsh> ")
    console.send("output json\r")
    console.expect("vmsh> ")
    console.send("\x1b[A\x1b[A\r")  # the line before the last
    console.expect(r'"Product": "Tepui"')
    console.expect("vmsh> ")
    console.send("exit\r")
    console.expect(r"\] ")


#: Percent of one CPU that the group with id 1 gets while two loops want all of two CPUs.
GROUP_USE = """
import os, signal, time
from tepui.shell.client import Client
host = Client()
def seen():
    return host.info().uptime_ns, next(g.used_ns for g in host.groups() if g.id == 1)
loops = []
while len(loops) < 2:
    loops.append(os.fork())
    while loops[-1] == 0:
        pass
first = seen()
time.sleep(3)
last = seen()
for pid in loops:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
print("group uses", (last[1] - first[1]) * 100 // (last[0] - first[0]))
"""


def test_groups(shell: Shell) -> None:
    """Groups are listed and set; a maximum binds; wrong ones are refused."""

    def use() -> int:
        found = re.search(r"group uses (\d+)", shell.run(f"python3 -c '{GROUP_USE}'")[1])
        assert found
        return int(found[1])

    rows = {r["GroupPath"]: r for r in shell.json("sched group list")}
    assert list(rows) == ["host", "host/system"]
    assert rows["host/system"]["Usedms"] > 0 and rows["host/system"]["Max"] == 0
    assert use() > 60
    group_set = "esxcli sched group set -g host/system"
    assert shell.run(f"{group_set} --shares 1500 --min 10 --max 50")[0] == 0
    row = shell.json("sched group list")[1]
    assert (row["Shares"], row["Min"], row["Max"]) == (1500, 10, 50)
    assert use() < 60
    assert shell.run(f"{group_set} --min 0 --max 0")[0] == 0
    for wrong in ("host/system --min 20 --max 10", "host/none --max 50"):
        assert shell.run(f"esxcli sched group set -g {wrong}")[0] == 1


def test_control_socket_under_attack(shell: Shell) -> None:
    rc, text = shell.run(f"python3 {shell.put(PROGRAMS / 'ctl_fuzz.py')} 1 300", 300)
    assert rc == 0 and "ctl_fuzz: 300 attacks, 60 answers" in text, text


def test_clocks_are_read_in_ring_3_where_the_counter_is_reliable(
    shell: Shell, module_boot: Callable[..., Machine]
) -> None:
    program = PROGRAMS / "vdso.py"
    other = Shell(module_boot(cpus=2, memory=1024, options="tsc=reliable"))
    for on, answer in ((shell, "no vDSO"), (other, "vDSO holds")):
        rc, text = on.run(f"python3 {on.put(program)}")
        assert rc == 0 and text.splitlines()[-1] == answer, text


def test_killed_console(shell: Shell) -> None:
    """The login shell, a command in the middle, and the first screen: each comes back."""
    old = shell.run("pidof dcui")[1].strip()
    shell.run(f"kill -9 {old}")
    shell.console.send("vmsh\r")
    shell.console.expect("vmsh> ")
    shell.console.send("\x1c")  # SIGQUIT: no chance to clean up
    shell.console.expect(r"\] ")
    assert shell.run("stty sane; stty | grep -c speed")[1].strip() == "1"
    shell.console.send("kill -9 $$\r")
    shell.console.expect("login: ", 60)
    shell.console.send("root\r")
    shell.console.expect(r"\] ")
    wait = "while p=$(pidof dcui); [ -z $p ]; do usleep 100000; done; echo $p"
    assert shell.run(wait)[1].strip() not in ("", old)


def test_first_screen(module_boot: Callable[..., Machine]) -> None:
    """The display: name, version, address, keys; F2 logs in, F12 switches off."""
    nic = ("-netdev", "user,id=n0", "-device", "virtio-net-pci,netdev=n0")
    machine = module_boot(cpus=1, memory=1024, arguments=nic, screen="text")
    machine.console.expect(READY, 120)

    def screen(*wanted: str) -> None:
        deadline = time.monotonic() + 240
        while not all(w in "\n".join(machine.screen_text()) for w in wanted):
            assert time.monotonic() < deadline, machine.screen_text()
            machine.alive()
            time.sleep(0.5)

    def press(key: str) -> None:
        machine.qmp.execute("human-monitor-command", **{"command-line": f"sendkey {key}"})

    screen("Tepui 0.", "1 x ", "To manage this host", "https://10.0.2.15/ (DHCP)", "<F12>")
    press("f2")
    screen("login:")
    for key in ("r", "o", "o", "t", "ret"):
        press(key)
    screen("[root@tepui")
    for key in ("e", "x", "i", "t", "ret"):
        press(key)
    screen("To manage this host")
    press("f12")
    screen("Shut down")
    press("f2")
    assert machine.wait_exit(60) == 0
