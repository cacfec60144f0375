# SPDX-License-Identifier: Apache-2.0
"""`make relock`: renews packages.lock from the configured registries."""

import configparser
import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from tepui.iso.workshop import apt, debs, lock


def resolve(requirements: Iterable[str]) -> dict[str, tuple[str, str]]:
    """name -> (version, sha256 of the wheel) for requirements and all that they need, as pip
    resolves them for the running interpreter."""
    report = Path("build/relock.json")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run"]
    command += ["--ignore-installed", "--only-binary", ":all:", "--report", str(report)]
    subprocess.run([*command, *requirements], check=True)
    return {
        row["metadata"]["name"]: (
            row["metadata"]["version"],
            row["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for row in json.loads(report.read_text())["install"]
    }


def python_pins() -> tuple[lock.PythonPin, ...]:
    config = configparser.ConfigParser()
    config.read("setup.cfg")
    runtime = config["options"]["install_requires"].split()
    workshop = config["options.extras_require"]["workshop"].split()
    everything = resolve([*runtime, *workshop])
    product = resolve([f"{name}=={everything[name][0]}" for name in runtime])
    return tuple(
        lock.PythonPin(name, version, sha256, product=name in product)
        for name, (version, sha256) in sorted(everything.items(), key=lambda row: row[0].lower())
    )


def source_pins() -> tuple[lock.SourcePin, ...]:
    """The newest version of every source package that is pinned."""
    apt.update()
    pins = []
    for pin in lock.load().source:
        version, sha256 = apt.newest_source(pin.package)
        pins.append(replace(pin, version=version, sha256=sha256))
    return tuple(pins)


def main() -> int:
    new = lock.Lock(python_pins(), source_pins(), debs.pins())
    lock.LOCK.write_text(lock.dump(new))
    print(f"wrote {lock.LOCK}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
