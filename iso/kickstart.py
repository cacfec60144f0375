# SPDX-License-Identifier: Apache-2.0
"""Kickstart files: ESXi's commands for an installation without a person.

A file becomes a `Kickstart`, or one KickstartError with file and line. Commands stand one a line,
words quoted as the shell does; a %post section runs to %end, the next section or the file's end.
Source: "Boot Commands for Scripted Installation", ESXi installation and setup 8.0.
"""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

SIZE_MAX = 1 << 20
INCLUDES_MAX = 8
PASSWORD_MIN, PASSWORD_MAX = 7, 40


class KickstartError(Exception):
    """One message for people: FILE:LINE: what is wrong."""


class Vmfs(StrEnum):
    """What happens with a datastore that is on the disk."""

    ASK = "ask"
    OVERWRITE = "overwrite"
    PRESERVE = "preserve"
    NONE = "none"  # and none is made


class Interpreter(StrEnum):
    PYTHON = "python"
    BUSYBOX = "busybox"


@dataclass(frozen=True, slots=True)
class Where:
    """A line of a file, for messages."""

    file: str
    line: int

    def error(self, text: str) -> KickstartError:
        return KickstartError(f"{self.file}:{self.line}: {text}")


@dataclass(frozen=True, slots=True)
class Install:
    """The disk: `disk` names one; else the first that one of `first` describes, in their order
    (local, remote, usb, a driver's name, a model; () is local, remote, usb)."""

    disk: str = ""
    first: tuple[str, ...] = ()
    vmfs: Vmfs = Vmfs.ASK
    ignore_ssd: bool = False


@dataclass(frozen=True, slots=True)
class Clear:
    """Disks whose partitions go before the installation."""

    all: bool = False
    drives: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    first: tuple[str, ...] | None = None
    vmfs: bool = False


@dataclass(frozen=True, slots=True)
class Network:
    """vmk0's addresses; with dhcp the others are empty."""

    dhcp: bool = True
    device: str = ""  # vmnicN or a MAC address
    address: str = ""
    netmask: str = ""
    gateway: str = ""
    nameservers: tuple[str, ...] = ()
    hostname: str = ""
    vlan: int = 0
    vm_port_group: bool = True


@dataclass(frozen=True, slots=True)
class Script:
    interpreter: Interpreter
    text: str
    timeout: int  # seconds, 0: none
    ignore_failure: bool


@dataclass(slots=True)
class Kickstart:
    """What a file asks for, with the lines that asked for it."""

    accepted: bool = False
    password: str = ""
    encrypted: bool = False
    install: Install | None = None
    clear: Clear | None = None
    network: Network = field(default_factory=Network)
    keyboard: str = ""
    reboot: bool = False
    dry_run: bool = False
    post: list[Script] = field(default_factory=list)
    where: dict[str, Where] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Line:
    """A command: options by name ("" for a bare one), and the words that are none."""

    where: Where
    command: str
    options: Mapping[str, str]
    words: tuple[str, ...]

    def only(self, with_value: str = "", bare: str = "", either: str = "", words: int = 0) -> None:
        """Refuses options that are not named in these lists, and a wrong number of words."""
        for name, value in self.options.items():
            if name in with_value.split() and value == "":
                raise self.where.error(f"{self.command}: --{name} lacks its value")
            if name in bare.split() and value != "":
                raise self.where.error(f"{self.command}: --{name} takes no value")
            if name not in f"{with_value} {bare} {either}".split():
                raise self.where.error(f"{self.command}: unknown option --{name}")
        if len(self.words) > words:
            raise self.where.error(f"{self.command}: unexpected '{self.words[words]}'")
        if len(self.words) < words:
            raise self.where.error(f"{self.command}: a value is missing")

    def many(self, name: str) -> tuple[str, ...]:
        return tuple(v for v in self.options.get(name, "").split(",") if v)

    def one_of(self, *names: str) -> str:
        """The one option of these that is there; several are an error, none is ""."""
        there = [n for n in names if n in self.options]
        if len(there) > 1:
            raise self.where.error(
                f"{self.command}: --{there[0]} and --{there[1]} exclude each other"
            )
        return there[0] if there else ""

    def number(self, name: str, low: int, high: int, default: int) -> int:
        text = self.options.get(name, str(default))
        if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
            raise self.where.error(f"{self.command}: --{name} is a number from {low} to {high}")
        return int(text)

    def address(self, name: str) -> str:
        return _address(self, name, self.options.get(name, ""))


