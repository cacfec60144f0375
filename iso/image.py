# SPDX-License-Identifier: Apache-2.0
"""The ISO: one hybrid file that boots from CD and USB stick, under BIOS and UEFI.

grub-mkrescue lays it out; what GRUB does stands in `GRUB_CFG`. The boot options lie in a file of
fixed size with a marker, so that they can be changed inside a finished ISO, on a stick or on an
installed disk (`tepui iso options`).
Sources: GNU GRUB manual 2.06; Multiboot2 specification 2.0.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tepui.iso import digests

#: Only what the menu needs: the ISO with GRUB alone is about 4 MB.
MKRESCUE = (
    "grub-mkrescue",
    "--compress=xz",
    "--locales=",
    "--fonts=",
    "--themes=",
    "--install-modules=normal configfile multiboot2 iso9660 serial part_msdos part_gpt fat "
    "all_video echo gzio terminal search test reboot halt",
)

OPTIONS_SIZE = 4096
OPTIONS_MARKER = b"# Tepui boot options; this file keeps its size of 4096 bytes.\n"

GRUB_CFG = """\
serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
# Under UEFI nothing else loads a video driver, and without one there is no framebuffer.
insmod all_video
set entry={entry}
set timeout=5
set screen=1024x768,auto
source /boot/options.cfg
set default=$entry

# gfxpayload is set behind multiboot2, which overwrites it. init=: who installs or checks is the
# first process, beside which no service runs.
set setup="init=/etc/init.d/setup loglevel=error setup"
function tepui {{
    multiboot2 /boot/vmkernel.elf $options $2 $3 $4
    module2 /boot/vmkernel.elf vmkernel
    module2 /boot/digests digests
{modules}    set gfxpayload=$1
    # UEFI has no text screen: the framebuffer in any mode is what it has.
    if [ "$grub_platform" = efi -a "$1" = text ]; then set gfxpayload=auto; fi
    boot
}}
menuentry "Install Tepui" --id install {{ tepui $screen $setup=install }}
menuentry "Tepui live console" --id live {{ tepui $screen }}
menuentry "Check this machine (writes nothing)" --id check {{ tepui $screen $setup=check }}
menuentry "Install Tepui, text screen" --id install-text {{ tepui text $setup=install }}
menuentry "Tepui live console, text screen" {{ tepui text }}
menuentry "Tepui live console, every log line on the screen" {{ tepui $screen loglevel=debug }}
"""


class IsoError(Exception):
    """The ISO could not be made or changed; the message is for people."""


def options_file(options: str, screen: str = "", entry: str = "") -> bytes:
    """The options file's content: marker, assignments, padding. `screen` is a gfxpayload of GRUB's
    ("text", "800x600x32"), "" for the usual one; `entry` boots at once."""
    every = options + screen + entry
    if not every.isprintable() or "'" in every:
        raise IsoError(f"boot options must be printable and without quotes: {every!r}")
    lines = [f"set options='{options}'\n", f"set screen='{screen}'\n" if screen else ""]
    lines += [f"set entry='{entry}'\nset timeout=0\n"] if entry else []
    text = OPTIONS_MARKER + "".join(lines).encode()
    if len(text) > OPTIONS_SIZE:
        raise IsoError(f"boot options are too long: {len(options)} characters")
    return text + b"#" * (OPTIONS_SIZE - len(text) - 1) + b"\n"


def set_options(iso: Path, options: str, screen: str = "", entry: str = "") -> None:
    """Changes the boot options inside an ISO, a stick or a disk image, in place."""
    with iso.open("r+b") as file:
        offset = find_marker(file.fileno())
        file.seek(offset)
        file.write(options_file(options, screen, entry))


def find_marker(descriptor: int) -> int:
    """Offset of the options file: files begin at a sector of 512 bytes."""
    with open(descriptor, "rb", closefd=False) as file:
        position = 0
        while chunk := file.read(1 << 20):
            for sector in range(0, len(chunk), 512):
                if chunk.startswith(OPTIONS_MARKER, sector):
                    return position + sector
            position += len(chunk)
    raise IsoError("no boot options found: not a Tepui ISO")


def grub_cfg(modules: Mapping[str, Path], entry: str) -> str:
    lines = [f"    module2 /boot/{name} {name}\n" for name in modules]
    return GRUB_CFG.format(modules="".join(lines), entry=entry)


def run(*command: str) -> None:
    """Raises IsoError."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise IsoError(f"{command[0]} failed:\n{done.stderr}")


def build(
    output: Path,
    kernel: Path,
    modules: Mapping[str, Path],
    options: str = "",
    entry: str = "live",
    manifest: Path | None = None,
) -> None:
    """Writes the ISO; `modules` maps the names that the vmkernel sees to files; `entry` is what
    boots when nobody chooses: install, live, check; `manifest` lies beside, for people."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix="iso-") as folder:
        boot = Path(folder, "boot")
        (boot / "grub").mkdir(parents=True)
        (boot / "grub/grub.cfg").write_text(grub_cfg(modules, entry))
        (boot / "options.cfg").write_bytes(options_file(options))
        run("strip", "-o", str(boot / "vmkernel.elf"), str(kernel))
        for name, path in modules.items():
            shutil.copyfile(path, boot / name)
        installed = (digests.KERNEL, digests.USERWORLD)
        sums = digests.listing({n: boot / n for n in installed if (boot / n).exists()})
        (boot / digests.NAME).write_text(sums)
        if manifest:
            shutil.copyfile(manifest, Path(folder, "manifest.spdx.json"))
        made = Path(folder + ".iso")
        run(*MKRESCUE, "-o", str(made), folder, "--", "-volid", "TEPUI")
        made.rename(output)
