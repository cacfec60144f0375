# SPDX-License-Identifier: Apache-2.0
"""vsish: the running vmkernel as a tree, in the manner of ESXi's.

    vsish -e ls /sched/          what is in a directory
    vsish -e get /sched/fills    a node's value
    vsish -e cat /memory         every node below, one a line
    vsish                        reads commands; cd and completion as in a shell

Counters stand under the dots of their names (sched.timer.set is /sched/timer/set); beside them are
/cpu/N, /memory, /world/ID and /version.
"""

import shlex
import sys
from collections.abc import Callable, Sequence
from posixpath import join, normpath
from typing import Any

from tepui.shell.client import Client
from tepui.shell.link import LinkError

#: A directory maps names to nodes; any other node is a value.
Tree = dict[str, Any]


class VsiError(Exception):
    """For people."""


def counters(host: Client) -> Tree:
    top: Tree = {}
    for stat in host.stats():
        *folders, name = stat.name.split(".")
        node = top
        for folder in folders:
            below = node.setdefault(folder, {})
            if not isinstance(below, dict):  # a counter that has others below it
                below = node[folder] = {"count": below}
            node = below
        node[name] = stat.value
    return top


def memory(host: Client) -> Tree:
    m = host.memory()
    nodes = {str(i): dict(owners) for i, owners in enumerate(m.nodes)}
    return {"total_pages": m.total_pages, "pages": dict(m.owners), "node": nodes}


#: Top-level directories that are not counters, each read when a path leads into it.
PARTS: dict[str, Callable[[Client], Tree]] = {
    "cpu": lambda host: {str(c.id): c._asdict() for c in host.cpus()},
    "memory": memory,
    "version": lambda host: host.info()._asdict(),
    "world": lambda host: {str(w.id): w._asdict() for w in host.worlds()},
}


def tree(host: Client) -> Tree:
    top = counters(host)
    for name, part in PARTS.items():
        top[name] = {**top.get(name, {}), **part(host)}
    return top


def lookup(top: Tree, path: str) -> Any:
    node: Any = top
    for word in path.strip("/").split("/") if path.strip("/") else ():
        if not isinstance(node, dict) or word not in node:
            raise VsiError(f"{path}: no such node")
        node = node[word]
    return node


def listing(node: Any) -> list[str]:
    """Names, directories with a slash."""
    if not isinstance(node, dict):
        raise VsiError("not a directory")
    return [f"{k}/" if isinstance(v, dict) else k for k, v in sorted(node.items(), key=_order)]


def _order(item: tuple[str, Any]) -> tuple[int, str]:
    return (int(item[0]), "") if item[0].isdigit() else (-1, item[0])


def leaves(node: Any, path: str) -> list[str]:
    if not isinstance(node, dict):
        return [f"{path}:{node}"]
    below = sorted(node.items(), key=_order)
    return [line for name, child in below for line in leaves(child, join(path, name))]


class Vsish:
    """Commands over one host; `here` is the directory of relative paths."""

    def __init__(self, host: Client) -> None:
        self.host = host
        self.here = "/"

    def run(self, words: Sequence[str]) -> list[str]:
        """The lines that a command prints; VsiError for people."""
        name, path = words[0], normpath(join(self.here, words[1] if len(words) > 1 else "."))
        if len(words) > 2:
            raise VsiError(f"{name} takes one path")
        node = lookup(tree(self.host), path)
        if name == "ls":
            return listing(node)
        if name == "cat":
            return leaves(node, path)
        if name == "get":
            if isinstance(node, dict):
                raise VsiError(f"{path}: a directory; `cat` shows what is below")
            return [str(node)]
        if name == "cd":
            listing(node)
            self.here = path
            return []
        raise VsiError(f"no command {name!r}: ls, get, cat, cd, exit")

    def complete(self, text: str) -> list[str]:
        """Paths that begin so."""
        folder, _, start = text.rpartition("/")
        folder = folder + "/" if "/" in text else ""
        node = lookup(tree(self.host), normpath(join(self.here, folder or ".")))
        return [folder + n for n in listing(node) if n.startswith(start)]

    def line(self, text: str) -> int:
        try:
            words = shlex.split(text)
            print("\n".join(self.run(words))) if words else None
        except (VsiError, ValueError) as error:
            print(f"vsish: {error}", file=sys.stderr)
            return 1
        return 0


def interactive(shell: Vsish) -> int:
    import readline

    found: list[str] = []

    def complete(text: str, state: int) -> str | None:
        if state == 0:
            try:
                found[:] = shell.complete(text)
            except VsiError:
                found.clear()
        return found[state] if state < len(found) else None

    readline.set_completer(complete)
    readline.set_completer_delims(" \t")
    readline.parse_and_bind("tab: complete")
    while True:
        try:
            text = input(f"{shell.here}> ")
        except (EOFError, KeyboardInterrupt):
            print()
            return 0
        if text.strip() in ("exit", "quit"):
            return 0
        shell.line(text)


def main(argv: Sequence[str] | None = None) -> int:
    args = list(sys.argv[1:] if argv is None else argv)
    shell = Vsish(Client())
    try:
        if args[:1] == ["-e"] and len(args) > 1:
            return shell.line(shlex.join(args[1:]))
        if args:
            print((__doc__ or "").strip())
            return 0 if args[0] in ("-h", "--help") else 2
        return interactive(shell)
    except LinkError as error:
        print(f"vsish: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
