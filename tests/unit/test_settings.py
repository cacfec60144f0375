# SPDX-License-Identifier: Apache-2.0
"""What was chosen at the installation becomes the configuration document."""

from typing import Any

import pytest

from tepui.iso import settings
from tepui.iso.kickstart import Network
from tepui.shell.config import document
from tepui.shell.config.document import Document, Portgroup, Static, Vmknic, Vswitch

RUNNING = document.Network(
    (Vswitch("vSwitch0", uplinks=("vmnic0",)),),
    (Portgroup("VM Network", "vSwitch0"), Portgroup("Management Network", "vSwitch0")),
    (Vmknic("vmk0", "Management Network", dhcp=True),),
)


class Nic:
    def __init__(self, name: str, mac: bytes) -> None:
        self.name, self.mac = name, mac


NICS: Any = [Nic("vmnic0", bytes((0, 0, 0, 0, 0, 10))), Nic("vmnic1", bytes((0, 0, 0, 0, 0, 11)))]


def test_dhcp_changes_nothing() -> None:
    assert settings.build(Network(), RUNNING, NICS) == Document()
    assert settings.build(Network(hostname="h"), RUNNING, NICS) == Document(hostname="h")


def test_fixed_address() -> None:
    chosen = Network(
        False, "00:00:00:00:00:0B", "10.0.0.2", "255.0.0.0", "", ("10.0.0.3",), "", 7, False
    )
    made = settings.build(chosen, RUNNING, NICS).network
    assert made
    assert made.vswitches[0].uplinks == ("vmnic1",)
    assert made.portgroups == (Portgroup("Management Network", "vSwitch0", 7),)
    assert made.vmknics[0].ipv4 == Static("10.0.0.2", "255.0.0.0") and not made.vmknics[0].dhcp
    assert made.dns == ("10.0.0.3",)


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(settings.SettingsError, match="there are: vmnic0, vmnic1"):
        settings.build(Network(device="vmnic7"), RUNNING, NICS)
