# SPDX-License-Identifier: Apache-2.0
"""vmtop, in the manner of esxtop: what worlds use of the CPUs, and where memory is.

    vmtop [-d SECONDS] [-n COUNT]      on the terminal; h shows the keys
    vmtop -b [-d SECONDS] [-n COUNT]   batch mode: CSV, a line an interval

%USED, %RDY, %WAIT and %CSTP are shares of one CPU's time since the last look. The worlds of a
userworld process are one row; `e` shows every world by itself.
"""

import argparse
import csv
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from tepui.shell.client import Client, Memory
from tepui.shell.keys import Keys
from tepui.shell.link import LinkError
from tepui.shell.records import Cpu, HostInfo, World

USER, IDLE = 1, 3
KEYS = """\
  c  CPU             U  sort by %USED      e  every world / one row a process
  m  memory          R  sort by %RDY       s  seconds between looks
  h  this help       N  sort by id         q  quit
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """The host at one moment."""

    info: HostInfo
    cpus: list[Cpu]
    worlds: list[World]
    memory: Memory

    @classmethod
    def take(cls, host: Client) -> "Sample":
        return cls(host.info(), host.cpus(), host.worlds(), host.memory())


@dataclass(frozen=True, slots=True)
class Row:
    """One or several worlds; times in percent of one CPU."""

    id: int
    name: str
    worlds: int
    used: float
    ready: float
    wait: float
    costop: float
    switches: float  # a second


SORTS = {"U": lambda r: -r.used, "R": lambda r: -r.ready, "N": lambda r: r.id}


def rows(before: Sample, now: Sample, *, every: bool) -> list[Row]:
    """What happened between two samples; idle worlds are left out."""
    past = {w.id: w for w in before.worlds}
    elapsed = max(now.info.uptime_ns - before.info.uptime_ns, 1)

    def group(w: World) -> tuple[int, int]:
        return (w.pid, 0) if w.pid and not every else (0, w.id)

    def row(worlds: list[World]) -> Row:
        first = worlds[0]
        pairs = [(past[w.id], w) for w in worlds if w.id in past]

        def share(name: str) -> float:
            change: int = sum(getattr(b, name) - getattr(a, name) for a, b in pairs)
            return change * 100 / elapsed

        used, ready, wait, costop = map(share, ("used_ns", "ready_ns", "wait_ns", "costop_ns"))
        switches = share("switches") * 10**7  # from percent a nanosecond
        number = first.pid if first.pid and not every else first.id
        return Row(number, first.name, len(worlds), used, ready, wait, costop, switches)

    worlds = sorted((w for w in now.worlds if w.kind != IDLE), key=group)
    return [row(list(g)) for _, g in groupby(worlds, group)]


def busy(before: Sample, now: Sample) -> list[float]:
    """Percent of each CPU's time that was not idle."""
    elapsed = max(now.info.uptime_ns - before.info.uptime_ns, 1)
    idle = {c.id: c.idle_ns for c in before.cpus}
    used = (100 - (c.idle_ns - idle.get(c.id, 0)) * 100 / elapsed for c in now.cpus)
    return [min(max(u, 0.0), 100.0) for u in used]


