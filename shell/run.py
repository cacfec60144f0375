# SPDX-License-Identifier: Apache-2.0
"""Runs one line of the command tree: parse, call, show, exit status.

Where the call goes is the Runner's business: here it is the vmkernel of this host, on a
workstation it is hostd (`remote`).
"""

import contextlib
import sys
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from tepui.shell import tree
from tepui.shell.abi import FieldError
from tepui.shell.audit import Audit, AuditError, bounded
from tepui.shell.client import Client
from tepui.shell.command import (
    Command,
    FailedError,
    Param,
    Pos,
    Role,
    UsageError,
    is_secret,
    parse,
)
from tepui.shell.link import LinkError, RefusedError
from tepui.shell.output import Formatter, Output, render

#: Calls a command with parsed arguments and returns its Output.
Runner = Callable[[Command, dict[str, Any]], Output]

OK, FAILED, USAGE = 0, 1, 2
#: Where a command comes from when it was typed on the host itself.
CONSOLE = "console"
#: Letters of an argument that the audit log shows.
ARGUMENT_MAX = 128

#: Options in front of a command that send it to another host, and what they set.
CONNECTION = {
    "--host": "host", "-s": "host", "--server": "host",
    "--user": "user", "-u": "user", "--username": "user", "--thumbprint": "thumbprint",
}  # fmt: skip


class Context:
    """What a command gets: the host it works on, and who asks from where."""

    def __init__(
        self,
        host: Client | None = None,
        user: str = "root",
        source: str = CONSOLE,
        audit: Audit | None = None,
    ) -> None:
        self.host = host or Client()
        self.user, self.source, self.audit = user, source, audit or Audit()

    def close(self) -> None:
        self.host.close()


def _recorded(command: Command, context: Context) -> contextlib.AbstractContextManager[None]:
    """What keeps the configuration document like the host when the command changes its network."""
    if command.path[0] != "network" or command.role is not Role.ADMINISTRATOR:
        return contextlib.nullcontext()
    from tepui.shell.config import change

    return change.followed(context.host, context.user, command.name)


def _line(command: Command, arguments: dict[str, Any]) -> str:
    """The command with its arguments as the audit log shows it: no secrets, long values cut."""
    shown = [
        ("" if isinstance(p.spec, Pos) else f"{p.long}=")
        + ("***" if is_secret(p) else bounded(str(arguments[p.name]), ARGUMENT_MAX))
        for p in command.params
        if p.name in arguments and arguments[p.name] != p.default
    ]
    return " ".join((command.name, *shown))


def invoke(command: Command, context: Context, arguments: dict[str, Any]) -> Any:
    """Calls a command's function on this host; what changes it is audited before and after.

    Raises UsageError, FailedError, RefusedError or LinkError.
    """
    outcome, who = "failed", {"user": context.user, "source": context.source}
    if command.role is not Role.READ_ONLY:
        # The attempt is on record before anything changes: on a full disk nothing is done that
        # nobody would know of. The console is where the disk is mended, so there it is only told.
        line = _line(command, arguments)
        try:
            context.audit.attempt("command", **who, line=line)
        except AuditError as e:
            if context.source != CONSOLE:
                raise FailedError(f"{e}; nothing was done") from e
            print(f"Warning: {e}", file=sys.stderr)
    try:
        with _recorded(command, context):
            result = command.function(context, **arguments)
            outcome = "done"
        return result
    except FieldError as e:
        raise UsageError(str(e)) from e
    except OSError as e:
        raise FailedError(f"{e.filename}: {e.strerror}" if e.filename else str(e)) from e
    finally:
        if command.role is not Role.READ_ONLY:
            context.audit.record("command", outcome, **who, line=line)


def local_runner(context: Context) -> Runner:
    """Runs commands in this process; an interactive one takes this terminal."""

    def run(command: Command, arguments: dict[str, Any]) -> Output:
        result = invoke(command, context, arguments)
        if command.interactive:
            from tepui.shell.stream import attach

            attach(result)
            return Output(text="")
        return command.output(result)

    return run


def ask(p: Param, from_input: bool) -> str:
    """A secret from the person at the terminal, twice, or from the input's first line."""
    if from_input:
        return sys.stdin.readline().rstrip("\n")
    if not sys.stdin.isatty():
        raise UsageError(f"Missing required parameter {p.label} (or {p.long}-stdin)")
    import getpass

    first = getpass.getpass(f"{p.name.capitalize()}: ")
    if getpass.getpass("Again: ") != first:
        raise FailedError("the two differ")
    return first


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
        output = runner(command, parse(command, words, ask))
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
    if args and args[0].partition("=")[0] in CONNECTION:
        from tepui.shell import remote

        return remote.main(args)
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
