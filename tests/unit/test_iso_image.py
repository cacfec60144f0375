# SPDX-License-Identifier: Apache-2.0
"""The ISO's boot options: changed in place, never the file's size."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tepui.iso import cli, image

PRINTABLE = st.text(st.characters(codec="ascii", exclude_characters="'", exclude_categories=["C"]))


@given(PRINTABLE.filter(lambda text: len(text) < 3900), st.sampled_from(["", "text"]))
def test_the_options_file_keeps_its_size(options: str, screen: str) -> None:
    content = image.options_file(options, screen)
    assert len(content) == image.OPTIONS_SIZE
    assert f"set options='{options}'\n".encode() in content


@pytest.mark.parametrize("options", ["it's", "two\nlines", "x" * 5000])
def test_options_that_would_break_the_menu_are_refused(options: str) -> None:
    with pytest.raises(image.IsoError):
        image.options_file(options)


@given(before=st.integers(0, 700), options=PRINTABLE.filter(lambda text: len(text) < 3900))
def test_options_are_found_wherever_the_file_lies(before: int, options: str) -> None:
    path = Path("build/gen/test.iso")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(512 * before) + image.options_file("old") + b"behind")
    image.set_options(path, options)
    assert path.read_bytes() == bytes(512 * before) + image.options_file(options) + b"behind"


def test_a_file_without_options_is_no_iso(tmp_path: Path) -> None:
    path = tmp_path / "other.iso"
    path.write_bytes(bytes(1 << 21))
    with pytest.raises(image.IsoError, match="not a Tepui ISO"):
        image.set_options(path, "x")


@pytest.mark.parametrize(
    "text", ["", "ssh-rsa AAAA x\n\n", "-----BEGIN OPENSSH PRIVATE KEY-----\n"]
)
def test_keys_that_the_host_would_not_take_are_refused(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "keys").write_text(text)
    words = ["build", "--ssh-key", str(tmp_path / "keys"), "-o", str(tmp_path / "iso")]
    assert cli.main(words) == 1 and not (tmp_path / "iso").exists()
    assert "not a public key" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("there", "missing"),
    [((), "build/vmkernel.elf"), (("build/vmkernel.elf",), "build/userworld.img")],
)
def test_outside_a_built_tree_one_sentence_says_so(
    there: tuple[str, ...],
    missing: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in there:
        Path(name).parent.mkdir()
        Path(name).touch()
    assert cli.main(["build", "-o", "iso"]) == 1 and not Path("iso").exists()
    said = capsys.readouterr().err
    assert said.startswith(f"tepui iso: there is no {missing}: run this in a tree that")
    assert said.count("\n") == 1


def test_a_missing_module_is_named_with_its_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kernel").touch()
    words = ["build", "--kernel", str(tmp_path / "kernel"), "--module", f"a={tmp_path}/none"]
    assert cli.main([*words, "-o", str(tmp_path / "iso")]) == 1
    assert f"there is no {tmp_path}/none: " in (said := capsys.readouterr().err)
    assert said.endswith("with --module a=FILE\n")
