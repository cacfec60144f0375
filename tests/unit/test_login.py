# SPDX-License-Identifier: Apache-2.0
"""Who gets a shell at a local terminal."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tepui.shell import login
from tepui.shell.audit import Audit
from tepui.shell.command import Role
from tepui.shell.hostd.accounts import Accounts

SHELL = ["login", "-f", "root"]


class Started(BaseException):
    """In place of execv, which does not come back."""


@pytest.mark.parametrize(
    ("password", "typed", "words", "wanted"),
    [
        ("", [], ["--", "root"], SHELL),
        ("correct-horse", ["correct-horse"], ["root"], SHELL),
        ("correct-horse", ["wrong", "correct-horse"], ["root"], SHELL),
        ("correct-horse", ["", "wrong", "wrong"], ["root"], None),
        ("correct-horse", ["ada-s-own", "x", "x"], ["ada"], None),  # an account without a shell
        ("correct-horse", ["x", "x", "x"], ["nobody"], None),
        ("correct-horse", [], ["root"], None),  # the line is gone
    ],
)
def test_login(
    password: str, typed: list[str], words: list[str], wanted: list[str] | None,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    accounts = Accounts(tmp_path / "accounts")
    accounts.add("ada", Role.ADMINISTRATOR, "ada-s-own")
    if password:
        accounts.set_password("root", password)
    answers = iter(typed)

    def getpass(prompt: str) -> str:
        try:
            return next(answers)
        except StopIteration:
            raise EOFError from None

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
