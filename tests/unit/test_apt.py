# SPDX-License-Identifier: Apache-2.0
"""The build's own apt: which archives it takes from the machine."""

from tepui.iso.workshop import apt

DEB822 = """# a comment
Types: deb
# another
URIs: http://archive.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb-src
URIs: http://other.example/
Suites: bookworm
"""


def test_both_forms_of_configuration_are_read() -> None:
    entries = list(apt.deb822_entries(DEB822))
    key = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    suites = ("bookworm", "bookworm-updates")
    assert entries == [apt.Entry("http://archive.example/debian", suites, key)]
    line = "# none\ndeb [trusted=yes] http://archive.example/debian bookworm main contrib\n"
    assert list(apt.one_line_entries(line)) == [
        apt.Entry("http://archive.example/debian", ("bookworm",), "[trusted=yes]")
    ]


def test_source_entries_are_added_for_the_extra_suites() -> None:
    text = apt.sources_list([apt.Entry("http://a.example", ("bookworm",), "")])
    assert "deb-src http://a.example trixie main" in text
    assert "deb http://a.example bookworm main" in text
    assert "deb http://a.example trixie main" not in text