def _address(line: Line, name: str, text: str) -> str:
    try:
        return str(IPv4Address(text)) if text else ""
    except ValueError:
        raise line.where.error(f"{line.command}: --{name}: '{text}' is no IPv4 address") from None


def password_fault(password: str) -> str:
    """Why a password is not taken, "" if it is: 7 to 40 characters of three of the four classes
    (ESXi's default policy)."""
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        return f"a password has {PASSWORD_MIN} to {PASSWORD_MAX} characters"
    kinds = (str.islower, str.isupper, str.isdigit, lambda c: not c.isalnum())
    if sum(any(kind(c) for c in password) for kind in kinds) < 3:
        return "a password needs three of: lower case, upper case, digits, other characters"
    return ""


def _accept(ks: Kickstart, line: Line) -> None:
    line.only()
    ks.accepted = True


def _rootpw(ks: Kickstart, line: Line) -> None:
    line.only(bare="iscrypted", words=1)
    ks.password, ks.encrypted = line.words[0], "iscrypted" in line.options
    if ks.encrypted:
        fields = ks.password.split("$")
        if len(fields) < 4 or fields[0] or fields[1] not in ("5", "6"):
            raise line.where.error("rootpw: --iscrypted takes a crypt hash, $5$ or $6$")
    elif fault := password_fault(ks.password):
        raise line.where.error(f"rootpw: {fault}")


def _install(ks: Kickstart, line: Line) -> None:
    line.only(
        with_value="disk drive",
        bare="overwritevmfs preservevmfs novmfsondisk ignoressd",
        either="firstdisk",
    )
    chosen = line.one_of("disk", "drive", "firstdisk")
    if not chosen:
        raise line.where.error("install: --disk= or --firstdisk is missing")
    policy = {"overwritevmfs": Vmfs.OVERWRITE, "preservevmfs": Vmfs.PRESERVE}
    line.one_of(*policy)
    if "preservevmfs" in line.options and "novmfsondisk" in line.options:
        raise line.where.error("install: --preservevmfs and --novmfsondisk exclude each other")
    vmfs = next((v for n, v in policy.items() if n in line.options), Vmfs.ASK)
    if "novmfsondisk" in line.options:
        vmfs = Vmfs.NONE
    disk = line.options[chosen] if chosen != "firstdisk" else ""
    ks.install = Install(disk, line.many("firstdisk"), vmfs, "ignoressd" in line.options)


def _clearpart(ks: Kickstart, line: Line) -> None:
    line.only(with_value="drives ignoredrives", bare="alldrives overwritevmfs", either="firstdisk")
    if not line.one_of("alldrives", "drives", "ignoredrives", "firstdisk"):
        raise line.where.error("clearpart: it does not say which drives")
    ks.clear = Clear(
        "alldrives" in line.options,
        line.many("drives"),
        line.many("ignoredrives"),
        line.many("firstdisk") if "firstdisk" in line.options else None,
        "overwritevmfs" in line.options,
    )


def _network(ks: Kickstart, line: Line) -> None:
    line.only(
        with_value="bootproto device ip gateway nameserver netmask hostname vlanid addvmportgroup"
    )
    proto = line.options.get("bootproto", "dhcp")
    if proto not in ("dhcp", "static"):
        raise line.where.error(f"network: --bootproto is dhcp or static, not '{proto}'")
    given = {name: line.address(name) for name in ("ip", "netmask", "gateway")}
    if proto == "dhcp" and any(given.values()):
        raise line.where.error("network: addresses need --bootproto=static")
    if proto == "static":
        for name in ("ip", "netmask"):
            if not given[name]:
                raise line.where.error(f"network: --bootproto=static needs --{name}")
        try:
            IPv4Network((given["ip"], given["netmask"]), strict=False)
        except ValueError:
            raise line.where.error(f"network: {given['netmask']} is no netmask") from None
    servers = tuple(_address(line, "nameserver", s) for s in line.many("nameserver"))
    ks.network = Network(
        proto == "dhcp",
        line.options.get("device", ""),
        given["ip"],
        given["netmask"],
        given["gateway"],
        servers,
        line.options.get("hostname", ""),
        line.number("vlanid", 0, 4095, 0),
        bool(line.number("addvmportgroup", 0, 1, 1)),
    )


def _keyboard(ks: Kickstart, line: Line) -> None:
    line.only(words=1)
    if line.words[0] not in KEYBOARDS:
        raise line.where.error(f"keyboard: unknown layout '{line.words[0]}'")
    ks.keyboard = line.words[0]


def _reboot(ks: Kickstart, line: Line) -> None:
    line.only(bare="noeject")
    ks.reboot = True


