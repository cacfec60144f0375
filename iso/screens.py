# SPDX-License-Identifier: Apache-2.0
"""The installation with a person: welcome, check, disk, password, network, confirmation.

The pages stand in a list; Esc goes one back. Nothing is written here: the result is a Plan.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from ipaddress import IPv4Address, IPv4Network

from tepui.hcl.check import Verdict
from tepui.iso.kickstart import Network, Vmfs
from tepui.iso.plan import Plan, refused
from tepui.iso.targets import Target
from tepui.iso.terminal import Field, Key, Screens
from tepui.shell.password import password_fault

WELCOME = [
    "This installs Tepui, a type-1 hypervisor, on a disk of this machine. Everything on that disk "
    "is lost, but for a datastore that you choose to keep.",
    "",
    "Nothing is written before you confirm it on the last page.",
    "",
    "Without a person: build the ISO with a kickstart file (tepui iso build --kickstart).",
]


class Move(Enum):
    """Where a page leads."""

    NEXT = auto()
    BACK = auto()
    LEAVE = auto()


@dataclass(slots=True)
class Choices:
    """What the person has chosen so far."""

    target: int = 0
    vmfs: Vmfs = Vmfs.OVERWRITE
    password: str = ""
    network: Network = field(default_factory=Network)


class Dialog:
    """All pages of one installation."""

    def __init__(self, screens: Screens, verdict: Verdict, targets: Sequence[Target]) -> None:
        self.screens, self.verdict, self.targets = screens, verdict, targets
        self.choices = Choices()

    def run(self) -> Plan | None:
        """The plan, or None when the person leaves or the machine is refused."""
        pages: list[Callable[[], Move]] = [
            self.welcome, self.precheck, self.disk, self.datastore, self.password, self.network,
            self.confirm,
        ]  # fmt: skip
        at, step = 0, 1
        while 0 <= at < len(pages):
            move = pages[at]()
            if move is Move.LEAVE:
                return None
            # A page with nothing to ask goes on in the direction that the person took.
            step = {Move.NEXT: 1, Move.BACK: -1}[move] if not self.skipped else step
            self.skipped = False
            at += step
        if at < 0:
            return None
        c = self.choices
        return Plan(self.targets[c.target], c.vmfs, c.password, False, c.network)

    skipped = False

    def _page(
        self, head: str, text: Sequence[str], keys: str = "Enter: continue   Esc: back"
    ) -> Move:
        key = self.screens.page(head, text, keys, (Key.ENTER, Key.ESCAPE))
        return Move.NEXT if key == Key.ENTER else Move.BACK

    def welcome(self) -> Move:
        return self._page("Welcome", WELCOME, "Enter: continue   Esc: restart the machine")

    def precheck(self) -> Move:
        told = [f for f in self.verdict.findings if f.level in ("ERROR", "WARNING")]
        lines = [self.verdict.words, ""]
        lines += [f"{f.level}: {f.subject}: {f.text}" for f in told]
        if refused(self.verdict):
            self._page("Compatibility", lines, "Enter: restart the machine")
            return Move.LEAVE
        return self._page("Compatibility", lines)

    def disk(self) -> Move:
        if not self.targets:
            self._page("Disk", ["No disk was found."], "Enter: restart the machine")
            return Move.LEAVE
        rows = [
            f"{t.model[:28]:28} {t.size >> 30:6} GiB  {t.contents[:24]:24} {t.block.adapter}"
            for t in self.targets
        ]
        note = "Where should Tepui be installed?"
        while True:
            at = self.screens.choose("Disk", rows, note, self.choices.target)
            if at is None:
                return Move.BACK
            self.choices.target = at
            if not (fault := self.targets[at].fault):
                return Move.NEXT
            note = f"This disk cannot be used: {fault}."

    def datastore(self) -> Move:
        self.choices.vmfs = Vmfs.OVERWRITE
        if not self.targets[self.choices.target].datastore:
            self.skipped = True
            return Move.NEXT
        rows = ["Keep the datastore and install beside it", "Overwrite the datastore"]
        at = self.screens.choose("Datastore", rows, "The disk holds a datastore.")
        if at is None:
            return Move.BACK
        self.choices.vmfs = Vmfs.OVERWRITE if at else Vmfs.PRESERVE
        return Move.NEXT

    def password(self) -> Move:
        note = "7 to 40 characters of three kinds: lower case, upper case, digits, others."
        while True:
            fields = [Field("Root password", hidden=True), Field("Once more", hidden=True)]
            if not self.screens.form("Password of root", fields, note):
                return Move.BACK
            first, second = (f.value for f in fields)
            note = password_fault(first) or ("" if first == second else "The two differ.")
            if not note:
                self.choices.password = first
                return Move.NEXT

    def network(self) -> Move:
        rows = ["Addresses by DHCP", "Fixed addresses"]
        at = self.screens.choose("Management network", rows, "How does this host get its address?")
        if at is None:
            return Move.BACK
        self.choices.network = Network()
        return self._addresses() if at else Move.NEXT

    def _addresses(self) -> Move:
        labels = ("IPv4 address", "Netmask", "Gateway", "DNS server", "Host name")
        fields = [Field(label) for label in labels]
        note = "Gateway, DNS server and host name may stay empty."
        while True:
            if not self.screens.form("Management network", fields, note):
                return Move.BACK
            address, mask, gateway, dns, name = (f.value for f in fields)
            try:
                IPv4Network((str(IPv4Address(address)), mask), strict=False)
                for other in (gateway, dns):
                    IPv4Address(other or "0.0.0.0")
            except ValueError as e:
                note = f"{e}"
                continue
            servers = (dns,) if dns else ()
            self.choices.network = Network(False, "", address, mask, gateway, servers, name)
            return Move.NEXT

    def confirm(self) -> Move:
        target, n = self.targets[self.choices.target], self.choices.network
        kept = self.choices.vmfs is Vmfs.PRESERVE
        lines = [
            f"Disk       {target.model}, {target.size >> 30} GiB, {target.id}",
            f"           {'its datastore is kept' if kept else 'everything on it is lost'}",
            f"Network    {'DHCP' if n.dhcp else f'{n.address}, {n.netmask}'}",
            "",
            "Y writes to the disk.",
        ]
        key = self.screens.page("Confirm", lines, "Y: install   Esc: back", ("y", "Y", Key.ESCAPE))
        return Move.BACK if key == Key.ESCAPE else Move.NEXT
