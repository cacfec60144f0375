# SPDX-License-Identifier: Apache-2.0
"""What the ISO runs in place of the service console: the installer, or the check of the machine.

The vmkernel's boot option setup= says which: `install` (by kickstart file, if the boot loader
brought one as the module ks.cfg, else with a person), `check`. No service runs beside it.
"""

import os
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import replace
from pathlib import Path

from tepui.hcl import report
from tepui.hcl.check import Verdict
from tepui.hcl.precheck import precheck
from tepui.iso import fat, install, kickstart, layout, settings, targets
from tepui.iso.disk import Disk
from tepui.iso.kickstart import Kickstart, KickstartError, Vmfs
from tepui.iso.plan import Plan, refused
from tepui.iso.screens import Dialog
from tepui.iso.settings import SettingsError
from tepui.iso.targets import Target
from tepui.iso.terminal import Key, Screens, Tty
from tepui.shell import gpt, netclient
from tepui.shell.client import Client
from tepui.shell.config import network
from tepui.shell.config.document import Document
from tepui.shell.config.store import Store
from tepui.shell.hostd.accounts import Accounts
from tepui.shell.hostd.sshkeys import set_keys
from tepui.shell.link import LinkError, RefusedError
from tepui.shell.storageclient import Storage

KICKSTART = Path("/boot/ks.cfg")
SSH_KEYS = Path("/boot/ssh.keys")  # root's, from whoever built the ISO
VOLUMES = Path("/vmfs/volumes")


class SetupError(Exception):
    """Why nothing was, or not everything was, installed; for people."""


def boot_options() -> dict[str, str]:
    words = Path("/proc/cmdline").read_text().split()
    return {name: value for name, _, value in (w.partition("=") for w in words)}


def judge() -> Verdict:
    """The HCL's verdict on this machine; ESXi's allowLegacyCPU=true makes a CPU error a warning."""
    return precheck(allow_legacy_cpu=boot_options().get("allowLegacyCPU", "").lower() == "true")


def configuration(client: Client, chosen: kickstart.Network) -> Document:
    """Raises SettingsError."""
    net = netclient.Network(client)
    return settings.build(chosen, network.capture(net), net.nics())


def fill(client: Client, plan: Plan, chosen: Document, table: gpt.Table) -> None:
    """Makes the OS data and the datastore, and writes what was chosen into the first."""
    storage = Storage(client)
    parts = {
        b.partition: b.id
        for b in storage.devices()
        if b.partition and b.id.rpartition(":")[0] == plan.target.id
    }
    if set(parts) != {p.number for p in table.partitions}:
        raise SetupError("the system does not see the partitions that were written")
    # The label is unique, so that a second installed disk in the machine does not take the name.
    identity = uuid.uuid4()
    storage.format(parts[layout.OS_DATA], f"OSDATA-{identity.hex[:8]}", identity)
    storage.mount(parts[layout.OS_DATA])
    folder = VOLUMES / f"OSDATA-{identity.hex[:8]}"
    accounts = Accounts(folder / "tepui/accounts.json")
    if plan.encrypted:
        accounts.set_hash("root", plan.password)
    else:
        accounts.set_password("root", plan.password)
    if SSH_KEYS.exists():
        set_keys(folder / "tepui", "root", SSH_KEYS.read_text().splitlines())
        chosen = replace(chosen, ssh=replace(chosen.ssh, enabled=True))
    Store(folder / "tepui").save(chosen, "root", "installation")
    # Before the ESP and the boot code are written: a disk that boots has its accounts.
    os.sync()
    if layout.DATASTORE in parts and not (plan.vmfs is Vmfs.PRESERVE and plan.target.datastore):
        storage.format(parts[layout.DATASTORE], "datastore1", uuid.uuid4())


def carry_out(client: Client, plan: Plan, progress: install.Progress) -> None:
    """Installs. Raises SetupError."""
    keep = plan.target.datastore if plan.vmfs is Vmfs.PRESERVE else None
    try:
        chosen = configuration(client, plan.network)
        with Disk(plan.target.path, writable=True) as disk:
            wanted = plan.vmfs is not Vmfs.NONE
            table = layout.plan(disk.block_size, disk.blocks, keep, wanted)
            install.install(
                disk,
                table,
                install.Source.live(),
                "",
                lambda: fill(client, plan, chosen, table),
                progress,
            )
    except (OSError, layout.LayoutError, SettingsError, fat.FatError, RefusedError, LinkError) as e:
        raise SetupError(f"{plan.target.id}: {e}") from e


