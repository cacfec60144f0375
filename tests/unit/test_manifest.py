# SPDX-License-Identifier: Apache-2.0
"""The licences that the manifest takes from Debian's copyright files."""

import pytest

from tepui.iso import manifest

FORMAT = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
ALL = "\nFiles: *\nCopyright: 2026 A\nLicense: "


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (f"{FORMAT}{ALL}Expat\n The text.\n .\n More of it.\n", "MIT"),
        (f"{FORMAT}{ALL}GPL-2+ or BSD-3-clause\n", "GPL-2.0-or-later OR BSD-3-Clause"),
        (f"{FORMAT}{ALL}LGPL-2.1+\n\nFiles: debian/*\nLicense: GPL-3\n", "LGPL-2.1-or-later"),
        (
            f"{FORMAT}{ALL}zlib\n \nFiles: a b\nLicense: Expat or GPL-2\n\nLicense: GPL-2\n",
            "(MIT OR GPL-2.0-only) AND Zlib",
        ),
        (f"{FORMAT}{ALL}Expat\n\nFiles: a\nLicense: public-domain\n", "NOASSERTION"),
        (f"{FORMAT}{ALL}GPL-2 with Linux-syscall-note exception\n", "NOASSERTION"),
        (f"{FORMAT}\nLicense: Expat\n", "NOASSERTION"),
        (f"{ALL}Expat\n", "NOASSERTION"),
        ("", "NOASSERTION"),
    ],
)
def test_declared(text: str, wanted: str) -> None:
    assert manifest.declared(text) == wanted
