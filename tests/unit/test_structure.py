# SPDX-License-Identifier: Apache-2.0
"""The tree keeps to its rules: layers point downwards, files stay small, packages are listed."""

import configparser
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 600

#: DESIGN.md, "Folders": each layer may include the private headers of its own and lower ones.
LAYERS = (
    ("lib",),
    ("log", "early"),
    ("acpi", "x86"),
    ("mm", "sched"),
    ("bus",),
    ("storage", "net"),
    ("drivers",),
    ("vmm",),
    ("vdev",),
    ("proc",),
    ("fs",),
    ("ip", "linux"),
    ("ctl",),
    ("boot", "test"),
)
LEVEL = {folder: level for level, layer in enumerate(LAYERS) for folder in layer}


def tracked(*suffixes: str) -> list[Path]:
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    paths = (ROOT / name for name in names if name.endswith(suffixes))
    return [path for path in paths if path.exists()]


def includes(path: Path) -> list[str]:
    return re.findall(r'^#\s*include\s+"([^"]+)"', path.read_text(), re.MULTILINE)


def folder_of(path: Path) -> str:
    """The layer of a C file: its folder below vmkernel/, or drivers."""
    parts = path.relative_to(ROOT).parts
    return parts[1] if parts[0] == "vmkernel" else parts[0]


def test_private_headers_are_included_from_above_only() -> None:
    wrong = []
    for path in tracked(".c", ".h"):
        if path.is_relative_to(ROOT / "tests") or folder_of(path) not in LEVEL:
            continue
        for name in includes(path):
            folder = Path(name).parts[0]
            if folder in LEVEL and LEVEL[folder] > LEVEL[folder_of(path)]:
                wrong.append(f"{path.relative_to(ROOT)} includes {name}")
    assert wrong == []


def test_headers_include_each_other_without_cycles() -> None:
    graph = {
        str(path.relative_to(ROOT / "vmkernel/include")): includes(path)
        for path in (ROOT / "vmkernel/include").rglob("*.h")
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"cycle: {' -> '.join((*trail, name))}"
        if name in graph and name not in done:
            for other in graph[name]:
                visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_files_stay_below_600_lines() -> None:
    sizes = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in tracked(".c", ".h", ".S", ".py", ".mk", "Makefile")
    }
    assert {name: size for name, size in sizes.items() if size > LIMIT} == {}


def test_every_source_file_names_its_licence() -> None:
    def named(path: Path) -> bool:
        return "SPDX-License-Identifier: Apache-2.0" in path.read_text()[:200]

    files = tracked(".c", ".h", ".S", ".py", ".mk")
    assert [str(path.relative_to(ROOT)) for path in files if not named(path)] == []


@pytest.mark.parametrize("top", ["hcl", "shell", "iso"])
def test_every_package_is_installed(top: str) -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = set(config["options"]["packages"].split())
    files = [path for path in tracked(".py") if path.is_relative_to(ROOT / top)]
    there = {".".join(("tepui", *path.relative_to(ROOT).parts[:-1])) for path in files}
    assert there - listed == set()
