# SPDX-License-Identifier: Apache-2.0
"""vim-cmd: ESXi's older names for commands of the tree, and its calls on VMs."""

import inspect
import sys
from collections.abc import Callable, Sequence

from tepui.shell import vmsvc
from tepui.shell.command import FailedError
from tepui.shell.link import LinkError, RefusedError
from tepui.shell.run import OK, USAGE, Context, die, execute, local_runner
from tepui.shell.vm.errors import VmError

#: vim-cmd's name -> the words of the command.
NAMES: dict[str, str] = {
    "hostsvc/disable_ssh": "system ssh server set -e false",
    "hostsvc/enable_ssh": "system ssh server set -e true",
    "hostsvc/start_ssh": "system ssh server set -e true",
    "hostsvc/stop_ssh": "system ssh server set -e false",
}


def call(name: str, function: Callable[..., str], args: Sequence[str]) -> int:
    """One of vmsvc's functions; exit status."""
    parameters = list(inspect.signature(function).parameters)
    if len(args) != len(parameters):
        places = " ".join(f"<{p}>" for p in parameters)
        print(f"usage: vim-cmd {name} {places}".rstrip(), file=sys.stderr)
        return USAGE
    try:
        text = function(*args)
    except (VmError, FailedError, LinkError, RefusedError) as e:
        return die(str(e), getattr(e, "hint", ""))
    except OSError as e:
        return die(f"{e.filename}: {e.strerror}")
    if text:
        print(text)
    return OK


def main(argv: Sequence[str] | None = None) -> int:
    args = list(sys.argv[1:] if argv is None else argv)
    name = args[0].lstrip("/") if args else ""
    if name in vmsvc.CALLS:
        return call(name, vmsvc.CALLS[name], args[1:])
    if name in NAMES:
        return execute([*NAMES[name].split(), *args[1:]], local_runner(Context()), "vim-cmd")
    if name.startswith(vmsvc.MISSING):
        return die(f"{name} is not in this version")
    known = sorted((*NAMES, *vmsvc.CALLS))
    print("usage: vim-cmd NAME [ARGUMENT...]\n\n" + "\n".join(known), file=sys.stderr)
    return USAGE


if __name__ == "__main__":
    raise SystemExit(main())
