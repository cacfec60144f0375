# SPDX-License-Identifier: Apache-2.0
"""Confirms a boot bank that was tried (option trybank=): once the API has answered for a minute.

usage: python3 -m tepui.iso.bank
"""

import http.client
import re
import ssl
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from tepui.iso import layout, loader
from tepui.iso.disk import Disk
from tepui.iso.targets import DISKS
from tepui.shell.client import Client
from tepui.shell.storageclient import Block, Storage

ANSWERS_FOR, EVERY, TIMEOUT = 60, 5, 10  # seconds


def booted(devices: Sequence[Block], options: str) -> tuple[str, Block] | None:
    """The bank that this system was loaded from and the ESP of its disk; None if it came from
    elsewhere."""
    found = re.search(r"(?:^|\s)bootbank=([0-9a-f-]{36})(?:\s|$)", options)
    if not found:
        return None
    guid = uuid.UUID(found[1]).bytes_le
    for bank in devices:
        if bank.partition and bank.part_guid == guid:
            letter = next((n for n, p in layout.BANKS.items() if p == bank.partition), "")
            esp = f"{bank.id.rpartition(':')[0]}:{layout.ESP}"
            rows = [b for b in devices if b.id == esp]
            return (letter, rows[0]) if letter and rows else None
    return None


def confirm(esp: Path, bank: str) -> bool:
    """Makes `bank` the one that GRUB takes from now on; False if it was. Raises LoaderError."""
    wanted = {"bank": bank, "try": ""}
    with Disk(esp, writable=True) as disk:
        if loader.read_environment(disk) == wanted:
            return False
        loader.write_environment(disk, wanted)
    return True


def api_answers() -> bool:
    """Whether hostd answers a request, whatever it says."""
    context = ssl._create_unverified_context()
    try:
        connection = http.client.HTTPSConnection("127.0.0.1", timeout=TIMEOUT, context=context)
        connection.request("GET", "/")
        connection.getresponse().read()
        connection.close()
    except (OSError, http.client.HTTPException):
        return False
    return True


def main() -> int:
    client = Client()
    here = booted(Storage(client).devices(), Path("/proc/cmdline").read_text())
    if here is None:
        print("bank: not booted from a boot bank", file=sys.stderr)
        return 1
    since = time.monotonic()
    while time.monotonic() - since < ANSWERS_FOR:
        time.sleep(EVERY)
        if not api_answers():
            since = time.monotonic()
    bank, esp = here
    if confirm(DISKS / esp.id, bank):
        client.log_mark(f"boot bank {bank} is confirmed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
