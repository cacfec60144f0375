# SPDX-License-Identifier: Apache-2.0
"""The installer's pages, typed at as a person would; what they show fits the screen."""

import re
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tepui.hcl.check import WILL_INSTALL, WILL_NOT, Finding, Verdict
from tepui.iso import layout
from tepui.iso.kickstart import Network, Vmfs
from tepui.iso.plan import Plan
from tepui.iso.screens import Dialog
from tepui.iso.targets import Target
from tepui.iso.terminal import COLUMNS, ROWS, Key, Screens
from tests.unit.test_kickstart import disk

GOOD = Verdict(WILL_INSTALL, [Finding("DEVICE", "WARNING", "a device", "no driver " * 40)])
BAD = Verdict(WILL_NOT, [Finding("NO_NICS", "ERROR", "network adapter", "none was found")])
PASSWORD = "Tepui-2026"
TYPED = [*PASSWORD, Key.ENTER, *PASSWORD, Key.ENTER]
MOVES = re.compile(r"\x1b\[(\d+);(\d+)H")


class Typist:
    """A terminal whose keys are given; holds the pages as text. Keys end by EOFError."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys, self.pages = list(keys), [""]

    def write(self, text: str) -> None:
        rows = [" " * COLUMNS for _ in range(ROWS)]
        plain = re.sub(r"\x1b\[(?:[0-9;]*m|2J)", "", text).replace("\x1b[H", "\x1b[1;1H")
        _, *pieces = re.split(r"\x1b\[(\d+;\d+)H", plain)
        for place, piece in zip(pieces[::2], pieces[1::2], strict=True):
            row, column = (int(n) - 1 for n in place.split(";"))
            assert row < ROWS and column + len(piece) <= COLUMNS, piece
            rows[row] = rows[row][:column] + piece + rows[row][column + len(piece) :]
        self.pages.append("\n".join(r.rstrip() for r in rows))

    def key(self) -> str:
        if not self.keys:
            raise EOFError
        return self.keys.pop(0)


def dialog(keys: Sequence[str], verdict: Verdict = GOOD) -> tuple[Plan | None, Typist]:
    typist = Typist(keys)
    small = replace(disk(4), block=disk(4).block._replace(blocks=1000))
    there: list[Target] = [small, disk(1), disk(2, store=True)]
    return Dialog(Screens(typist, "Tepui installer"), verdict, there).run(), typist


def test_the_usual_way() -> None:
    keys = [Key.ENTER, Key.ENTER, Key.DOWN, Key.ENTER, *TYPED, Key.ENTER, "y"]
    plan, typist = dialog(keys)
    assert plan and plan.target.block.node == "vmhba1:C0:T0:L0"
    assert (plan.password, plan.network, plan.vmfs) == (PASSWORD, Network(), Vmfs.OVERWRITE)
    assert "everything on it is lost" in typist.pages[-1]
    assert not any(PASSWORD in page for page in typist.pages)


def test_datastore_kept_and_fixed_address() -> None:
    address = ["10.0.0.5", "255.255.255.0", "10.0.0.1", "", "host"]
    typed = [k for text in address for k in (*text, Key.ENTER)]
    keys = [Key.ENTER, Key.ENTER, Key.UP, Key.ENTER, Key.ENTER, *TYPED, Key.DOWN, Key.ENTER]
    plan, typist = dialog([*keys, *typed, "Y"])
    assert plan and plan.vmfs is Vmfs.PRESERVE and plan.target.datastore
    assert plan.network.address == "10.0.0.5" and plan.network.hostname == "host"
    assert "its datastore is kept" in typist.pages[-1]


def test_wrong_answers_are_asked_again() -> None:
    first = [Key.ENTER, Key.ENTER, Key.ENTER]  # a disk that is too small
    short = [*"short", Key.ENTER, *"short", Key.ENTER]
    other = [*PASSWORD, Key.ENTER, *"Tepui-2027", Key.ENTER]
    keys = [*first, Key.DOWN, Key.ENTER, *short, *other, *TYPED, Key.ENTER, "y"]
    plan, typist = dialog(keys)
    shown = "\n".join(typist.pages)
    assert plan and plan.password == PASSWORD
    assert f"cannot be used: it has 0 MiB; {layout.DISK_MIN} are needed" in shown
    assert "7 to 40 characters\n" in shown and "The two differ." in shown


def test_back_and_out() -> None:
    """Esc goes back, over the page that asks nothing, and out of the first."""
    keys = [Key.ENTER, Key.ENTER, Key.DOWN, Key.ENTER, *TYPED, *[Key.ESCAPE] * 5]
    plan, typist = dialog(keys)
    assert plan is None and not typist.keys and "Welcome" in typist.pages[-1]


def test_a_refused_machine() -> None:
    plan, typist = dialog([Key.ENTER, Key.ENTER], BAD)
    assert plan is None and "network adapter: none was found" in typist.pages[-1]


KEYS = st.sampled_from([*Key, "y", "1", ".", "ä"])


@given(st.lists(KEYS, max_size=60))
def test_any_keys(keys: list[str]) -> None:
    """No key leads astray; a plan needs the last page's Y."""
    try:
        plan, _ = dialog(keys)
    except EOFError:
        return
    assert plan is None or keys.count("y")
