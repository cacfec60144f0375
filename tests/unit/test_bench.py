# SPDX-License-Identifier: Apache-2.0
"""The comparison of two runs of `make bench`."""

import json
from pathlib import Path

import pytest

from tests.bench import compare


def write(path: Path, *rows: tuple[str, float, str]) -> str:
    figures = [{"name": name, "value": value, "better": better} for name, value, better in rows]
    path.write_text(json.dumps({"commit": path.stem, "date": "today", "figures": figures}))
    return str(path)


@pytest.mark.parametrize(
    ("better", "old", "new", "verdict", "status"),
    [
        ("lower", 1000, 1020, "", 0),
        ("lower", 1000, 1021, "worse", 1),
        ("lower", 1000, 979, "better", 0),
        ("higher", 1000, 979, "worse", 1),
        ("higher", 1000, 1021, "better", 0),
        ("lower", 0, 0, "", 0),
        ("lower", 0, 1, "worse", 1),
    ],
)
def test_what_differs_by_more_than_its_share_is_marked(
    better: str,
    old: float,
    new: float,
    verdict: str,
    status: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = [
        write(tmp_path / "old.json", ("a.figure", old, better), ("gone", 1, "lower")),
        write(tmp_path / "new.json", ("a.figure", new, better), ("fresh", 1, "lower")),
    ]
    assert compare.main(names) == status
    said = capsys.readouterr().out
    line = next(line for line in said.splitlines() if line.startswith("a.figure"))
    assert line.split()[1:3] == [f"{old:,}", f"{new:,}"]
    assert line.endswith(verdict or line.split()[3])
    assert "only old: gone\n" in said and "only new: fresh\n" in said
    assert "old.json: old, today" in said


def test_a_file_of_the_first_release_can_be_the_old_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "old.json"
    old.write_text(json.dumps([{"name": "a", "value": 5, "better": "lower"}]))
    assert compare.main([str(old), write(tmp_path / "new.json", ("a", 5, "lower"))]) == 0
    assert "unknown commit" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["{}", "no JSON", "3"])
def test_another_file_is_one_message(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    assert compare.main([str(path), str(path)]) == 2
    assert capsys.readouterr().err.startswith("bench-compare: ")
