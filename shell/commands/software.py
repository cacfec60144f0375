# SPDX-License-Identifier: Apache-2.0
"""esxcli software ...: the boot banks and what is in them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tepui.iso import bank, layout, loader, upgrade
from tepui.iso.digests import DigestError
from tepui.iso.disk import Disk
from tepui.iso.fat import FatError
from tepui.iso.targets import DISKS
from tepui.shell.command import FailedError, Opt, Role, command
from tepui.shell.run import Context
from tepui.shell.storageclient import Storage


@dataclass(frozen=True, slots=True)
class Profile:
    name: str
    version: str
    boot_bank: str
    next_boot_bank: str


@command("software profile get", "Display the installed image and its boot bank.")
def profile_get(ctx: Context) -> Profile:
    info = ctx.host.info()
    booted = bank.booted(Storage(ctx.host).devices(), ctx.host.options())
    letter, following = "none", "none"
    if booted:
        letter, esp = booted
        with Disk(DISKS / esp.id) as disk:
            now = loader.read_environment(disk)
        following = now.get("try") or now.get("bank") or next(iter(layout.BANKS))
    return Profile(f"Tepui-{info.version}", info.version, letter, following)


@dataclass(frozen=True, slots=True)
class UpdateResult:
    message: str
    boot_bank: str
    reboot_required: bool


@command(
    "software profile update",
    "Write an image to the boot bank that is not in use; the next boot tries it.",
    role=Role.ADMINISTRATOR,
)
def profile_update(
    ctx: Context,
    depot: Annotated[str, Opt("-d", "The ISO: a file of this host, or a device that holds it.")],
) -> UpdateResult:
    try:
        devices = Storage(ctx.host).devices()
        new = upgrade.update(devices, ctx.host.options(), Path(depot))
    except (upgrade.UpgradeError, DigestError, OSError, FatError, loader.LoaderError) as e:
        raise FailedError(f"{e}", "the boot bank in use is as it was") from e
    message = (
        "The update completed successfully, but the system needs to be rebooted for the changes "
        "to be effective."
    )
    return UpdateResult(message, new, True)
