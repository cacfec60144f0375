# SPDX-License-Identifier: Apache-2.0
"""The audit log: bounded, in generations, and nothing is done that it cannot hold."""

import errno
import os
import re
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tepui.shell import audit, run, tree
from tepui.shell.audit import Audit, AuditError, without_secrets
from tepui.shell.command import FailedError
from tepui.shell.run import CONSOLE, Context

FULL = Path("/dev/full")


@pytest.fixture
def log(tmp_path: Path) -> Audit:
    return Audit(tmp_path / "audit.log")


def test_a_long_name_takes_one_short_line(log: Audit) -> None:
    """Names of 170,000 letters pushed the history out of the log."""
    for _ in range(20):
        log.record("login", "refused", user="x" * 170_000, source="10.0.0.9", reason="\u20ac" * 999)
    lines = log.path.read_text().splitlines()
    assert len(lines) == 20 and max(map(len, lines)) < 8 * audit.VALUE_MAX
    assert "(170000 characters)" in lines[0]


def test_refusals_of_strangers_are_counted(tmp_path: Path) -> None:
    now = 0.0
    log = Audit(tmp_path / "audit.log", lambda: now)
    for n in range(1000):
        log.record("login", "refused", user=f"u{n}", source="10.0.0.9")
    log.record("login", "refused", user="eve", source="10.0.0.10")
    for n in range(1000):
        log.record("login", "refused", user=f"u{n}", source=f"10.1.{n >> 8}.{n & 255}")
    log.record("login", "done", user="root", source="10.0.0.1")
    lines = log.path.read_text().splitlines()
    assert len(lines) == audit.RATE + 1 and 'user="eve"' in "".join(lines)
    assert 'user="root"' in lines[-1]
    left = sum(int(n) for n in re.findall(r'left_out="(\d+)"', log.path.read_text()))
    assert left == 2001 - audit.RATE
    now = audit.MINUTE
    log.record("login", "refused", user="again", source="10.0.0.9")
    assert 'user="again"' in log.path.read_text()


def test_generations(log: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "SIZE_MAX", 100)
    for n in range(40):
        log.record("command", "done", user="root", line=f"number {n:04} of a few")
    names = sorted(p.name for p in log.path.parent.iterdir())
    assert names == ["audit.log", *(f"audit.log.{n}" for n in range(1, audit.GENERATIONS + 1))]
    older = [log.path.with_name(f"audit.log.{n}") for n in range(audit.GENERATIONS, 0, -1)]
    kept = "".join(p.read_text() for p in (*older, log.path))
    numbers = [int(n) for n in re.findall(r"number (\d+)", kept)]
    assert numbers == list(range(40 - len(numbers), 40)) and len(numbers) > audit.GENERATIONS


def _writer(path: Path, who: int) -> None:
    audit.SIZE_MAX = 4000
    for n in range(60):
        Audit(path).record("command", "done", user=str(who), line=str(n))


def test_several_processes_lose_nothing(tmp_path: Path) -> None:
    """Also while one of them begins a new file: 4 wrote 240 lines and 102 were kept."""
    path = tmp_path / "audit.log"
    context = get_context("spawn")
    workers = [context.Process(target=_writer, args=(path, n)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    text = "".join(p.read_text() for p in tmp_path.iterdir())
    found = set(re.findall(r'user="(\d)" line="(\d+)"', text))
    assert len(found) == 240 and text.count("\n") == 240


def test_a_full_disk_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    log = Audit(FULL)
    log.record("login", "done", user="root")
    assert "No space left" in capsys.readouterr().err
    with pytest.raises(AuditError, match="No space left"):
        log.attempt("command", line="x")


def test_half_a_line_is_taken_back(log: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    log.record("login", "done", user="root")
    before, write = log.path.read_text(), os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:7]))
    with pytest.raises(AuditError):
        log.attempt("command", line="x")
    monkeypatch.undo()
    assert log.path.read_text() == before and errno.ENOSPC


def test_nothing_is_done_unrecorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TEPUI_STATE", str(tmp_path))
    command = tree.find(["system", "account", "add"]).command
    assert command
    arguments: dict[str, Any] = {"name": "eve", "role": "operator", "password": "Abcdef-1"}
    remote = Context(None, "root", "10.0.0.1", Audit(FULL))
    with pytest.raises(FailedError, match="nothing was done"):
        run.invoke(command, remote, arguments | {"description": ""})
    assert not (tmp_path / "accounts.json").exists()
    here = Context(None, "root", CONSOLE, Audit(FULL))
    run.invoke(command, here, arguments | {"description": ""})
    assert "eve" in (tmp_path / "accounts.json").read_text()
    assert "Warning: the audit log" in capsys.readouterr().err


def test_an_attempt_is_recorded_first(log: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tree.find(["system", "account", "remove"]).command
    assert command
    monkeypatch.setenv("TEPUI_STATE", str(log.path.parent))
    with pytest.raises(FailedError):
        run.invoke(command, Context(None, "ada", "10.0.0.1", log), {"name": "x" * 5000})
    first, second = log.path.read_text().splitlines()
    assert " command attempt user=" in first and " command failed user=" in second
    assert len(first) < 400 and "(5000 characters)" in first


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("ls -l /var", "ls -l /var"),
        ("esxcli system account set -i eve -p hunter2", "esxcli ***"),
        ("esxcli system  account add -i eve --password=hunter2", "esxcli ***"),
        ("echo hunter2 | esxcli system account set -i eve --password-stdin", "echo ***"),
        ("TEPUI_PASSWORD=hunter2 tepui --host x vm list", "***"),
        ("passwd<<<hunter2", "***"),
        ("curl -H 'X-Token: hunter2' x", "curl ***"),
    ],
)
def test_secrets_of_shell_lines(line: str, shown: str) -> None:
    assert without_secrets(line) == shown


@given(st.text())
def test_any_line_is_shown(line: str) -> None:
    shown = without_secrets(line)
    assert shown == line or shown.endswith("***")
