# SPDX-License-Identifier: Apache-2.0
"""The installation with a person, on serial and on the display; what the boot banks promise."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tepui.iso import digests, install, layout, loader
from tepui.iso.disk import Disk
from tepui.iso.terminal import ROWS
from tests.system import installed
from tests.system.console import SCALE
from tests.system.machine import ISO, READY, Firmware, Machine
from tests.system.shell import Shell
from tests.system.test_screen import await_row, display

Boot = Callable[..., Machine]
#: QEMU's names of the keys that the tests press.
QCODES = {"\r": ["ret"], "-": ["minus"]}


def watch(machine: Machine, wanted: Callable[[list[str]], bool], timeout: float = 240) -> None:
    """Waits until the VGA text screen is as wanted and shows, drawn last, the keys that work."""
    deadline = time.monotonic() + timeout * SCALE
    while True:
        rows = machine.screen_text()
        if wanted(rows) and rows[ROWS - 1].strip():
            return
        assert time.monotonic() < deadline and machine.console.drain(0.1), "\n".join(rows)


def see(machine: Machine, text: str) -> None:
    watch(machine, lambda rows: any(text in row for row in rows))


def press(machine: Machine, text: str) -> None:
    """Each key's effect is awaited, but Enter's, which may only move the cursor: a keyboard holds
    sixteen bytes, and a capital letter has four."""
    for char in text:
        before = machine.screen_text()
        codes = QCODES.get(char, ["shift", char.lower()] if char.isupper() else [char])
        keys = [{"type": "qcode", "data": code} for code in codes]
        machine.qmp.execute("send-key", keys=keys, hold_time=40)
        if char != "\r":
            watch(machine, before.__ne__)


#: What the pages show, and what the person types at each.
PAGES = (
    ("Welcome", "\r"),
    ("Compatibility", "\r"),
    ("Where should Tepui be installed", "\r"),
    ("Password of root", f"{installed.PASSWORD}\r"),
    ("Once more", f"{installed.PASSWORD}\r"),
    ("How does this host get its address", "\r"),
    ("everything on it is lost", "y"),
)


@pytest.mark.slow
def test_person_on_serial(boot: Boot, tmp_path: Path) -> None:
    disk = installed.empty(tmp_path / "disk")
    arguments = (*installed.disk(disk), *installed.NIC)
    machine = boot(entry="install", memory=1024, cpus=2, arguments=arguments, cd_index=1)
    for page, keys in PAGES:
        machine.console.expect(page, 240)
        machine.console.send(keys)
    machine.console.expect("Tepui is installed on t10", 240)
    machine.console.send("\r")
    assert machine.wait_exit(60) == 0
    with Disk(disk) as d:
        assert len(d.table().partitions) == layout.DATASTORE


@pytest.mark.soak
def test_person_at_the_display(boot: Boot, tmp_path: Path) -> None:
    disk = installed.empty(tmp_path / "disk")
    machine = boot(
        entry="install-text", options="console=vga", memory=1024, cpus=2, cd_index=1,
        arguments=(*installed.disk(disk), *installed.NIC),
    )  # fmt: skip
    for page, keys in PAGES:
        see(machine, page)
        press(machine, keys)
    see(machine, "Tepui is installed on t10")
    press(machine, "\r")
    assert machine.wait_exit(60) == 0


@pytest.mark.parametrize(
    ("firmware", "card", "entry"),
    [
        (Firmware.BIOS, "std", "install"),
        (Firmware.UEFI, "std", "install"),
        (Firmware.UEFI, "virtio", "install-text"),  # GRUB has no driver of its own for this card
    ],
)
def test_the_display_shows_the_installer(
    boot: Boot, firmware: Firmware, card: str, entry: str
) -> None:
    machine = boot(entry=entry, memory=1024, firmware=firmware, display=card)
    rows = await_row(machine, lambda: display(machine), "Enter: continue")
    assert "Tepui" in rows[0] and "installer" in rows[0] and rows[2].strip() == "Welcome", rows


@pytest.mark.slow
@pytest.mark.parametrize("firmware", Firmware)
def test_the_display_of_an_installed_host(boot: Boot, firmware: Firmware, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    installed.system(disk)
    arguments = (*installed.disk(disk), *installed.NIC)
    machine = boot(boot="none", memory=1024, firmware=firmware, arguments=arguments)
    await_row(machine, lambda: display(machine), "https://10.0.2.15/ (DHCP)")
    rows = await_row(machine, lambda: display(machine), "<F12> Shut down/Restart")
    assert "<F2> Log in to the service console" in rows[-1], rows


def try_bank_b(path: Path, folder: Path, options: str, kernel: Path = installed.KERNEL) -> None:
    """Fills bank B as an upgrade does and asks for one boot from it."""
    image = folder / "bank"
    with Disk(path, writable=True) as disk:
        table = disk.table()
        bank = table.partitions[layout.BANK_B - 1]
        size = bank.blocks * table.block_size
        files = {digests.KERNEL: kernel, digests.USERWORLD: installed.USERWORLD}
        install.bank_image(image, size, "B", files, digests.listing(files).encode())
        writer = install.Writer(disk, table, 0, lambda done, total, what: None)
        writer.partition(layout.BANK_B, image, "")
    write_environment(path, {"bank": "A", "try": "B", "tryoptions": options})


def esp(path: Path) -> int:
    with Disk(path) as disk:
        table = disk.table()
        return table.partitions[layout.ESP - 1].first * table.block_size


def environment(path: Path) -> dict[str, str]:
    with Disk(path) as disk:
        start = esp(path) + loader.find_environment(disk.read(esp(path), loader.ENVIRONMENT_REACH))
        return loader.parse_environment(disk.read(start, loader.ENVIRONMENT_SIZE))


def write_environment(path: Path, values: dict[str, str]) -> None:
    with Disk(path, writable=True) as disk:
        start = esp(path) + loader.find_environment(disk.read(esp(path), loader.ENVIRONMENT_REACH))
        disk.write(start, loader.environment(values))


@pytest.mark.slow
def test_banks(boot: Boot, tmp_path: Path) -> None:
    """A bank whose kernel panics is left by itself; an upgrade that serves is confirmed."""
    disk = installed.empty(tmp_path / "disk")
    machine = boot(
        iso=installed.iso(tmp_path), entry="install", memory=1024, cpus=2, cd_index=1,
        arguments=(*installed.disk(disk), *installed.NIC),
    )  # fmt: skip
    machine.console.expect("Tepui is installed on", 240)
    assert machine.wait_exit(60) == 0
    try_bank_b(disk, tmp_path, "panictest=assert", installed.TEST_KERNEL)
    config = {"boot": "none", "memory": 1024, "cpus": 2, "reboot": True}
    machine = boot(**config, arguments=installed.disk(disk))
    machine.console.expect(r"^PANIC:", 120, panic=True)
    machine.console.expect(READY, 180, panic=True)
    machine.qmp.execute("quit")
    machine.wait_exit()
    assert environment(disk) == {"bank": "A", "try": "", "tryoptions": "panictest=assert"}

    iso = installed.disk(ISO, "S2", index=None, more=",snapshot=on")
    machine = boot(**config, arguments=(*installed.disk(disk), *iso))
    shell = Shell(machine, password=installed.PASSWORD)
    assert shell.run("esxcli software profile update -d /vmkernel")[0] == 1
    (found,) = shell.json("software profile update -d /dev/disks/*S2*00000001")
    assert (found["BootBank"], found["RebootRequired"]) == ("B", True)
    (found,) = shell.json("software profile get")
    assert (found["BootBank"], found["NextBootBank"]) == ("A", "B")
    machine.console.send("esxcli system shutdown reboot -r upgrade\r")
    machine.console.expect(READY, 180)
    deadline = time.monotonic() + 300 * SCALE
    while environment(disk) != {"bank": "B", "try": ""}:
        assert time.monotonic() < deadline and machine.console.drain(0.5), environment(disk)
