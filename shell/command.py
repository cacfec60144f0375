# SPDX-License-Identifier: Apache-2.0
"""Commands are annotated functions: arguments, help, completion and output follow from them.

    @command("network nic get", "Get the detailed configuration of a NIC.")
    def nic_get(ctx: Context, nic_name: Annotated[str, Opt("-n", "The NIC's name.")]) -> NicInfo:

A parameter is an option (--nic-name), a positional argument (Pos) or a flag (bool with Flag). The
returned dataclass, list of dataclasses, str, int or None becomes the Output.
"""

import inspect
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, is_dataclass
from enum import StrEnum
from typing import Annotated, Any, TypeVar, get_args, get_origin

from tepui.shell.output import Output, Style, records

BOOLEANS = dict.fromkeys(("true", "yes", "1", "on"), True)
BOOLEANS |= dict.fromkeys(("false", "no", "0", "off"), False)
F = TypeVar("F", bound=Callable[..., Any])


class UsageError(Exception):
    """Wrong arguments; the caller prints the command's help."""


class FailedError(Exception):
    """The command could not do what it was asked; the message is for people."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Role(StrEnum):
    """The least account role that may run a command."""

    READ_ONLY = "read-only"
    OPERATOR = "operator"
    ADMINISTRATOR = "administrator"


@dataclass(frozen=True, slots=True)
class Opt:
    """An option with a value; short may be "". complete names a completer (`completion`)."""

    short: str
    help: str
    name: str = ""
    complete: str = ""


@dataclass(frozen=True, slots=True)
class Secret(Opt):
    """An option that is asked for where it is missing, or read from the first line of the input
    with --NAME-stdin: everybody sees a command line in ps."""


@dataclass(frozen=True, slots=True)
class Flag:
    """An option without a value."""

    short: str
    help: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Pos:
    """A positional argument."""

    help: str
    complete: str = ""


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter as the parser, the help and the API description see it."""

    name: str  # of the function
    kind: type  # str, int, bool, a StrEnum, or what a str makes and str() turns back
    spec: Opt | Flag | Pos
    default: Any  # inspect.Parameter.empty: required
    many: bool  # a tuple: the option may be repeated

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty

    @property
    def long(self) -> str:
        given = "" if isinstance(self.spec, Pos) else self.spec.name
        return "--" + (given or self.name.replace("_", "-"))

    @property
    def label(self) -> str:
        """As errors and help name it: -n|--nic-name, or <vm>."""
        if isinstance(self.spec, Pos):
            return f"<{self.name.replace('_', '-')}>"
        return f"{self.spec.short}|{self.long}" if self.spec.short else self.long

    def convert(self, text: str) -> Any:
        """A value of the right kind; raises UsageError."""
        try:
            if self.kind is bool:
                return BOOLEANS[text.lower()]
            if self.kind is int:
                return int(text, 0)
            return self.kind(text)
        except (KeyError, ValueError):
            allowed = {bool: "true or false", int: "a number"}.get(self.kind, self.kind.__name__)
            if issubclass(self.kind, StrEnum):
                allowed = ", ".join(self.kind)
            raise UsageError(
                f"Invalid value for {self.label}: '{text}' (allowed: {allowed})"
            ) from None


@dataclass(frozen=True, slots=True)
class Command:
    """A command's whole description."""

    path: tuple[str, ...]
    help: str
    function: Callable[..., Any]
    params: tuple[Param, ...]
    style: Style
    header: str
    role: Role
    own: bool  # a node that ESXi lacks
    interactive: bool  # returns a Stream that a terminal is attached to

    @property
    def name(self) -> str:
        return " ".join(self.path)

    def output(self, result: Any) -> Output:
        """Wraps what the function returned."""
        if isinstance(result, Output):
            return result
        if result is None:
            return Output(text="")
        if isinstance(result, list):
            return records(self.row_type(), result, self.style, self.header)
        if is_dataclass(result) and not isinstance(result, type):
            return records(type(result), [result], Style.BLOCKS, self.header)
        return Output(text=str(result))

    def row_type(self) -> type:
        """The dataclass of one record, from the return annotation."""
        hint = typing.get_type_hints(self.function)["return"]
        row: type = get_args(hint)[0] if get_origin(hint) is list else hint
        return row


