# SPDX-License-Identifier: Apache-2.0
"""Debian binary packages of the lock file: fetches them and renews their pins.

usage: debs.py FOLDER     fetches what is missing into FOLDER, checks every digest
"""

import hashlib
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tepui.iso.userworld import PACKAGES
from tepui.iso.workshop import apt, lock

GONE = "its version has vanished from the archive: make relock"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def uris(packages: Iterable[str]) -> dict[str, tuple[str, str]]:
    """file name -> (package, sha256 or "") as apt knows them; package may be NAME=VERSION."""
    apt.update()
    found = {}
    for package in packages:
        command = ["apt-get", *apt.options(), "download", "--print-uris", package]
        line = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        match = re.match(r"'[^']*' (\S+) \d+ SHA256:([0-9a-f]{64})", line)
        if not match:
            raise SystemExit(f"{package}: not to be had from the configured archive; {GONE}")
        found[match[1]] = (package, match[2])
    return found


def pins() -> tuple[lock.DebianPin, ...]:
    """Pins of the newest versions of all packages that ride in the image."""
    rows = []
    for name, (package, sha256) in uris(PACKAGES).items():
        version = name.split("_")[1].replace("%3a", ":")
        rows.append(lock.DebianPin(package, version, sha256))
    return tuple(sorted(rows, key=lambda pin: pin.package))


def fetch(folder: Path) -> None:
    """Leaves exactly the pinned packages in folder; SystemExit when one cannot be had."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {pin.sha256: pin for pin in lock.load().debian}
    have = {digest(path): path for path in folder.glob("*.deb")}
    for sha256, path in have.items():
        if sha256 not in wanted:
            path.unlink()
    missing = [pin for sha256, pin in wanted.items() if sha256 not in have]
    if missing:
        apt.update()
    for pin in missing:
        command = ["apt-get", *apt.options(), "download", "-qq"]
        done = subprocess.run([*command, f"{pin.package}={pin.version}"], cwd=folder, check=False)
        if done.returncode:
            raise SystemExit(f"{pin.package} {pin.version} could not be fetched: perhaps {GONE}")
    if wrong := set(wanted) - {digest(path) for path in folder.glob("*.deb")}:
        names = ", ".join(wanted[sha256].package for sha256 in wrong)
        raise SystemExit(f"{names}: fetched, but the digest is not the pinned one; {GONE}")


def main(argv: list[str]) -> int:
    if len(argv) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    fetch(Path(argv[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
