# SPDX-License-Identifier: Apache-2.0
"""Imports CPython's whole standard library, each module in its turn, as Debian packs it."""

import importlib
import pkgutil
import sys

#: Needs a display, or prints or opens a browser when it is imported; _dbm and nis need libraries
#: (libdb, libnsl) that are not in the image.
LEFT_OUT = {"antigravity", "this", "idlelib", "tkinter", "turtle", "turtledemo", "_dbm", "nis"}


def main() -> int:
    failed = []
    names = sorted(n for n in sys.stdlib_module_names if n not in LEFT_OUT)
    found = {m.name for m in pkgutil.iter_modules()} | set(sys.builtin_module_names)
    for name in names:
        if name not in found:
            continue
        try:
            importlib.import_module(name)
        except ImportError as error:
            failed.append(f"{name}: {error}")
    print(f"imported {len(names) - len(failed)}", *failed, sep="\n")
    return len(failed) > 0


if __name__ == "__main__":
    sys.exit(main())
