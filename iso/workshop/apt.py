# SPDX-License-Identifier: Apache-2.0
"""An apt of the build's own: the machine's archives with their source entries, apart from the
system's apt.

The archives are taken from the machine's own configuration, so that a mirror or a proxy that is
set up there serves the build too; lists and downloads live below build/apt/. Nothing here needs
root or changes the system.
"""

import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ETC = Path("/etc/apt")
HOME = Path("build/apt")
#: Suites that are asked for beside the machine's own: where the sources of packages.lock lie.
EXTRA_SUITES = ("bookworm-backports", "trixie")


class AptError(Exception):
    """apt refused; the message is for people."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One archive: where it is, its suites, and the one-line options ("[signed-by=...]" or "")."""

    uri: str
    suites: tuple[str, ...]
    options: str


def one_line_entries(text: str) -> Iterator[Entry]:
    """Entries of a sources.list."""
    for match in re.finditer(r"^deb\s+(\[[^\]]*\])?\s*(\S+)\s+(\S+)", text, re.MULTILINE):
        yield Entry(match[2], (match[3],), match[1] or "")


def deb822_entries(text: str) -> Iterator[Entry]:
    """Entries of a .sources file: paragraphs of "Key: value"."""
    plain = re.sub(r"^#.*\n?", "", text, flags=re.MULTILINE)
    for paragraph in re.split(r"\n\s*\n", plain):
        fields = dict(re.findall(r"^([\w-]+):[ \t]*(.*)$", paragraph, re.MULTILINE))
        if "deb" not in fields.get("Types", "").split() or fields.get("Enabled") == "no":
            continue
        key = fields.get("Signed-By", "")
        options = f"[signed-by={key}]" if key.startswith("/") else ""
        for uri in fields.get("URIs", "").split():
            yield Entry(uri, tuple(fields.get("Suites", "").split()), options)


def machine_entries() -> list[Entry]:
    """The Debian archives that this machine is set up with."""
    files = [ETC / "sources.list", *sorted((ETC / "sources.list.d").glob("*"))]
    entries: list[Entry] = []
    for path in files:
        if path.suffix == ".sources":
            entries += deb822_entries(path.read_text())
        elif path.suffix == ".list" and path.exists():
            entries += one_line_entries(path.read_text())
    return [entry for entry in entries if any(s.startswith("bookworm") for s in entry.suites)]


def sources_list(entries: Iterable[Entry]) -> str:
    """One-line entries of the machine's archives, and of the extra suites: backports' binaries,
    which apt takes only when asked for them, and all sources."""
    lines: dict[str, None] = {}
    for entry in entries:
        extra = EXTRA_SUITES if "bookworm" in entry.suites else ()
        for suite in (*entry.suites, *extra):
            tail = f"{entry.options} {entry.uri} {suite} main".strip()
            lines[f"deb-src {tail}"] = None
            if suite.startswith("bookworm"):
                lines[f"deb {tail}"] = None
    return "\n".join(lines) + "\n"


def options() -> list[str]:
    """apt's options that keep it inside build/apt/."""
    home = HOME.resolve()
    settings = {
        "Dir::State": home / "state",
        "Dir::State::status": "/var/lib/dpkg/status",
        "Dir::Cache": home / "cache",
        "Dir::Etc::sourcelist": home / "sources.list",
        "Dir::Etc::sourceparts": home / "empty",
        "Dir::Etc::preferencesparts": home / "empty",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    return [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]


def update() -> None:
    """Fetches the lists, unless they are there for the same archives."""
    wanted = sources_list(machine_entries())
    path = HOME / "sources.list"
    stamp = HOME / "updated"
    if stamp.exists() and path.exists() and path.read_text() == wanted:
        return
    for folder in ("state/lists/partial", "cache/archives/partial", "empty"):
        (HOME / folder).mkdir(parents=True, exist_ok=True)
    path.write_text(wanted)
    print("  apt     fetching the package lists")
    # A suite that one mirror lacks is no error here: what is missing shows at the fetch.
    done = subprocess.run(
        ["apt-get", *options(), "-qq", "update"], capture_output=True, text=True, check=False
    )
    (HOME / "update.log").write_text(done.stdout + done.stderr)
    if not any((HOME / "state/lists").glob("*Sources*")):
        raise AptError(f"no package list could be fetched:\n{done.stderr}")
    stamp.touch()


def fetch_source(package: str, version: str, folder: Path) -> Path:
    """Downloads the upstream tar of a source package into `folder`; AptError when it is gone."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["apt-get", *options(), "-qq", "source", "--tar-only", "--download-only"]
    done = subprocess.run(
        [*command, f"{package}={version}"], cwd=folder, capture_output=True, text=True, check=False
    )
    upstream = version.rpartition("-")[0].partition(":")[2] or version.rpartition("-")[0]
    found = sorted(folder.glob(f"{package}_{upstream}.orig.tar.*"))
    if done.returncode or not found:
        raise AptError(f"source {package} {version}: {done.stderr.strip() or 'not found'}")
    return found[0]


def newest_source(package: str) -> tuple[str, str]:
    """(version, sha256 of the upstream tar) of the newest source package configured; AptError."""
    done = subprocess.run(
        ["apt-cache", *options(), "showsrc", package], capture_output=True, text=True, check=False
    )
    found: list[tuple[str, str]] = []
    for paragraph in done.stdout.split("\n\n"):
        version = re.search(r"^Version: (\S+)", paragraph, re.MULTILINE)
        sums = re.search(r"^Checksums-Sha256:((?:\n .*)+)", paragraph, re.MULTILINE)
        row = re.compile(r"^ (\w{64}) \d+ \S+\.orig\.tar\.\w+$", re.MULTILINE)
        tar = row.search(sums[1]) if sums else None
        if version and tar and re.search(rf"^Package: {package}$", paragraph, re.MULTILINE):
            found.append((version[1], tar[1]))
    if not found:
        raise AptError(f"source {package}: not in the configured archives")
    best = found[0]
    for other in found[1:]:
        compare = ["dpkg", "--compare-versions", other[0], "gt", best[0]]
        if subprocess.run(compare, check=False).returncode == 0:
            best = other
    return best
