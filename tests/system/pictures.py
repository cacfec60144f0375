# SPDX-License-Identifier: Apache-2.0
"""`make pictures`: the README's pictures, from a real run on an emulated machine."""

import sys
import tempfile
import time
from pathlib import Path

from tests.system import installed
from tests.system.console import SCALE
from tests.system.machine import ROOT, Config, Machine
from tests.system.test_screen import read_framebuffer

FOLDER = ROOT / "iso/pictures"
#: Name -> boot menu entry, keys, what the screen shows then.
PICTURES = {
    "console": ("live", (), "https://10.0.2.15/"),
    "installer": ("install", ("ret", "ret"), "Where should Tepui be installed"),
}


def await_text(machine: Machine, text: str, folder: Path) -> None:
    deadline = time.monotonic() + 240 * SCALE
    dump = folder / "screen.ppm"
    while True:
        machine.qmp.execute("screendump", filename=str(dump))
        rows, _ = read_framebuffer(dump)
        if any(text in row for row in rows):
            return
        if time.monotonic() > deadline or not machine.console.drain(0.5):
            raise SystemExit(f"the screen does not show {text!r}:\n" + "\n".join(rows))


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        disk = installed.disk(installed.empty(folder / "disk", 16 << 30))
        for picture, (entry, keys, text) in PICTURES.items():
            config = Config(
                entry=entry, memory=4096, cpus=2, arguments=(*disk, *installed.NIC), cd_index=1
            )
            with Machine(config, ROOT / "build/logs/pictures" / picture) as machine:
                for page, key in zip(("Welcome", "Compatibility"), keys, strict=False):
                    machine.console.expect(page, 240)
                    codes = [{"type": "qcode", "data": key}]
                    machine.qmp.execute("send-key", keys=codes)
                await_text(machine, text, folder)
                path = FOLDER / f"{picture}.png"
                machine.screenshot(path)
                print(f"{path.stat().st_size / 1024:6.1f} KiB  {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
