# SPDX-License-Identifier: Apache-2.0
"""The ledger of lines, for `make lint`: the tree's own files by the kernel's layers, by language.

The layers are those that tests/unit/test_structure.py holds the tree to. What stands beside the
hypervisor proper is the Linux surface, which grows only for a named need.
"""

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]
ORDER = ROOT / "tests/unit/test_structure.py"
C = (".c", ".h", ".S", ".ld")
#: language -> (suffixes, most lines that the first release may have)
LIMITS = {"C and assembly": (C, 30_000), "Python": ((".py",), 20_000)}
SURFACES = {
    "Linux surface": ("proc", "fs", "linux"),
    "hypervisor proper": ("vmm", "vdev"),
}

Layers = Sequence[Sequence[str]]


def layers(source: str) -> Layers:
    """The constant LAYERS of a Python source, folders from below; the source is not run, as it
    imports what Debian's own interpreter may lack. ValueError: it has none."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LAYERS":
            found: Layers = ast.literal_eval(node.value)
            return found
    raise ValueError("no LAYERS there")


def lines() -> dict[str, int]:
    """Of each file that the tree owns, by its path."""
    names = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    suffixes = tuple(suffix for some, _ in LIMITS.values() for suffix in some)
    paths = (ROOT / name for name in names.splitlines() if name.endswith(suffixes))
    return {
        str(path.relative_to(ROOT)): len(path.read_bytes().splitlines())
        for path in paths
        if path.exists()
    }


def folders(files: Mapping[str, int]) -> Counter[str]:
    """The kernel's lines by layer's folder: below vmkernel/, or drivers."""
    out: Counter[str] = Counter()
    for name, count in files.items():
        parts = PurePosixPath(name).parts
        if name.endswith(C) and parts[0] in ("vmkernel", "drivers"):
            out[parts[1] if parts[0] == "vmkernel" and len(parts) > 2 else parts[0]] += count
    return out


def ledger(order: Layers, counted: Mapping[str, int]) -> list[str]:
    """A line a layer, the highest first as in a picture; what is in none; the surfaces."""
    rows = [(" ".join(layer), tuple(layer)) for layer in reversed(order)]
    named = {folder for layer in order for folder in layer}
    rest = tuple(sorted(counted.keys() - named))
    rows += [(f"in no layer: {' '.join(rest)}", rest)] if rest else []
    rows += [(f"{title}: {' '.join(some)}", some) for title, some in SURFACES.items()]
    totals = [(title, [counted.get(folder, 0) for folder in some]) for title, some in rows]
    return [
        f"{title:<40}{sum(each):>8,}" + (f"  {' + '.join(map(str, each))}" if each[1:] else "")
        for title, each in totals
    ]


def main() -> int:
    files = lines()
    print(*ledger(layers(ORDER.read_text()), folders(files)), sep="\n")
    for language, (suffixes, limit) in LIMITS.items():
        total = sum(count for name, count in files.items() if name.endswith(suffixes))
        over = f": {total - limit:,} too many for the first release" if total > limit else ""
        print(f"lines of {language}: {total:,} of {limit:,}{over}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
