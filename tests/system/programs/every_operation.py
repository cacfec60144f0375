# SPDX-License-Identifier: Apache-2.0
"""Everything that a running host can be asked, on the host itself: every_operation.py.

Each operation of the ABI is asked by an account that may only read (so the vmkernel itself tells
reads from the rest, by refusing them) and by root, with a request of zeros; each list also from its
end. Then each command of the tree runs: those that read as they are, the others with an
option that is refused, and for their help. The host has to answer after each. Prints what it asks
before it asks, and at the end "every_operation: N reads, M operations, K commands, W wrong".
"""

import contextlib
import io
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tepui.shell import abi, run, tree
from tepui.shell.client import Client
from tepui.shell.command import Command, Role
from tepui.shell.link import SOCKET, Link, RefusedError

NOBODY = 65534
#: "host_log_mark takes 1 to 256 bytes, not 0", before privileges are looked at.
SIZES = re.compile(r"takes (\d+) to (\d+) bytes")
#: What ends with another status than 0 on a healthy host: it has no NIC and was not installed.
STATUS = {"hcl check": 1}

context = run.Context()
wrong: list[str] = []


def tell(text: str) -> None:
    print(text, flush=True)


def complain(text: str) -> None:
    wrong.append(text)
    tell(f"WRONG {text}")


def operations() -> Iterator[tuple[str, int]]:
    """Every operation of the ABI by name; HELLO and SUBSCRIBE are of the connection."""
    for kind in re.findall(r"enum\s+(ctl_\w+_op)\s*\{", abi.TEXT.read_text()):
        if kind != "ctl_core_op":
            names: dict[int, str] = abi.ffi().typeof(f"enum {kind}").elements
            yield from ((name, number) for number, name in sorted(names.items()))


def ask(link: Link, number: int, payload: bytes) -> str:
    """ "" for an answer, else why it was refused."""
    try:
        for fd in link.request(number, payload).fds:
            os.close(fd)
    except RefusedError as e:
        return str(e)
    return ""


def sweep() -> tuple[int, int]:
    """How many operations there are, and how many of them were answered."""
    link, answered, known = Link.connect(timeout=60), 0, 0
    for name, number in operations():
        tell(f"operation {name} for uid {os.getuid()}")
        refusal = ask(link, number, b"")
        if refusal.startswith("no operation"):
            if not name.endswith("_EVENT"):
                complain(f"{name}: {refusal}")
            continue
        known += 1
        if sizes := SIZES.search(refusal):
            size = int(sizes[1])
            refusal = ask(link, number, bytes(size))
            if os.getuid():  # what only reads may be asked for nonsense as well
                ask(link, number, b"\xff" * size)
            if SIZES.search(refusal):
                complain(f"{name}: {refusal}")
        answered += not refusal
        Client(link).info()
    link.close()
    return known, answered


def as_nobody() -> int:
    """The sweep of an account that may only read; how many operations were answered.

    The control socket is root's alone (hostd asks for the others): it is opened for a while."""
    socket = Path(SOCKET)
    mode = socket.stat().st_mode & 0o777
    socket.chmod(0o666)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setuid(NOBODY)
        os.write(writing, b"%d" % sweep()[1])
        sys.stdout.flush()
        os._exit(len(wrong))
    os.close(writing)
    _, status = os.waitpid(child, 0)
    socket.chmod(mode)
    if status:
        complain(f"the sweep of uid {NOBODY} ended with status {status}")
    return int(os.read(reading, 16) or b"0")


def parents(host: Client) -> None:
    """Each function's parent is the bridge whose bus it is on; a second page begins where asked."""
    every = host.pci()
    for p in every:
        if p.parent >= 0 and every[p.parent].secondary != p.bus:
            complain(f"{p.address}: its parent is {every[p.parent].address}")
        if p.parent < 0 and p.bus:
            complain(f"{p.address}: has no parent")
    c = host.call(host.op.CTL_DEVICE_PCI, "ctl_device_pci", abi.pack("ctl_page_req", first=3))
    if (c.page.total, c.page.count) != (len(every), len(every) - 3):
        complain(f"a page from 3 on: {c.page.count} of {c.page.total}")
    if [c.pci[i].parent for i in range(c.page.count)] != [p.parent for p in every[3:]]:
        complain("a page from 3 on has other parents")
    tell(f"{len(every)} functions, {sum(p.parent >= 0 for p in every)} behind bridges")


def execute(words: list[str], expected: int) -> None:
    """As esxcli runs a line, without the start of an interpreter for each."""
    line, out, errors = " ".join(words), io.StringIO(), io.StringIO()
    tell(f"command {line}")
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            status = run.execute(words, run.local_runner(context))
    except Exception as e:
        complain(f"{line}: {e!r}")
        return
    clear = expected == 0 or "Error: " in errors.getvalue() or line in STATUS
    if status != expected or not clear:
        complain(f"{line}: status {status}, not {expected}: {errors.getvalue()[-300:]}")


def value_of(kind: Any) -> str:
    return "4000000000" if kind is int else "no-such-thing"


def commands(command: Command) -> None:
    path, required = list(command.path), [p for p in command.params if p.required]
    if command.role is Role.READ_ONLY and not command.interactive:
        given = [value_of(p.kind) if p.label[0] == "<" else f"{p.long}={value_of(p.kind)}"
                 for p in required]  # fmt: skip
        execute([*path, *given], 1 if required else STATUS.get(command.name, 0))
    else:
        execute([*path, "--no-such-option"], 2)
        execute([*path, "--help"], 0)
    context.host.info()


def main() -> int:
    host = context.host
    info = host.info()
    reads = as_nobody()
    known, _ = sweep()
    host.set_time(info.realtime_ns + host.info().uptime_ns - info.uptime_ns)
    parents(host)
    every = tree.every()
    for command in every:
        commands(command)
    tell(f"every_operation: {reads} reads, {known} operations, {len(every)} commands, "
         f"{len(wrong)} wrong")  # fmt: skip
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main())
