# SPDX-License-Identifier: Apache-2.0
"""A pytest plugin: the machine is after the tests as it was before, or the session fails.

Looked at before the first test and after the last one, by the process that runs the session (with
xdist the workers have ended by then): host name, /etc, addresses, mounts, processes, /tmp.

Others may be at work on the same machine. Host name, /etc, addresses and mounts are the machine's
and seldom change by themselves, so all of them count. Processes come and go, so only the session's
own count: it is their reaper, so that one whose parent has ended is its child again, however it
was started (PR_SET_CHILD_SUBREAPER, prctl(2)). In /tmp nothing says who made a file. Therefore the
tests get a folder of their own there by TMPDIR, in which nothing of theirs may be left, and what
is new beside it counts when it has a name of the project's and no process of someone else's uses
it: other trees' tests may be running, too.
"""

import ctypes
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PR_SET_CHILD_SUBREAPER = 36
ETC, TMP = Path("/etc"), Path("/tmp")
#: Where pytest's temporary files go when tests have failed.
KEPT = Path(__file__).resolve().parents[1] / "build/logs/pytest"
#: Folders of sessions, this one's and others'; and what the project's programs name their files.
RUN = "tepui-tests-"
NAMES = re.compile(rf"(?!{RUN})(?:\.?tepui|vmk|vmhba|iso-|pytest-|bochs)")
#: Seconds after which a difference is one.
END = 10.0


@dataclass(frozen=True, slots=True)
class Machine:
    """`files`: what stat says of everything below /etc; `processes`: the session's, by number."""

    hostname: str
    files: dict[str, str]
    addresses: frozenset[str]
    mounts: frozenset[str]
    processes: dict[int, str]
    temporary: frozenset[str]


def files(root: Path) -> Iterator[tuple[str, str]]:
    """A folder's own size and time change when a file in it is written anew: they do not count."""
    for path in root.rglob("*"):
        s = path.lstat()
        more = "" if stat.S_ISDIR(s.st_mode) else f", {s.st_size} bytes, time {s.st_mtime_ns}"
        yield str(path), f"mode {s.st_mode:o}, owner {s.st_uid}:{s.st_gid}{more}"


def addresses() -> Iterator[str]:
    command = ("ip", "-json", "address", "show")
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for link in json.loads(done.stdout):
        yield f"{link['ifname']} {'up' if 'UP' in link['flags'] else 'down'}"
        for address in link["addr_info"]:
            yield f"{link['ifname']} {address['local']}/{address['prefixlen']}"


def mounts() -> Iterator[str]:
    """Source: proc(5), /proc/pid/mountinfo."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        place, _, what = line.partition(" - ")
        yield f"{place.split()[4]} ({what.split()[0]})"


def parents() -> dict[int, int]:
    """Of every process that has not ended."""
    out = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            text = (folder / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
        state, parent = text.rpartition(")")[2].split()[:2]
        if state not in "ZX":
            out[int(folder.name)] = int(parent)
    return out


def own(above: dict[int, int]) -> set[int]:
    """The processes below this one."""
    out: set[int] = set()
    for process in above:
        trail = [process]
        while (parent := above.get(trail[-1], 0)) and parent != os.getpid():
            trail.append(parent)
        if parent:
            out.add(process)
    return out


def words(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text(errors="replace").replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def used_by_others(path: Path) -> bool:
    """Whether a process that is not the session's names it, works in it or has it open."""
    above = parents()
    inside = re.compile(rf"{re.escape(str(path))}(?![^/\s,:;'\"])")
    for process in above.keys() - own(above) - {os.getpid()}:
        folder = Path(f"/proc/{process}")
        try:
            links = [folder / "cwd", *(folder / "fd").iterdir()]
            used = [words(process), *(str(link.readlink()) for link in links)]
        except OSError:
            continue  # it has ended, or is another user's
        if any(inside.search(text) for text in used):
            return True
    return False


def look() -> Machine:
    return Machine(
        hostname=socket.gethostname(),
        files=dict(files(ETC)),
        addresses=frozenset(addresses()),
        mounts=frozenset(mounts()),
        processes={process: words(process) for process in own(parents())},
        temporary=frozenset(entry.name for entry in os.scandir(TMP)),
    )


def different(before: Machine, after: Machine) -> list[str]:
    """A sentence a difference."""
    out = []
    if before.hostname != after.hostname:
        out.append(f"the host's name was {before.hostname}, now it is {after.hostname}")
    for path in sorted(before.files.keys() | after.files.keys()):
        was, now = before.files.get(path), after.files.get(path)
        if was != now:
            out.append(f"{path}: it was {was or 'not there'}, now it is {now or 'gone'}")
    for kind, old, new in (
        ("address", before.addresses, after.addresses),
        ("mount", before.mounts, after.mounts),
    ):
        out += [f"{kind} {one} is new" for one in sorted(new - old)]
        out += [f"{kind} {one} is gone" for one in sorted(old - new)]
    for process in sorted(after.processes.keys() - before.processes.keys()):
        out.append(f"process {process} still runs: {after.processes[process]}")
    for name in sorted(after.temporary - before.temporary):
        if NAMES.match(name) and not used_by_others(TMP / name):
            out.append(f"{TMP / name} is left")
    return out


class Untouched:
    """`folder`: the session's own for temporary files; pytest's lie in `folder`/pytest."""

    def __init__(self, config: pytest.Config) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=RUN))
        self.outside = os.environ.get("TMPDIR")
        os.environ["TMPDIR"] = tempfile.tempdir = str(self.folder)
        config.option.basetemp = config.option.basetemp or self.folder / "pytest"
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.before = look()
        self.differences: list[str] = []

    def found(self) -> list[str]:
        left = sorted(path for path in self.folder.iterdir() if path.name != "pytest")
        return different(self.before, look()) + [f"{path} is left" for path in left]

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        deadline = time.monotonic() + END
        # What is about to end does so; what another session has just made gets its process.
        while (found := self.found()) and time.monotonic() < deadline:
            time.sleep(0.1)
        self.differences = found
        if session.exitstatus == pytest.ExitCode.TESTS_FAILED and (self.folder / "pytest").exists():
            shutil.rmtree(KEPT, ignore_errors=True)
            shutil.move(self.folder / "pytest", KEPT)
        if self.differences and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.differences:
            terminalreporter.section("the tests did not leave the machine as it was", red=True)
            for line in self.differences:
                terminalreporter.write_line(line)

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        if self.outside is None:
            os.environ.pop("TMPDIR", None)
        else:
            os.environ["TMPDIR"] = self.outside
        tempfile.tempdir = None
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Before pytest's own, which decides on a folder for temporary files. A worker of xdist has
    TMPDIR and its share of that folder from the session's process."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Untouched(config), "untouched")
