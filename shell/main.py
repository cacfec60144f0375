# SPDX-License-Identifier: Apache-2.0
"""The `tepui` command: finds the subcommand's module and hands the arguments on."""

import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version

from tepui.shell import remote, tree

#: subcommand -> ("module:function", one line of help). The function takes the arguments after the
#: subcommand's name and returns the exit status; its module is imported only when it is called.
SUBCOMMANDS: dict[str, tuple[str, str]] = {
    "hcl": ("tepui.hcl.cli:main", "the compatibility list; check a machine against it"),
    "iso": ("tepui.iso.cli:main", "build the ISO"),
}


def usage() -> str:
    width = max(len(name) for name in SUBCOMMANDS)
    rows = [f"  {name:{width}}  {help_}" for name, (_, help_) in sorted(SUBCOMMANDS.items())]
    return "\n".join(
        [
            "usage: tepui COMMAND [ARGUMENT...]",
            "       tepui --host HOST [--user NAME] NAMESPACE... COMMAND [OPTION...]",
            "       tepui --version",
            "",
            *rows,
            "",
            "With --host (or TEPUI_HOST) every command of the host's console runs there.",
        ]
    )


def resolve(target: str) -> Callable[[Sequence[str]], int]:
    """The function that a "module:function" names."""
    module, _, name = target.partition(":")
    function: Callable[[Sequence[str]], int] = getattr(importlib.import_module(module), name)
    return function


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: the subcommand's own; 2 for wrong usage."""
    args = list(sys.argv[1:] if argv is None else argv)
    if args and args[0] in ("--version", "-V"):
        print(f"tepui {version('tepui')}")
        return 0
    if args and args[0] in ("--help", "-h"):
        print(usage())
        return 0
    if args and (args[0].startswith("-") or (args[0] in tree.TOP and args[0] not in SUBCOMMANDS)):
        return remote.main(args)
    if not args or args[0] not in SUBCOMMANDS:
        print(usage(), file=sys.stderr)
        return 2
    return resolve(SUBCOMMANDS[args[0]][0])(args[1:])
