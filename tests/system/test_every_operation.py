# SPDX-License-Identifier: Apache-2.0
"""Every control operation and every command, on a machine with what real ones have.

PCI Express root ports, conventional bridges, slots with several functions, two NUMA nodes, eight
CPUs, a storage adapter without a disk, and no NIC: what the administrator of a new server sees.
"""

import re
from collections.abc import Callable
from pathlib import Path

from tepui.shell import tree
from tests.system.machine import ISO, Machine
from tests.system.shell import PROGRAMS, Shell

#: Two ports share slot 4, three functions share slot 6; a bridge behind a port has a function
#: behind it, so that a parent has a parent.
BRIDGES = (
    "pcie-root-port,id=port0,chassis=1,slot=1,addr=4.0,multifunction=on",
    "pcie-root-port,id=port1,chassis=2,slot=2,addr=4.1",
    "pci-bridge,id=pci0,chassis_nr=3,addr=5.0",
    "pcie-pci-bridge,id=pci1,bus=port0",
    "virtio-rng-pci,addr=6.0,multifunction=on",
    "pci-testdev,addr=6.1",
    "edu,addr=6.2",
    "nvme,serial=empty,bus=port1",
    "pci-serial,bus=pci0,addr=1.0",
    "edu,bus=pci1,addr=2.0",
)


def ask_everything(boot: Callable[..., Machine], iso: Path = ISO) -> None:
    """One boot; the program on the host asks, and says what was wrong."""
    devices = tuple(word for device in BRIDGES for word in ("-device", device))
    shell = Shell(boot(iso=iso, cpus=8, nodes=2, memory=1024, arguments=devices))
    rc, text = shell.run(f"python3 {shell.put(PROGRAMS / 'every_operation.py')}", 300)
    found = re.search(r"every_operation: (\d+) reads, (\d+) operations, (\d+) commands", text)
    assert rc == 0 and found, text[-4000:]
    assert int(found[1]) > 15 and int(found[2]) > 50
    assert int(found[3]) == len(tree.every())
    behind = re.search(r"(\d+) functions, (\d+) behind bridges", text)
    assert behind and int(behind[2]) == 4, text[-4000:]


def test_every_operation_and_command_is_answered(boot: Callable[..., Machine]) -> None:
    ask_everything(boot)
