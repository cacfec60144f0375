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