def clear(target: Target) -> None:
    """Leaves a disk with an empty partition table."""
    with Disk(target.path, writable=True) as disk:
        empty = gpt.Table(uuid.uuid4(), disk.block_size, disk.blocks, ())
        primary, backup = gpt.build(empty)
        disk.write(0, primary)
        disk.write(disk.size - len(backup), backup)
        disk.flush()
        disk.rescan()


def run_post(script: kickstart.Script) -> None:
    """Runs a %post section. Raises SetupError."""
    program = {"python": ["/usr/bin/python3"], "busybox": ["/bin/sh"]}[script.interpreter]
    with tempfile.NamedTemporaryFile("w", suffix=".post") as f:
        f.write(script.text)
        f.flush()
        try:
            done = subprocess.run([*program, f.name], timeout=script.timeout or None, check=False)
        except subprocess.TimeoutExpired:
            done = None
    if (done is None or done.returncode) and not script.ignore_failure:
        how = f"ended with {done.returncode}" if done else f"took more than {script.timeout} s"
        raise SetupError(f"a %post section {how}")


def unattended(client: Client, path: Path) -> Kickstart:
    """Installs by a kickstart file; nothing is written before all of it was found right. Raises
    KickstartError, SetupError."""
    ks = kickstart.parse(path)
    verdict = judge()
    print(report.text(verdict, False))
    if refused(verdict):
        raise SetupError("the compatibility check refuses this machine")
    there = targets.look(Storage(client).devices())
    assert ks.install
    where = ks.where["install"]
    target = targets.choose(there, ks.install, where)
    gone = targets.cleared(there, ks.clear, ks.where["clearpart"], ks.install) if ks.clear else []
    print(f"Disk: {target.id}, {target.size >> 20} MiB, {target.contents}")
    # Only for its errors: a device or address that does not fit is found before a disk is touched.
    configuration(client, ks.network)
    if ks.dry_run:
        print("dryrun: nothing was written")
        return ks
    for other in gone:
        if other.id != target.id:
            clear(other)
    shown = ""

    def progress(done: int, total: int, what: str) -> None:
        nonlocal shown
        line = f"{100 * done // total // 10 * 10:4} %  {what}"
        if line != shown:
            print(line, flush=True)
            shown = line

    started = time.monotonic()
    plan = Plan(target, ks.install.vmfs, ks.password, ks.encrypted, ks.network)
    carry_out(client, plan, progress)
    for script in ks.post:
        run_post(script)
    print(f"Tepui is installed on {target.id} ({time.monotonic() - started:.0f} s)", flush=True)
    return ks


def interactive(client: Client) -> None:
    """Installs with a person at the console, or does nothing. Raises SetupError."""
    with Tty().opened() as terminal:
        screens = Screens(terminal, f"Tepui {client.info().version} installer")
        screens.draw("Please wait", ["Looking at this machine ..."], "")
        plan = Dialog(screens, judge(), targets.look(Storage(client).devices())).run()
        if plan is None:
            return
        shown = ""

        def progress(done: int, total: int, what: str) -> None:
            nonlocal shown
            now = f"{50 * done // total} {what}"
            if now != shown:
                screens.progress("Installing", done, total, what)
                shown = now

        carry_out(client, plan, progress)
        text = [f"Tepui is installed on {plan.target.id}.", "", "Remove the medium."]
        screens.page("Installed", text, "Enter: restart the machine", (Key.ENTER,))


def shell() -> None:
    """A shell for a look at what went wrong; its end restarts the machine."""
    print("A shell follows; leaving it restarts the machine.", flush=True)
    subprocess.run(["/bin/sh", "-l"], check=False)


def main() -> int:
    client = Client()
    mode = boot_options().get("setup", "install")
    try:
        if mode == "check":
            print(report.text(judge(), False))
            print("\nNothing was written. Press Enter to restart.", flush=True)
            sys.stdin.readline()
        elif KICKSTART.exists():
            if not unattended(client, KICKSTART).reboot:
                print("Press Enter to restart.", flush=True)
                sys.stdin.readline()
        else:
            interactive(client)
    except (KickstartError, SettingsError, SetupError) as e:
        print(f"\nError: {e}", flush=True)
        shell()
    os.sync()
    client.power(reboot=True)
    return 0
