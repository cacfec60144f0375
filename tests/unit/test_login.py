# SPDX-License-Identifier: Apache-2.0
"""Who gets a shell at a local terminal, and how a password is changed there."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tepui.shell import login, passwd
from tepui.shell.audit import Audit
from tepui.shell.command import Role
from tepui.shell.hostd.accounts import Accounts

SHELL = ["login", "-f", "root"]


class Started(BaseException):
    """In place of execv, which does not come back."""


def typist(answers: Iterator[str]) -> Callable[[str], str]:
    """In place of getpass: the answers one by one, then the line is gone."""

    def getpass(prompt: str) -> str:
        try:
            return next(answers)
        except StopIteration:
            raise EOFError from None

    return getpass


@pytest.mark.parametrize(
    ("password", "typed", "words", "wanted"),
    [
        ("", [], ["--", "root"], SHELL),
        ("Correct-horse", ["Correct-horse"], ["root"], SHELL),
        ("Correct-horse", ["wrong", "Correct-horse"], ["root"], SHELL),
        ("Correct-horse", ["", "wrong", "wrong"], ["root"], None),
        ("Correct-horse", ["Ada-s-own", "x", "x"], ["ada"], None),  # an account without a shell
        ("Correct-horse", ["x", "x", "x"], ["nobody"], None),
        ("Correct-horse", [], ["root"], None),  # the line is gone
    ],
)
def test_login(
    password: str, typed: list[str], words: list[str], wanted: list[str] | None,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    accounts = Accounts(tmp_path / "accounts")
    accounts.add("ada", Role.ADMINISTRATOR, "Ada-s-own")
    if password:
        accounts.set_password("root", password)
    answers = iter(typed)
    getpass = typist(answers)

    def execv(path: str, argv: Sequence[str]) -> None:
        raise Started(argv)

    monkeypatch.setattr(login, "ACCOUNTS", tmp_path / "accounts")
    monkeypatch.setattr(login, "Audit", lambda: Audit(tmp_path / "audit"))
    monkeypatch.setattr(login, "getpass", getpass)
    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.setattr(sys, "argv", ["login", *words])
    monkeypatch.setattr("builtins.input", lambda prompt: words[-1])
    try:
        assert login.main() == 1
        found = None
    except Started as started:
        found = started.args[0]
    assert found == wanted and not list(answers)


@pytest.mark.parametrize(
    ("before", "words", "typed", "status", "said"),
    [
        ("", [], ["Fresh-12", "Fresh-12"], 0, "The password of root is changed."),
        ("Old-word-1", [], ["Old-word-1", "Fresh-12", "Fresh-12"], 0, "root is changed"),
        ("Old-word-1", ["root"], ["Old-word-1", "Fresh-12", "Fresh-12"], 0, "root is changed"),
        ("Old-word-1", ["ada"], ["Fresh-12", "Fresh-12"], 0, "ada is changed"),
        ("Old-word-1", [], ["A-guess-1"], 1, "wrong password"),
        ("Old-word-1", [], ["Old-word-1", "Fresh-12", "Fresh-13"], 1, "the two differ"),
        ("Old-word-1", [], ["Old-word-1", "short", "short"], 1, "7 to 40 characters"),
        ("Old-word-1", [], ["Old-word-1"], 1, "interrupted"),
        ("Old-word-1", ["eve"], [], 1, "eve: no such account"),
        ("", ["--help"], [], 0, "usage: passwd [NAME]"),
        ("", ["-d", "root"], [], 2, "usage: passwd [NAME]"),
        ("", ["root", "ada"], [], 2, "usage: passwd [NAME]"),
    ],
)
def test_passwd(
    before: str, words: list[str], typed: list[str], status: int, said: str,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """What a login checks afterwards: the new password where it says so, else the old ones; a
    hostd that runs meanwhile reads the same."""
    running = Accounts(tmp_path / "accounts")
    running.add("ada", Role.OPERATOR, "Ada-s-own-1")
    if before:
        running.set_password("root", before)
    answers = iter(typed)
    getpass = typist(answers)

    monkeypatch.setattr(passwd, "ACCOUNTS", tmp_path / "accounts")
    monkeypatch.setattr(passwd, "Audit", lambda: Audit(tmp_path / "audit"))
    monkeypatch.setattr(passwd, "getpass", getpass)
    monkeypatch.setattr(login, "getpass", getpass)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    assert passwd.main(words) == status
    printed = capsys.readouterr()
    assert said in (printed.out if status == 0 else printed.err) and not list(answers)
    changed = next((name for name in ("root", "ada") if f"{name} is changed" in said), "")
    passwords = {"root": before, "ada": "Ada-s-own-1"} | ({changed: "Fresh-12"} if changed else {})
    for name, password in passwords.items():
        assert not password or running.check(name, password), name
        assert password == "Fresh-12" or not running.check(name, "Fresh-12")
    recorded = (tmp_path / "audit").read_text() if (tmp_path / "audit").exists() else ""
    outcome = ["password", "refused" if status else "done"]
    assert recorded.split()[1:3] == ([] if said.startswith("usage") else outcome)
    assert not any(word in recorded for word in typed)


def test_passwd_asks_at_a_terminal_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(passwd, "ACCOUNTS", tmp_path / "accounts")
    monkeypatch.setattr(passwd, "Audit", lambda: Audit(tmp_path / "audit"))
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    assert passwd.main([]) == 1 and not (tmp_path / "accounts").exists()
    assert "typed at a terminal" in capsys.readouterr().err