def head(before: Sample, now: Sample) -> list[str]:
    seconds = now.info.uptime_ns // 10**9
    clock = time.strftime("%H:%M:%S", time.gmtime(now.info.realtime_ns // 10**9))
    up = f"{seconds // 86400} days, {seconds // 3600 % 24}:{seconds // 60 % 60:02}"
    used = busy(before, now)
    cpus = " ".join(f"{u:5.1f}" for u in used[:16])
    average = sum(used) / max(len(used), 1)
    return [
        f"{clock} up {up}, {len(now.worlds)} worlds, {len(now.cpus)} CPUs",
        f"PCPU USED(%): {cpus}  AVG: {average:5.1f}",
    ]


def cpu_lines(found: Iterable[Row]) -> list[str]:
    title = "      ID NAME                    NWLD   %USED    %RDY   %WAIT   %CSTP   SWTCH/s"
    lines = [
        f"{r.id:8} {r.name[:22]:22} {r.worlds:5} {r.used:7.2f} {r.ready:7.2f} {r.wait:7.2f} "
        f"{r.costop:7.2f} {r.switches:9.1f}"
        for r in found
    ]
    return [title, *lines]


def memory_lines(memory: Memory) -> list[str]:
    """Pages by owner, in MiB; a column a NUMA node."""
    nodes = "".join(f"{f'node {i}':>12}" for i in range(len(memory.nodes)))
    lines = [f"{'MEMORY (MiB)':22}{'all':>12}{nodes}"]
    for owner, pages in sorted(memory.owners.items(), key=lambda x: -x[1]):
        parts = "".join(f"{n[owner] / 256:12.1f}" for n in memory.nodes)
        lines.append(f"{owner:22}{pages / 256:12.1f}{parts}")
    return [*lines, f"{'total':22}{memory.total_pages / 256:12.1f}"]


def batch(host: Client, delay: float, count: int | None) -> int:
    """CSV: time, each CPU, then every world that is there at the start."""
    before = Sample.take(host)
    names = [(r.id, r.name) for r in rows(before, before, every=True)]
    out = csv.writer(sys.stdout, lineterminator="\n", quoting=csv.QUOTE_ALL)
    title = ["(PDH-CSV 4.0) (UTC)(0)"]
    title += [rf"\\tepui\Physical Cpu({c.id})\% Util Time" for c in before.cpus]
    kinds = ("Used", "Ready", "CoStop")
    title += [rf"\\tepui\Group Cpu({i}:{n})\% {kind}" for i, n in names for kind in kinds]
    out.writerow(title)
    while count is None or count > 0:
        time.sleep(delay)
        now = Sample.take(host)
        found = {r.id: (r.used, r.ready, r.costop) for r in rows(before, now, every=True)}
        clock = time.strftime("%m/%d/%Y %H:%M:%S", time.gmtime(now.info.realtime_ns // 10**9))
        values = [*busy(before, now), *(v for i, _ in names for v in found.get(i, (0, 0, 0)))]
        out.writerow([clock, *(f"{v:.2f}" for v in values)])
        sys.stdout.flush()
        before = now
        count = None if count is None else count - 1
    return 0


class Screen:
    """The interactive program: what is shown and in which order."""

    def __init__(self, host: Client, delay: float) -> None:
        self.host, self.delay = host, delay
        self.page, self.sort, self.every = "c", "U", False

    def lines(self, before: Sample, now: Sample) -> list[str]:
        top = [*head(before, now), ""]
        if self.page == "h":
            return [*top, *KEYS.splitlines()]
        if self.page == "m":
            return [*top, *memory_lines(now.memory)]
        found = rows(before, now, every=self.every)
        return [*top, *cpu_lines(sorted(found, key=SORTS[self.sort]))]

    def show(self, before: Sample, now: Sample) -> None:
        columns, height = shutil.get_terminal_size()
        lines = [line[: columns - 1] for line in self.lines(before, now)[: height - 1]]
        sys.stdout.write("\x1b[H" + "".join(f"{line}\x1b[K\r\n" for line in lines) + "\x1b[J")
        sys.stdout.flush()

    def key(self, key: str, keys: Keys) -> bool:
        """False at the end."""
        if key in ("c", "m", "h"):
            self.page = key
        elif key in SORTS:
            self.sort = key
        elif key == "e":
            self.every = not self.every
        elif key == "s":
            text = keys.line("Seconds between looks: ")
            self.delay = float(text) if text.replace(".", "", 1).isdigit() else self.delay
        return key not in ("q", "\x03")

    def run(self, count: int | None) -> int:
        with Keys() as keys:
            sys.stdout.write("\x1b[2J")
            before = now = Sample.take(self.host)
            wait = 0.5  # the first figures soon
            while count is None or count > 0:
                key = keys.get(wait)
                if key and not self.key(key, keys):
                    break
                if not key:
                    before, now = now, Sample.take(self.host)
                    count = None if count is None else count - 1
                self.show(before, now)
                wait = max(self.delay, 0.1)
        print()
        return 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="vmtop", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-b", dest="batch", action="store_true", help="batch mode")
    parser.add_argument("-d", dest="delay", type=float, default=5.0, help="seconds between looks")
    parser.add_argument("-n", dest="count", type=int, help="looks, then the end")
    args = parser.parse_args(argv)
    try:
        if args.batch:
            return batch(Client(), args.delay, args.count)
        return Screen(Client(), args.delay).run(args.count)
    except LinkError as error:
        print(f"vmtop: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
