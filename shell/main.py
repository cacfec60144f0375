# SPDX-License-Identifier: Apache-2.0
"""The `tepui` command: finds the subcommand's module and hands the arguments on."""

import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version

from tepui.shell import remote, tree
from tepui.shell.run import CONNECTION

#: subcommand -> ("module:function", one line of help). The function takes the arguments after the
#: subcommand's name and returns the exit status; its module is imported only when it is called.
SUBCOMMANDS: dict[str, tuple[str, str]] = {
    "datastore": (
        "tepui.shell.datastore.cli:main",
        "check and read datastores on images and disks",
    ),
    "hcl": ("tepui.hcl.cli:main", "the compatibility list; check a machine against it"),
    "iso": ("tepui.iso.cli:main", "build the ISO"),
}


REMOTE = (*tree.TOP, "shell")


def usage() -> str:
    width = max(len(name) for name in SUBCOMMANDS)
    rows = [f"  {name:{width}}  {help_}" for name, (_, help_) in sorted(SUBCOMMANDS.items())]
    return "\n".join(
        [
            "usage: tepui COMMAND [ARGUMENT...]",
            "       tepui --host HOST [--user NAME] NAMESPACE... COMMAND [OPTION...]",
            "       tepui shell --host HOST [--user NAME]",
            "       tepui completion bash|zsh",
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


BASH = """_tepui() {
    local IFS=$'\\n'
    COMPREPLY=($(tepui --complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _tepui tepui"""
ZSH = """#compdef tepui
_tepui() {
    local -a found
    found=("${(@f)$(tepui --complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    compadd -a found
}
compdef _tepui tepui"""


def completion(args: Sequence[str]) -> int:
    """`tepui completion bash|zsh`: the script to source."""
    scripts = {"bash": BASH, "zsh": ZSH}
    if len(args) != 1 or args[0] not in scripts:
        print("usage: tepui completion bash|zsh", file=sys.stderr)
        return 2
    print(scripts[args[0]])
    return 0


def candidates(words: Sequence[str]) -> list[str]:
    """What the last word may become: connection options in front, then the tree."""
    rest = list(words)
    while len(rest) > 1 and rest[0].partition("=")[0] in CONNECTION:
        del rest[: 1 if "=" in rest[0] else 2]
    if not rest:
        return []
    found = tree.complete(rest)
    if len(rest) == 1:
        own = [*SUBCOMMANDS, "shell", "completion", "--host", "--user", "--thumbprint"]
        found += [word for word in own if word.startswith(rest[0])]
    return sorted(found)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: the subcommand's own; 2 for wrong usage."""
    args = list(sys.argv[1:] if argv is None else argv)
    if args and args[0] in ("--version", "-V"):
        print(f"tepui {version('tepui')}")
        return 0
    if args and args[0] in ("--help", "-h"):
        print(usage())
        return 0
    if args[:1] == ["completion"]:
        return completion(args[1:])
    if args[:1] == ["--complete"]:
        print("\n".join(candidates(args[1:])))
        return 0
    if args and (args[0].startswith("-") or (args[0] in REMOTE and args[0] not in SUBCOMMANDS)):
        return remote.main(args)
    if not args or args[0] not in SUBCOMMANDS:
        print(usage(), file=sys.stderr)
        return 2
    return resolve(SUBCOMMANDS[args[0]][0])(args[1:])