def _param(p: inspect.Parameter, hint: Any) -> Param:
    if get_origin(hint) is not Annotated:
        raise TypeError(f"parameter {p.name}: not Annotated")
    kind, spec = get_args(hint)[:2]
    many = get_origin(kind) is tuple
    if many:
        kind = get_args(kind)[0]
    if get_origin(kind) in (types.UnionType, typing.Union):  # X | None
        kind = next(k for k in get_args(kind) if k is not type(None))
    return Param(p.name, kind, spec, p.default, many)


def command(
    path: str,
    help_: str,
    *,
    style: Style = Style.BLOCKS,
    header: str = "",
    role: Role = Role.READ_ONLY,
    own: bool = False,
    interactive: bool = False,
) -> Callable[[F], F]:
    """Marks a function (ctx, ...) as the command `path`; describe() reads the mark."""

    def mark(function: F) -> F:
        options = (tuple(path.split()), help_, style, header, role, own, interactive)
        function.__dict__["tepui_command"] = options
        return function

    return mark


def describe(function: Callable[..., Any]) -> Command:
    """The description of a marked function."""
    path, help_, style, header, role, own, interactive = function.__dict__["tepui_command"]
    hints = typing.get_type_hints(function, include_extras=True)
    signature = list(inspect.signature(function).parameters.values())[1:]
    params = tuple(_param(p, hints[p.name]) for p in signature)
    return Command(path, help_, function, params, style, header, role, own, interactive)


def commands_of(module: types.ModuleType) -> list[Command]:
    """All commands that a module defines, in its order."""
    return [describe(f) for f in vars(module).values() if hasattr(f, "tepui_command")]


def no_prompt(p: Param, from_input: bool) -> str:
    """Prompt for non-interactive use."""
    raise UsageError(f"Missing required parameter {p.label}")


#: Returns the value of a Secret, which it reads from the input's first line where the flag says
#: so, else from a person at the terminal.
Prompt = Callable[[Param, bool], str]


def parse(command: Command, argv: Sequence[str], ask: Prompt = no_prompt) -> dict[str, Any]:
    """Arguments for the function; raises UsageError."""
    options: dict[str, Param] = {}
    for p in command.params:
        if not isinstance(p.spec, Pos):
            options[p.long] = p
            options.update({p.spec.short: p} if p.spec.short else {})
    positional = [p for p in command.params if isinstance(p.spec, Pos)]
    values: dict[str, Any] = {}
    words = iter(argv)
    literal = False
    for word in words:
        if literal or not word.startswith("-") or word == "-":
            _take_positional(positional, values, word)
        elif word == "--":
            literal = True
        elif word.endswith("-stdin") and (secret := options.get(word[:-6])) and is_secret(secret):
            values[secret.name] = ask(secret, True)
        else:
            _take_option(options, values, word, words)
    for p in command.params:
        if p.name not in values:
            if is_secret(p) and p.required:
                values[p.name] = ask(p, False)
                continue
            if p.required:
                raise UsageError(f"Missing required parameter {p.label}")
            values[p.name] = p.default
    return values


def is_secret(p: Param) -> bool:
    return isinstance(p.spec, Secret)


def _take_positional(positional: list[Param], values: dict[str, Any], word: str) -> None:
    for p in positional:
        if p.many:
            values[p.name] = (*values.get(p.name, ()), p.convert(word))
            return
        if p.name not in values:
            values[p.name] = p.convert(word)
            return
    raise UsageError(f"Unexpected argument '{word}'")


def _take_option(
    options: dict[str, Param], values: dict[str, Any], word: str, words: Iterable[str]
) -> None:
    name, equals, text = word.partition("=")
    p = options.get(name)
    if p is None:
        raise UsageError(f"Invalid option {name}")
    if isinstance(p.spec, Flag):
        values[p.name] = p.convert(text) if equals else True
        return
    if not equals:
        following = next(iter(words), None)
        if following is None:
            raise UsageError(f"Option {p.label} needs a value")
        text = following
    if p.many:
        values[p.name] = (*values.get(p.name, ()), p.convert(text))
    elif p.name in values:
        raise UsageError(f"Option {p.label} is given twice")
    else:
        values[p.name] = p.convert(text)