def _dryrun(ks: Kickstart, line: Line) -> None:
    line.only()
    ks.dry_run = True


#: The layouts that the console knows.
KEYBOARDS = ("US Default", "us")
COMMANDS: Mapping[str, Callable[[Kickstart, Line], None]] = {
    "vmaccepteula": _accept,
    "accepteula": _accept,
    "rootpw": _rootpw,
    "install": _install,
    "clearpart": _clearpart,
    "network": _network,
    "keyboard": _keyboard,
    "reboot": _reboot,
    "dryrun": _dryrun,
}


def _line(where: Where, text: str) -> Line | None:
    """A command line taken apart; None for an empty one."""
    try:
        words = shlex.split(text, comments=True)
    except ValueError as e:
        raise where.error(str(e).lower()) from None
    if not words:
        return None
    options: dict[str, str] = {}
    for word in (w for w in words[1:] if w.startswith("--")):
        name, equals, value = word[2:].partition("=")
        if name in options:
            raise where.error(f"{words[0]}: --{name} stands twice")
        if equals and not value:
            raise where.error(f"{words[0]}: --{name} lacks its value")
        options[name] = value
    return Line(where, words[0], options, tuple(w for w in words[1:] if not w.startswith("--")))


def _load(path: Path, complain: Callable[[str], KickstartError]) -> list[str]:
    """A file's lines; refuses what is too large, no text, or not there."""
    try:
        if path.stat().st_size > SIZE_MAX:
            raise complain(f"larger than {SIZE_MAX >> 10} KiB: no kickstart file")
        data = path.read_bytes()
    except OSError as e:
        raise complain(f"cannot be read: {e.strerror}") from None
    try:
        text = data.decode()
        if "\0" not in text:
            return text.splitlines()
        at = data.index(b"\0")
    except UnicodeDecodeError as e:
        at = e.start
    raise Where(str(path), data.count(b"\n", 0, at) + 1).error("not text")


class _Parser:
    def __init__(self) -> None:
        self.ks = Kickstart()

    def file(self, path: Path, depth: int, included: Where | None) -> None:
        def complain(text: str) -> KickstartError:
            return (
                included.error(f"include {path}: {text}")
                if included
                else KickstartError(f"{path}: {text}")
            )

        lines = _load(path, complain)
        if not any(text.strip() for text in lines):
            raise complain("empty")
        at = 0
        while at < len(lines):
            where = Where(str(path), at + 1)
            line = _line(where, lines[at])
            at += 1
            if line is None or line.command == "%end":
                continue
            if line.command in ("include", "%include"):
                line.only(words=1)
                if depth == INCLUDES_MAX:
                    raise where.error("include: files include each other too deeply")
                self.file(path.parent / line.words[0], depth + 1, where)
            elif line.command == "%post":
                # A script is taken as it is, up to the next section: its lines are no commands.
                end = at
                while end < len(lines) and not lines[end].startswith("%"):
                    end += 1
                self.script(line, "\n".join(lines[at:end]) + "\n")
                at = end
            else:
                self.command(line)

    def command(self, line: Line) -> None:
        handler = COMMANDS.get(line.command)
        if handler is None:
            raise line.where.error(f"unknown command '{line.command}'")
        name = line.command.removeprefix("vm")
        if name in self.ks.where:
            first = self.ks.where[name]
            raise line.where.error(f"{line.command}: stands in {first.file}:{first.line} already")
        self.ks.where[name] = line.where
        handler(self.ks, line)

    def script(self, line: Line, text: str) -> None:
        line.only(with_value="interpreter timeout ignorefailure")
        name = line.options.get("interpreter", "python")
        if name not in list(Interpreter):
            raise line.where.error(f"%post: --interpreter is python or busybox, not '{name}'")
        ignore = line.options.get("ignorefailure", "false")
        if ignore not in ("true", "false"):
            raise line.where.error("%post: --ignorefailure is true or false")
        timeout = line.number("timeout", 0, 86400, 0)
        self.ks.post.append(Script(Interpreter(name), text, timeout, ignore == "true"))


def parse(path: Path) -> Kickstart:
    """Reads a kickstart file and what it includes. Raises KickstartError."""
    parser = _Parser()
    parser.file(path, 0, None)
    ks = parser.ks
    missing = [
        name
        for name, there in (
            ("vmaccepteula", ks.accepted),
            ("rootpw", bool(ks.password)),
            ("install", ks.install is not None),
        )
        if not there
    ]
    if missing:
        raise KickstartError(f"{path}: {missing[0]} is missing")
    return ks
