# SPDX-License-Identifier: Apache-2.0
"""Runs one line of the command tree: parse, call, show, exit status.

Where the call goes is the Runner's business: here it is the vmkernel of this host, on a
workstation it is hostd (`remote`).
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from tepui.shell import tree
from tepui.shell.client import Client
from tepui.shell.command import Command, FailedError, UsageError, parse
from tepui.shell.link import LinkError, RefusedError
from tepui.shell.output import Formatter, Output, render

#: Calls a command with parsed arguments and returns its Output.
Runner = Callable[[Command, dict[str, Any]], Output]

OK, FAILED, USAGE = 0, 1, 2


class Context:
    """What a command gets: the host it works on."""

    def __init__(self, host: Client | None = None) -> None:
        self.host = host or Client()


def local_runner(context: Context) -> Runner:
    """Runs commands in this process."""

    def run(command: Command, arguments: dict[str, Any]) -> Output:
        return command.output(command.function(context, **arguments))

    return run


def die(message: str, hint: str = "", out: TextIO | None = None) -> int:
    """Prints an error for people; returns the exit status."""
    stream = out or sys.stderr
    print(f"Error: {message}", file=stream)
    if hint:
        print(f"Hint: {hint}", file=stream)
    return FAILED


def _split(argv: Sequence[str]) -> tuple[Formatter | None, bool, list[str]]:
    """Takes --formatter and --debug from in front of the namespace."""
    words = list(argv)
    formatter: Formatter | None = None
    debug = False
    while words and words[0].startswith("--") and words[0] != "--help":
        name, _, text = words.pop(0).partition("=")
        if name == "--formatter":
            text = text or (words.pop(0) if words else "")
            if text not in list(Formatter):
                raise UsageError(f"--formatter takes {', '.join(Formatter)}, not '{text}'")
            formatter = Formatter(text)
        elif name == "--debug":
            debug = True
        else:
            raise UsageError(f"Invalid option {name}")
    return formatter, debug, words


def execute(argv: Sequence[str], runner: Runner, program: str = "esxcli") -> int:
    """Runs argv (without the program's name); prints; returns the exit status."""
    try:
        formatter, debug, words = _split(argv)
    except UsageError as e:
        print(f"Error: {e}\n\n{tree.node_help(tree.find([]).node, program)}", file=sys.stderr)
        return USAGE
    found = tree.find(words)
    asks_help = any(w in ("--help", "-?", "-h") for w in found.rest)
    if found.command is None:
        if found.rest and not asks_help:
            unknown = found.rest[0]
            message = f"Unknown command or namespace {' '.join((*found.node.path, unknown))}"
            print(f"Error: {message}\n\n{tree.node_help(found.node, program)}", file=sys.stderr)
            return USAGE
        print(tree.node_help(found.node, program))
        return OK if asks_help or not words else USAGE
    if asks_help:
        print(tree.command_help(found.command, program))
        return OK
    return _call(found.command, found.rest, runner, formatter, program, debug)


def _call(
    command: Command,
    words: Sequence[str],
    runner: Runner,
    formatter: Formatter | None,
    program: str,
    debug: bool,
) -> int:
    try:
        output = runner(command, parse(command, words))
        text = render(output, formatter)
    except UsageError as e:
        print(f"Error: {e}\n\n{tree.command_help(command, program)}", file=sys.stderr)
        return USAGE
    except (LinkError, FailedError, RefusedError) as e:
        if debug:
            raise
        return die(str(e), getattr(e, "hint", ""))
    if text:
        print(text)
    return output.status


def main(argv: Sequence[str] | None = None, program: str = "esxcli") -> int:
    """The esxcli command on the host."""
    args = list(sys.argv[1:] if argv is None else argv)
    if args[:1] == ["--version"]:
        print(f"Script: {program} version {Client().info().version}")
        return OK
    try:
        return execute(args, local_runner(Context()), program)
    except BrokenPipeError:
        return FAILED
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
