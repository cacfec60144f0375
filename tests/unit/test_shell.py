# SPDX-License-Identifier: Apache-2.0
"""The command tree: parsing, help, completion, the shapes of output; and the link's frames."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tepui.shell import abi, tree
from tepui.shell.command import Flag, Opt, Param, Pos, UsageError, command, describe, parse
from tepui.shell.link import Event, Link, LinkError, RefusedError
from tepui.shell.main import candidates, completion
from tepui.shell.output import Formatter, Output, Style, named, render
from tepui.shell.run import OK, USAGE, Context, execute, local_runner


class Color(StrEnum):
    RED = "red"
    BLUE = "blue"


@command("test paint set", "Paint.")
def paint(
    ctx: Context,
    thing: Annotated[str, Pos("what")],
    color: Annotated[Color, Opt("-c", "which")],
    coats: Annotated[int, Opt("-n", "how often")] = 1,
    dry: Annotated[bool, Flag("", "wait")] = False,
    tag: Annotated[tuple[str, ...], Opt("-t", "tags")] = (),
) -> str:
    return f"{thing} {color} {coats} {dry} {tag}"


PAINT = describe(paint)


def test_parse_all_forms() -> None:
    want = {"thing": "wall", "color": Color.RED, "coats": 2, "dry": True, "tag": ("a", "b")}
    line = ["-c", "red", "wall", "--coats=0x2", "--dry", "-t", "a", "--tag=b"]
    assert parse(PAINT, line) == want


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["wall"], "Missing required parameter -c|--color"),
        (["-c", "red"], "Missing required parameter <thing>"),
        (["wall", "-c"], "needs a value"),
        (["wall", "-c", "green"], "red, blue"),
        (["wall", "-c", "red", "-n", "x"], "a number"),
        (["wall", "-c", "red", "-c", "red"], "given twice"),
        (["wall", "floor", "-c", "red"], "Unexpected argument 'floor'"),
        (["wall", "--what"], "Invalid option --what"),
    ],
)
def test_parse_refuses(line: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("|", r"\|")):
        parse(PAINT, line)


@given(st.lists(st.text(max_size=8), max_size=8))
def test_parse_any_words(words: list[str]) -> None:
    try:
        values = parse(PAINT, words)
    except UsageError:
        return
    assert set(values) == {"thing", "color", "coats", "dry", "tag"}


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    link_up: bool
    mtu: int = named("MTU")


ROWS = Output(Style.TABLE, ("Name", "Link Up", "MTU"), (("vmnic0", True, 1500), ("b", False, 9)))


def test_table() -> None:
    assert render(ROWS).splitlines() == [
        "Name    Link Up   MTU",
        "------  -------  ----",
        "vmnic0     true  1500",
        "b         false     9",
    ]


def test_formatters() -> None:
    assert json.loads(render(ROWS, Formatter.JSON))[0] == {
        "Name": "vmnic0",
        "LinkUp": True,
        "MTU": 1500,
    }
    assert render(ROWS, Formatter.CSV).splitlines() == [
        "Name,LinkUp,MTU",
        "vmnic0,true,1500",
        "b,false,9",
    ]
    assert "[1].MTU=9" in render(ROWS, Formatter.KEYVALUE)
    assert "<string>vmnic0</string>" in render(ROWS, Formatter.XML)


def test_blocks_with_header() -> None:
    o = Output(Style.BLOCKS, ("Id", "Names"), ((0, ["a", "b"]),), "CPU:{Id}")
    assert render(o) == "CPU:0\n   Id: 0\n   Names: a, b"


@given(st.lists(st.tuples(st.text(), st.booleans(), st.integers())))
def test_plain_round_trip(rows: list[tuple[str, bool, int]]) -> None:
    o = Output(Style.TABLE, ("a", "b", "c"), tuple(rows), "h")
    assert Output.from_plain(json.loads(json.dumps(o.to_plain()))) == o
    for formatter in (None, *Formatter):
        render(o, formatter)


def test_every_command_describes_itself() -> None:
    commands = tree.every()
    assert len(commands) > 10
    for c in commands:
        assert c.help.endswith(".")
        assert tree.command_help(c, "esxcli").startswith(f"Usage: esxcli {c.name}")
        assert tree.find(c.path).command == c


def test_complete() -> None:
    assert tree.complete(["hardw"]) == ["hardware"]
    assert tree.complete(["hardware", "c"]) == ["clock", "cpu"]
    assert tree.complete(["system", "syslog", "mark", "--m"]) == ["--message"]
    assert tree.complete(["nothing", "x"]) == []


def test_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    runner = local_runner(Context())
    assert execute(["hardware", "nothing"], runner) == USAGE
    assert "Available Namespaces" in capsys.readouterr().err
    assert execute(["--formatter=what", "system"], runner) == USAGE
    assert execute(["system", "syslog", "mark", "--help"], runner) == OK
    assert "-s|--message=<str>" in capsys.readouterr().out


Answer = Callable[[int, int, bytes], bytes]


def frame(operation: int, sequence: int, status: int, body: bytes) -> bytes:
    head = abi.pack(
        "ctl_header", length=len(body), operation=operation, sequence=sequence, status=status
    )
    return head + body


def serve(ours: socket.socket, answers: list[Answer]) -> threading.Thread:
    """A peer that answers one request after the other, then closes."""

    def run() -> None:
        with ours, ours.makefile("rb") as stream:
            for answer in answers:
                head = abi.cast("ctl_header", stream.read(16))
                body = stream.read(head.length)
                ours.sendall(answer(head.operation, head.sequence, body))

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_link_reply_event_and_refusal() -> None:
    ours, theirs = socket.socketpair()
    thread = serve(
        ours,
        [
            lambda op, seq, body: frame(7, 0, 0, b"event") + frame(op, seq, 0, body[::-1]),
            lambda op, seq, body: frame(op, seq, -22, b"no such thing\0\0"),
            lambda op, seq, body: frame(op, seq, 0, b""),
        ],
    )
    with Link(theirs) as link:
        assert link.request(5, b"abc").payload == b"cba"
        with pytest.raises(RefusedError, match="no such thing") as refused:
            link.request(6)
        assert refused.value.code == 22
        assert next(link.subscribe()) == Event(7, b"event")
        with pytest.raises(LinkError):
            link.request(8)
    thread.join()


@given(st.binary(max_size=200))
def test_link_survives_any_bytes(data: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, Link(theirs) as link:
        ours.sendall(data)
        ours.shutdown(socket.SHUT_WR)
        with contextlib.suppress(LinkError, RefusedError):
            link.request(1)


def test_no_word_stands_in_two_modules() -> None:
    """`tree.find` imports only the module that knows a line's second word."""
    for name, (modules, _) in tree.TOP.items():
        words: list[str] = []
        for module in modules.split():
            part = tree._subtree(name, (module,))
            words += [*part.children, *part.commands]
        assert len(words) == len(set(words)), name


def test_a_secret_is_asked_for_or_read(monkeypatch: pytest.MonkeyPatch) -> None:
    add = tree.find(["system", "account", "set"]).command
    assert add
    asked: list[bool] = []

    def ask(p: Param, from_input: bool) -> str:
        asked.append(from_input)
        return "secret"

    assert parse(add, ["-i", "root"], ask)["password"] == "secret"
    assert parse(add, ["-i", "root", "--password-stdin"], ask)["password"] == "secret"
    assert parse(add, ["-i", "root", "-p", "shown"], ask)["password"] == "shown"
    assert asked == [False, True]
    with pytest.raises(UsageError, match="-p"):
        parse(add, ["-i", "root"])


def test_completion_of_the_workstations_command() -> None:
    assert candidates(["--host", "h", "network", "ip", "d"]) == ["dns"]
    assert candidates(["--host=h", "sys"]) == ["system"]
    assert "shell" in candidates(["s"]) and candidates([]) == []
    for shell in ("bash", "zsh"):
        assert completion([shell]) == 0
    assert completion(["fish"]) == 2
