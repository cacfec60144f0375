# SPDX-License-Identifier: Apache-2.0
"""GRUB on an installed disk: its images, its menu, and the environment that chooses the bank.

The environment block is a file of the ESP whose two sectors lie together; both GRUB and Python
rewrite it in place. `bank` is the confirmed bank, `try` one to be tried once: GRUB clears it
before it loads, so a boot that nobody confirms (bank.py) is not repeated. `tryoptions` are further
boot options of that one boot.
Sources: GNU GRUB manual 2.06, "Environment block"; GRUB's boot.S and diskboot.S.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tepui.iso import image, layout
from tepui.iso.disk import Disk
from tepui.shell import gpt

SECTOR = 512
ENVIRONMENT_SIZE = 1024
ENVIRONMENT_REACH = 8 << 20  # it is the ESP's first file, behind the allocation tables
ENVIRONMENT_MARK = b"# GRUB Environment Block\n"
#: boot.S: where core.img begins, and the check of the BIOS's drive number (two NOPs in its place,
#: as grub-install does on hard disks); diskboot.S: the first block list of core.img.
KERNEL_SECTOR, DRIVE_CHECK, BLOCK_LIST = 0x5C, 0x66, SECTOR - 12
BOOT_CODE = 440

GRUB_CFG = """\
serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
set default=0
set timeout=1
set screen=1024x768,auto
source $prefix/options.cfg
regexp --set=1:disk '^([^,]+)' "$root"
load_env bank try tryoptions
if [ "$bank" != B ]; then set bank=A; fi
if [ "$bank" = A ]; then set other=B; else set other=A; fi
set now=$bank
if [ -n "$try" ]; then
    if [ "$try" != "$bank" ]; then
        set now=$try; set other=$bank; set unsure="panicreboot=5 trybank=$try $tryoptions"
    fi
    set try=
    save_env try
fi

# bank, screen, further options. gfxpayload is set behind multiboot2, which overwrites it.
function tepui {{
    if [ "$1" = B ]; then
        set part=gpt4; set guid={guid_b}
    else
        set part=gpt3; set guid={guid_a}
    fi
    if multiboot2 ($disk,$part)/vmkernel.elf bootbank=$guid $unsure $options $3; then
        if module2 ($disk,$part)/userworld userworld; then
            set gfxpayload=$2
            # UEFI has no text screen: the framebuffer in any mode is what it has.
            if [ "$grub_platform" = efi -a "$2" = text ]; then set gfxpayload=auto; fi
            boot
        fi
    fi
}}
menuentry "Tepui" {{ tepui $now $screen; tepui $other $screen; }}
menuentry "Tepui, text screen" {{ tepui $now text; tepui $other text; }}
menuentry "Tepui, the other boot bank" {{ tepui $other $screen; }}
"""


class LoaderError(Exception):
    """GRUB's images or its environment are not what they should be."""


@dataclass(frozen=True, slots=True)
class Images:
    """GRUB as built by `make`: iso/workshop/iso.mk."""

    boot: bytes  # boot.img
    core: bytes  # core.img for BIOS
    efi: Path

    @classmethod
    def load(cls, folder: Path) -> "Images":
        read = [(folder / name).read_bytes() for name in ("boot.img", "core.img")]
        return cls(read[0], read[1], folder / "BOOTX64.EFI")


def esp_files(images: Images, table: gpt.Table, options: str) -> dict[str, Path | bytes]:
    """The ESP's files; the environment comes first."""
    a, b = (table.partitions[number - 1].guid for number in layout.BANKS.values())
    text = GRUB_CFG.format(guid_a=a, guid_b=b)
    return {
        "grub/grubenv": environment({"bank": "A", "try": ""}),
        "EFI/BOOT/BOOTX64.EFI": images.efi,
        "grub/grub.cfg": text.encode(),
        "grub/options.cfg": image.options_file(options),
    }


def core(images: Images, table: gpt.Table) -> bytes:
    """core.img for its place at the begin of the BIOS boot partition."""
    grub = table.partitions[layout.BIOS_BOOT - 1]
    out = bytearray(images.core + bytes(-len(images.core) % SECTOR))
    if len(out) > grub.blocks * table.block_size:
        raise LoaderError("core.img does not fit its partition")
    length, segment = struct.unpack_from("<HH", out, BLOCK_LIST + 8)
    if length != len(out) // SECTOR - 1 or segment != 0x820:
        raise LoaderError("core.img has an unknown form")
    start = grub.first * table.block_size // SECTOR
    struct.pack_into("<Q", out, BLOCK_LIST, start + 1)
    return bytes(out)


def boot_code(images: Images, table: gpt.Table) -> bytes:
    """boot.img's code, which loads the first sector of core.img."""
    out = bytearray(images.boot[:BOOT_CODE])
    start = table.partitions[layout.BIOS_BOOT - 1].first * table.block_size // SECTOR
    struct.pack_into("<Q", out, KERNEL_SECTOR, start)
    out[DRIVE_CHECK : DRIVE_CHECK + 2] = b"\x90\x90"
    return bytes(out)


def environment(values: Mapping[str, str]) -> bytes:
    """GRUB's environment block."""
    lines = "".join(f"{key}={value}\n" for key, value in values.items()).encode()
    if len(ENVIRONMENT_MARK) + len(lines) > ENVIRONMENT_SIZE or b"\\" in lines:
        raise LoaderError("the environment does not fit")
    return (ENVIRONMENT_MARK + lines).ljust(ENVIRONMENT_SIZE, b"#")


def parse_environment(block: bytes) -> dict[str, str]:
    """Raises LoaderError."""
    if not block.startswith(ENVIRONMENT_MARK) or len(block) != ENVIRONMENT_SIZE:
        raise LoaderError("no environment block")
    lines = block[len(ENVIRONMENT_MARK) :].decode("ascii", "replace").splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {key: value for key, _, value in pairs}


def find_environment(esp: bytes) -> int:
    """Its offset in the ESP, of which the first ENVIRONMENT_REACH bytes are given. Raises
    LoaderError."""
    for at in range(0, len(esp), SECTOR):
        if esp.startswith(ENVIRONMENT_MARK, at):
            return at
    raise LoaderError("no environment block in the ESP")


def read_environment(esp: Disk) -> dict[str, str]:
    """From the ESP, opened as a disk. Raises LoaderError."""
    at = find_environment(esp.read(0, ENVIRONMENT_REACH))
    return parse_environment(esp.read(at, ENVIRONMENT_SIZE))


def write_environment(esp: Disk, values: Mapping[str, str]) -> None:
    """Raises LoaderError."""
    esp.write(find_environment(esp.read(0, ENVIRONMENT_REACH)), environment(values))
    esp.flush()
