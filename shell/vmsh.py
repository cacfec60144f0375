# SPDX-License-Identifier: Apache-2.0
"""vmsh, the interactive shell over the command tree: completion, history, help at every level.

`vmsh X` runs one command, `vmsh` reads lines, `vmsh --python` opens Python with the client bound.
"""

import code
import contextlib
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tepui.shell import tree
from tepui.shell.output import Formatter
from tepui.shell.run import OK, USAGE, Context, Runner, execute, local_runner

HISTORY = Path("~/.vmsh_history")
BUILTINS = {
    "exit": "leave the shell",
    "help": "this text; WORDS --help for a namespace or a command",
    "output": "how results are shown: output table|json|csv|xml|keyvalue",
}


class Shell:
    """One interactive shell over a runner."""

    def __init__(self, runner: Runner, prompt: str) -> None:
        self.runner = runner
        self.prompt = prompt
        self.formatter: Formatter | None = None
        self._candidates: list[str] = []

    def complete(self, text: str, state: int) -> str | None:
        """readline's completer: the state-th candidate for the word under the cursor."""
        import readline

        if state == 0:
            line = readline.get_line_buffer()[: readline.get_endidx()]
            words = line.split() + ([""] if not line or line[-1].isspace() else [])
            found = tree.complete(words)
            if len(words) == 1:
                found += [b for b in BUILTINS if b.startswith(text)]
            self._candidates = [f"{c} " for c in sorted(found)]
        return self._candidates[state] if state < len(self._candidates) else None

    def line(self, text: str) -> int:
        """Runs one line; returns its exit status."""
        try:
            words = shlex.split(text, comments=True)
        except ValueError as e:
            print(f"Error: {e}", file=sys.stderr)
            return USAGE
        if not words:
            return OK
        if words[0] in ("help", "?"):
            print(tree.node_help(tree.find([]).node, "").replace("Usage:  ", "Usage: "))
            print("\nShell:\n" + "\n".join(f"  {k:8}{v}" for k, v in BUILTINS.items()))
            return OK
        if words[0] == "output":
            return self._output(words[1:])
        if words[0] in ("esxcli", "vmsh"):
            words = words[1:]
        options = [f"--formatter={self.formatter}"] if self.formatter else []
        return execute([*options, *words], self.runner, "vmsh")

    def _output(self, words: Sequence[str]) -> int:
        allowed = ["table", *Formatter]
        if len(words) != 1 or words[0] not in allowed:
            print(f"Error: output takes one of {', '.join(allowed)}", file=sys.stderr)
            return USAGE
        self.formatter = None if words[0] == "table" else Formatter(words[0])
        return OK

    def loop(self) -> int:
        """Reads lines until the end; returns the last status."""
        status = OK
        while True:
            try:
                text = input(self.prompt)
            except EOFError:
                print()
                return status
            except KeyboardInterrupt:
                print("^C")
                continue
            if text.strip() in ("exit", "quit"):
                return status
            try:
                status = self.line(text)
            except KeyboardInterrupt:
                print("^C")
                status = 130


def _readline(shell: Shell) -> None:
    import readline

    readline.set_completer(shell.complete)
    readline.set_completer_delims(" \t")
    readline.parse_and_bind("tab: complete")
    path = HISTORY.expanduser()
    with contextlib.suppress(OSError):
        readline.read_history_file(path)
    readline.set_history_length(1000)


def _save_history() -> None:
    import readline

    with contextlib.suppress(OSError):
        readline.write_history_file(HISTORY.expanduser())


def _python() -> int:
    """Python with `host` bound, integers shown in hex."""

    def show(value: Any) -> None:
        if value is not None:
            print(hex(value) if isinstance(value, int) and not isinstance(value, bool) else value)

    sys.displayhook = show
    context = Context()
    banner = "host is the vmkernel's client (host.info(), host.peek(address, length) ...)"
    code.interact(banner=banner, local={"host": context.host}, exitmsg="")
    return OK


def interactive(runner: Runner, prompt: str = "vmsh> ") -> int:
    """An interactive shell on this terminal."""
    shell = Shell(runner, prompt)
    if sys.stdin.isatty():
        _readline(shell)
    try:
        return shell.loop()
    finally:
        if sys.stdin.isatty():
            _save_history()


def main(argv: Sequence[str] | None = None) -> int:
    args = list(sys.argv[1:] if argv is None else argv)
    if args == ["--python"]:
        return _python()
    runner = local_runner(Context())
    if args:
        return execute(args, runner, "vmsh")
    return interactive(runner)


if __name__ == "__main__":
    raise SystemExit(main())
