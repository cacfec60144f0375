# SPDX-License-Identifier: Apache-2.0
"""A guest from the service console: a .vmx file, Debian's kernel, its serial console, its end."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system import guests
from tests.system.machine import Machine
from tests.system.shell import Shell

VMX = """\
displayName = "web"
numvcpus = "1"
memsize = "256"
tepui.kernel = "vmlinuz"
tepui.initrd = "initrd"
tepui.append = "console=ttyS0 quiet panic=-1"
"""


@pytest.mark.slow
def test_a_guest_from_vmx_to_power_off(boot: Callable[..., Machine], logs: Path) -> None:
    iso = guests.host_iso(logs / "host.iso", {"web.vmx": VMX.encode()}, "echo it is $((6 * 7))")
    shell = Shell(boot(iso=iso, cpus=1, memory=1536, threads="single"))
    rc, text = shell.run("esxcli vm process list")
    assert (rc, text) == (0, "")
    rc, text = shell.run("esxcli vm run /guest/none.vmx")
    assert rc == 1 and "No such file" in text
    rc, text = shell.run("esxcli vm run /guest/web.vmx")
    assert rc == 0, text
    world = text.split()[-1]
    rc, text = shell.run(f"esxcli vm console -w {world}", 240)
    assert rc == 0
    assert "it is 42" in text and "guest: passed" in text
    rc, text = shell.run("esxcli vm process list")
    assert (rc, text) == (0, "")
    vm = shell.json("vm show web")[0]
    assert vm["State"] == "off" and vm["LastEnd"] == "the guest switched itself off"


def test_the_power_button_ends_a_guest_in_order(boot: Callable[..., Machine], logs: Path) -> None:
    """Pressed by hand, and by a host that goes down: it does not wait for its time-out then."""
    script = "echo guest: waits; while :; do read line </dev/ttyS0; done"
    iso = guests.host_iso(logs / "host.iso", {"web.vmx": VMX.encode()}, script)
    machine = boot(iso=iso, cpus=1, memory=1536, threads="single")
    shell = Shell(machine)
    rc, text = shell.run("esxcli vm register /guest/web.vmx && esxcli vm power on web")
    assert rc == 0, text
    shell.console.send("esxcli vm console web\r")
    shell.console.expect("guest: waits", 240)
    shell.console.send("\x1d")
    shell.console.expect(r"\] ", 60)
    off = "until esxcli vm list | grep -q ' web *off '; do sleep 1; done"
    rc, text = shell.run(f"esxcli vm shutdown web && {off} && esxcli vm show web")
    assert rc == 0 and "the guest switched itself off" in text, text

    shell.console.send("esxcli vm power on web && esxcli vm console web\r")
    shell.console.expect("guest: waits", 240)
    shell.console.send("\x1d")
    shell.console.expect(r"\] ", 60)
    shell.console.send("esxcli system shutdown poweroff -g 600 -r test\r")
    shell.console.expect("vm: web: the guest switched itself off", 60)
    machine.wait_exit(60)
