# SPDX-License-Identifier: Apache-2.0
"""The host's first screen (ESXi's DCUI): what this machine is, where to reach it, F2 and F12.

init runs it on the screen's terminal and again when it ends. F2 logs in to the service console, F4
shows the log's end, F12 switches off; where root has a password, F12 asks for it.
"""

import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from functools import partial

from tepui.shell.client import Client
from tepui.shell.cpuid import processor
from tepui.shell.keys import Keys
from tepui.shell.link import LinkError
from tepui.shell.netclient import Network, Vmknic, ip_text

LOOK_SECONDS = 5.0
#: Colours: the upper part, the lower part, the bar.
UPPER, LOWER, BAR = "\x1b[0;37;44m", "\x1b[0;30;47m", "\x1b[0;30;43m"
KEYS = ("<F2> Log in to the service console   <F4> View the log", "<F12> Shut down/Restart")


def addresses(nics: list[Vmknic]) -> list[str]:
    """Where a browser or the tepui command reaches the host."""
    lines = []
    for nic in nics:
        if address := ip_text(nic.ipv4):
            lines.append(f"https://{address}/ ({'DHCP' if nic.dhcp else 'STATIC'})")
        lines += [f"https://[{ip.address}]/ ({nic.name})" for ip in nic.ipv6_addresses]
    return lines or ["(waiting for an address)" if nics else "(no management network)"]


def upper(host: Client) -> list[str]:
    info = host.info()
    return [
        f"Tepui {info.version} (Releasebuild-{info.build_id[:8]})",
        "",
        f"{info.cpus} x {processor(partial(host.cpuid, 0)).brand}",
        f"{info.memory_bytes / 2**30:.1f} GiB Memory",
        *([] if info.hvm else ["", "This CPU cannot run virtual machines."]),
    ]


def lower(host: Client) -> list[str]:
    return ["To manage this host, go to:", *addresses(Network(host).vmknics())]


def frame(above: list[str], below: list[str], columns: int, rows: int) -> str:
    """The screen: three fifths above, the rest below, the keys in the last row."""
    split = rows * 3 // 5
    text = [""] * (rows - 1)
    text[split // 3 : split // 3 + len(above)] = above
    text[split + 2 : split + 2 + len(below)] = below
    lines = []
    for number, line in enumerate(text[: rows - 1]):
        colour = UPPER if number < split else LOWER
        lines.append(f"{colour}{'  ' + line:{columns}.{columns}}")
    left, right = KEYS
    bar = f" {left}{right:>{max(columns - len(left) - 2, 1)}} "
    lines.append(f"{BAR}{bar:{columns}.{columns}}")
    return "\x1b[?25l\x1b[H" + "\r\n".join(lines) + "\x1b[0m"


def allowed() -> bool:
    """Root's password, where there is one; the store is hostd's."""
    from tepui.shell.hostd.accounts import Accounts
    from tepui.shell.login import ACCOUNTS, ask

    return ask(Accounts(ACCOUNTS), "root", "Password of root: ") is not None


def clear() -> None:
    sys.stdout.write("\x1b[0m\x1b[2J\x1b[H\x1b[?25h")
    sys.stdout.flush()


def view_log(host: Client, keys: Keys) -> None:
    columns, rows = shutil.get_terminal_size()
    sequence, lines = 0, list[str]()
    while True:
        sequence, text = host.log(sequence)
        if not text:
            break
        lines += text.splitlines()
    clear()
    wrapped = [part for line in lines[-rows:] for part in textwrap.wrap(line, columns - 1)]
    sys.stdout.write("\r\n".join(wrapped[1 - rows :]) + "\r\nAny key goes back.")
    sys.stdout.flush()
    keys.get(None)


def power(host: Client, keys: Keys) -> None:
    clear()
    print("<F2> Shut down   <F11> Restart   any other key: back", end="\r\n", flush=True)
    key = keys.get(60)
    if key not in ("F2", "F11"):
        return
    keys.cooked()
    if not allowed():
        print("Wrong password.")
        keys.raw()
        keys.get(3)
        return
    host.log_mark("switched off at the console" if key == "F2" else "restarted at the console")
    host.power(reboot=key == "F11")


def show(host: Client) -> Callable[[], None]:
    """A function that brings the screen up to date, writing only what is new."""
    above = upper(host)
    shown = ""

    def update() -> None:
        nonlocal shown
        columns, rows = shutil.get_terminal_size()
        fresh = frame(above, lower(host), columns, rows)
        if fresh != shown:
            shown = fresh
            sys.stdout.write(fresh)
            sys.stdout.flush()

    return update


def run(host: Client) -> int:
    """Until F2: then the login has the terminal, and init starts this anew behind it."""
    with Keys() as keys:
        update = show(host)
        while True:
            update()
            key = keys.get(LOOK_SECONDS)
            if key == "F2":
                break
            if key in ("F4", "F12"):
                (view_log if key == "F4" else power)(host, keys)
                update = show(host)
    clear()
    return subprocess.call(["/usr/bin/login"])


def main() -> int:
    try:
        return run(Client())
    except (LinkError, EOFError) as error:
        print(f"dcui: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
