# SPDX-License-Identifier: Apache-2.0
"""The HCL checker: machines in dumps of every form, the verdict that a person would give."""

import ast
import csv
import io
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tepui.hcl import check, cli, dumps, ids, image, linux, precheck, report, usb
from tepui.hcl.model import BY_PCI_CLASS, Backend, Disk, HclList, Machine, PciFunction, Row
from tests.unit.cunit import ROOT

DUMPS = Path(__file__).with_name("dumps")
TEXTS = {p.name.removesuffix(".txt"): p.read_text() for p in sorted(DUMPS.glob("*.txt"))}
MACHINES = [name for name in TEXTS if not name.endswith(("cpuinfo", "lsusb"))]
SVM = Backend("svm", "AMD SVM with nested paging", "AuthenticAMD", "EMULATED",
              0x80000001, 2, 2, 0x8000000A, 3, 0)  # fmt: skip
VMX = Backend("vmx", "Intel VMX with EPT", "GenuineIntel", "EMULATED", 1, 2, 5, 0, 0, 0)
OPTERON, XEON, PENTIUM = "opteron-6128.cpuinfo", "xeon-gold-6130.cpuinfo", "pentium-m.cpuinfo"

#: What a person would say of each machine: verdict, and the devices that block it. One for a lack.
WARNED, NO = check.WARNINGS, check.WILL_NOT
EXPECTED: dict[str, tuple[int, dict[str, str]]] = {
    "aws-nitro-m5a.nn": (NO, {"NO_NICS": "Elastic Network Adapter"}),
    "aws-xen-t2.nn": (NO, {"NO_BOOT_DISK": "PIIX3 IDE", "NO_NICS": "network adapter"}),
    "azure-accelerated.Dnn": (NO, {"NO_BOOT_DISK": "disk controller", "NO_NICS": "ConnectX-4 Lx"}),
    "digitalocean-droplet.nnk": (WARNED, {}),
    "esxi-dell-r730.esxcli": (NO, {"NO_NICS": "BCM5720"}),
    "esxi-vm.esxcli": (NO, {"NO_BOOT_DISK": "PVSCSI", "NO_NICS": "vmxnet3"}),
    "gcp-n2d.nn": (NO, {"NO_BOOT_DISK": "Virtio SCSI"}),
    "hyperv-gen1.nn": (NO, {"NO_BOOT_DISK": "PIIX4 IDE", "NO_NICS": "network adapter"}),
    "laptop-framework-13-amd.nn": (NO, {"NO_NICS": "MT7922"}),
    "laptop-thinkpad-t480.vmmnn": (NO, {"NO_NICS": "I219-LM"}),
    "qemu-q35.nn": (WARNED, {}),
    "server-dell-r740.mmnn": (NO, {"NO_NICS": "BCM5720"}),
    "server-hpe-dl380-gen10.nnk": (NO, {"NO_NICS": "0000:02:00.0"}),
    "server-supermicro-epyc.nnv": (NO, {"NO_NICS": "I210"}),
    "server-supermicro-h8sgl.vmmnn": (WARNED, {}),
    "virtualbox.xxx": (WARNED, {}),
    "vmware-efi-nvme.nnv": (WARNED, {}),
    "vmware-workstation.nn": (WARNED, {}),
}
#: Devices that have no driver and no replacement in the machine: told, not in the way.
WARNED_OF = {
    "digitalocean-droplet.nnk": {"0000:00:01.1", "0000:00:05.0"},
    "virtualbox.xxx": {"0000:00:01.1"},
    "vmware-workstation.nn": {"0000:00:07.1", "0000:00:10.0"},
}


@cache
def hcl() -> HclList:
    """The drivers of the built image, with SVM alone."""
    return replace(image.read(ROOT / "build/vmkernel.elf", "0"), backends=[SVM])


def machine(name: str, cpu: str = OPTERON) -> Machine:
    read = dumps.esxcli if "esxcli" in name else dumps.lspci
    return Machine(name, read(TEXTS[name]), dumps.cpuinfo(TEXTS[cpu]), memory=8 << 30)


def codes(v: check.Verdict, level: str) -> set[str]:
    return {f.code for f in v.findings if f.level == level}


def lspci(form: str, functions: list[PciFunction], folder: Path) -> str:
    """What lspci itself prints of these functions in a form."""
    text = ""
    for p in functions:
        raw = bytearray(64)
        raw[0:4] = p.vendor.to_bytes(2, "little") + p.device.to_bytes(2, "little")
        raw[9:12] = p.class_code.to_bytes(3, "little")
        raw[14] = p.subclass == 0x0604
        raw[44:48] = p.subvendor.to_bytes(2, "little") + p.subdevice.to_bytes(2, "little")
        rows = (f"{i:02x}: {raw[i : i + 16].hex(' ')}\n" for i in range(0, 64, 16))
        text += f"{p.address} x\n{''.join(rows)}\n"
    path = folder / "hex"
    path.write_text(text)
    done = subprocess.run(["lspci", "-F", path, form], capture_output=True, text=True, check=True)
    return done.stdout


def test_every_machine_has_its_verdict() -> None:
    assert set(MACHINES) == set(EXPECTED) and len(EXPECTED) >= 12


@pytest.mark.parametrize("name", MACHINES)
def test_verdict_of_a_person(name: str) -> None:
    m = machine(name)
    m.memory = 0  # no dump tells it
    v = check.check(hcl(), m)
    status, blocking = EXPECTED[name]
    assert v.status == status, report.text(v)
    assert {f.code for f in v.blocking} == set(blocking)
    for f in v.blocking:
        assert blocking[f.code] in f.subject and "what would do: " in f.text
    warned = {f.subject.split()[0] for f in v.findings if f.code == "UNSUPPORTED_DEVICES"}
    if status == WARNED:
        assert warned == WARNED_OF.get(name, set())
    assert codes(v, "WARNING") <= {"MEMORY_SIZE", "UNSUPPORTED_DEVICES"}


@pytest.mark.parametrize(
    "form", ["-nn", "-nnv", "-nnvv", "-vmmnn", "-mmnn", "-nnk", "-n", "-xxx", "-nnxxx", "-Dnnk"]
)
def test_every_form_of_lspci_tells_the_same(form: str, tmp_path: Path) -> None:
    """The functions of all machines, printed by lspci itself; each machine is a domain."""
    plain = [
        PciFunction(f"{n:04x}{p.address[-8:]}", p.vendor, p.device, p.class_code)
        for n, name in enumerate(MACHINES)
        for p in machine(name).pci or []
    ]
    found = dumps.lspci(lspci(form, plain, tmp_path))
    assert len(found) == len(plain) > 100
    for p, wanted in zip(found, sorted(plain, key=lambda p: p.address), strict=True):
        assert p.exact == (form not in ("-nn", "-nnk", "-n", "-Dnnk"))
        assert (p.address, p.vendor, p.device) == (wanted.address, wanted.vendor, wanted.device)
        assert p.class_code == wanted.class_code if p.exact else p.subclass == wanted.subclass


def test_only_a_machine_without_gaps_will_install() -> None:
    m = machine("server-supermicro-h8sgl.vmmnn")
    v = check.check(hcl(), m)
    assert v.status == check.WILL_INSTALL
    m.memory = 0
    assert check.check(hcl(), m).status == check.WARNINGS
    m.memory = 256 << 20
    assert codes(check.check(hcl(), m), "ERROR") == {"MEMORY_SIZE"}


def test_emulated_evidence_holds_on_that_emulator_only() -> None:
    m = machine("qemu-q35.nn")
    elsewhere = {f.evidence for f in check.check(hcl(), m).findings if f.driver == "nvme"}
    assert elsewhere == {"SUPPORTED: tested on QEMU's model only"}
    m.emulator = "QEMU"
    here = {f.driver: f.evidence for f in check.check(hcl(), m).findings if f.driver}
    assert here["nvme"] == here["svm"] == "EMULATED"


def test_blocked_rows_do_not_count() -> None:
    bad = Row(1, "BLOCKED", 0x8086, 0x10D3, 0, 0, 0, "82574L with a broken EEPROM")
    drivers = [
        replace(d, rows=[bad, *d.rows[1:]]) if d.name == "e1000e" else d for d in hcl().drivers
    ]
    v = check.check(replace(hcl(), drivers=drivers), machine("server-supermicro-h8sgl.vmmnn"))
    assert [f.code for f in v.blocking] == ["NO_NICS"]
    assert any("known not to work: 82574L" in f.text for f in v.findings)


@pytest.mark.parametrize(
    ("cpu", "backends", "error", "text"),
    [
        (OPTERON, [SVM], "", "AMD SVM with nested paging"),
        (XEON, [SVM], "HARDWARE_VIRTUALIZATION", "no virtualization back end for GenuineIntel"),
        (XEON, [SVM, VMX], "", "Intel VMX with EPT"),
        (OPTERON, [VMX], "HARDWARE_VIRTUALIZATION", "no virtualization back end for AuthenticAMD"),
        (PENTIUM, [VMX], "64BIT_LONGMODESTATUS", "vmx is missing"),
    ],
)
def test_cpu(cpu: str, backends: list[Backend], error: str, text: str) -> None:
    """An Intel machine is refused while only SVM is built in, and taken as soon as VMX is."""
    m, list_ = machine("server-supermicro-h8sgl.vmmnn", cpu), replace(hcl(), backends=backends)
    v = check.check(list_, m)
    assert error in codes(v, "ERROR") | {""} and v.status == (NO if error else check.WILL_INSTALL)
    assert any(text in f.text for f in v.findings)
    allowed = check.check(list_, m, legacy_cpu_ok=True)
    assert allowed.status == (check.WARNINGS if error else check.WILL_INSTALL)


def test_one_cpu_and_a_silent_dump_are_warnings() -> None:
    m = machine("server-supermicro-h8sgl.vmmnn")
    assert m.cpu
    m.cpu = replace(m.cpu, threads=1)
    assert codes(check.check(hcl(), m), "WARNING") == {"CPU_CORES"}
    m.cpu, m.memory = None, 0
    silent = check.check(hcl(), m)
    assert codes(silent, "WARNING") == {"HARDWARE_VIRTUALIZATION", "MEMORY_SIZE"}
    assert silent.status == check.WARNINGS


def test_a_dump_without_interface_says_probably() -> None:
    v = check.check(hcl(), machine("laptop-framework-13-amd.nn"))
    assert next(f for f in v.findings if f.driver == "nvme").text.startswith("probably")
    v = check.check(hcl(), machine("vmware-efi-nvme.nnv"))
    assert not next(f for f in v.findings if f.driver == "nvme").text.startswith("probably")


@pytest.mark.parametrize(("size", "where", "code"), [
    (100 << 30, "0000:00:11.0", ""),
    (2 << 30, "0000:00:11.0", "BOOT_DISK_SIZE"),
    (100 << 30, "0000:05:00.0", "NO_BOOT_DISK"),
])  # fmt: skip
def test_disks_behind_their_controllers(size: int, where: str, code: str) -> None:
    m = machine("server-supermicro-h8sgl.vmmnn")
    m.disks = [Disk("sda", size, where)]
    v = check.check(hcl(), m)
    assert {f.code for f in v.findings if f.level in ("ERROR", "WARNING")} == ({code} - {""})


@pytest.mark.parametrize("ps2", [None, False, True])
def test_a_usb_keyboard_is_a_warning(ps2: bool | None) -> None:
    for name in ("server.lsusb", "desktop-v.lsusb"):
        m = machine("server-supermicro-h8sgl.vmmnn")
        m.usb, m.ps2_keyboard = usb.lsusb(TEXTS[name]), ps2
        v = check.check(hcl(), m)
        assert codes(v, "WARNING") == (set() if ps2 else {"USB_KEYBOARD"})
        assert v.status == (check.WILL_INSTALL if ps2 else check.WARNINGS)
    plain = usb.lsusb(TEXTS["server.lsusb"])
    assert [(u.vendor, u.product) for u in plain if u.keyboard] == [(0x046D, 0xC31C)]
    assert len(plain) == 5


WHOLE = TEXTS["qemu-q35.nn"]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "empty"),
        (b" \n\n", "empty"),
        (b"\0\1\2\0", "binary"),
        (b"x" * dumps.SIZE_MAX + b"y", "too long"),
        (b"hello world\n", "no output of lspci"),
        (b"00:00.0 Host bridge: Intel Corporation\n", "without numbers"),
        (WHOLE.encode("utf-16"), "not UTF-8"),
        (WHOLE.encode("utf-16-le"), "binary"),
        (WHOLE.encode("cp037"), "not UTF-8|no output"),
        (WHOLE.replace("Red Hat", "R\xe9d Hat").encode("latin-1"), "not UTF-8"),
        (WHOLE[:400].encode(), "cut off"),
        (TEXTS["virtualbox.xxx"][:-80].encode(), "cut off"),
        (TEXTS["server-supermicro-h8sgl.vmmnn"][:300].encode(), "cut off"),
        (TEXTS["server-dell-r740.mmnn"][:-100].encode(), "cut off"),
    ],
    ids=range(14),
)
def test_no_dump_is_one_clear_error(
    raw: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "dump"
    path.write_bytes(raw)
    listed = ["--list", str(ROOT / "build/vmkernel.elf")]
    assert cli.main(["check", *listed, "--lspci", str(path)]) == check.CANNOT_TELL
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1
    with pytest.raises(dumps.DumpError, match=message):
        dumps.lspci(dumps.decode(raw[: dumps.SIZE_MAX + 1], "x"))


def test_a_hundred_megabytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "dump"
    with path.open("wb") as out:
        out.truncate(100 << 20)
    assert cli.main(["check", "--lspci", str(path)]) == check.CANNOT_TELL
    assert "too long for a dump of one machine" in capsys.readouterr().err


def test_other_dumps_and_lists_that_are_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = tmp_path / "half"
    half.write_text(TEXTS["esxi-dell-r730.esxcli"][:1500])
    whole = ["--lspci", str(DUMPS / "qemu-q35.nn.txt")]
    listed = ["--list", str(ROOT / "build/vmkernel.elf")]
    for arguments in (
        [*listed, "--esxcli", str(half)],
        [*listed, *whole, "--cpuinfo", str(half)],
        [*listed, *whole, "--lsusb", str(half)],
        [*listed, "--lspci", str(tmp_path)],
        [*listed, "--lspci", str(tmp_path / "none")],
        [*whole, "--list", str(half)],
        [*whole, "--list", str(tmp_path / "none.json")],
    ):
        assert cli.main(["check", *arguments]) == check.CANNOT_TELL, arguments
        out, err = capsys.readouterr()
        assert not out and err.startswith("Error: ") and err.count("\n") == 1
    with pytest.raises(SystemExit) as usage:
        cli.main(["check", "--format", "pdf"])
    assert usage.value.code == 2


def test_a_byte_order_mark_and_foreign_line_ends() -> None:
    raw = b"\xef\xbb\xbf" + WHOLE.replace("\n", "\r\n").encode()
    assert dumps.lspci(dumps.decode(raw, "x")) == dumps.lspci(WHOLE)


@pytest.mark.slow
@settings(max_examples=10_000)
@given(st.sampled_from(sorted(TEXTS)), st.integers(0, 2**64))
def test_mutated_dumps_never_crash(name: str, seed: int) -> None:
    """Bytes changed, put in, taken out, pieces repeated: a verdict or one error, never a crash."""
    rng, raw = random.Random(seed), bytearray(TEXTS[name].encode())
    for _ in range(rng.randint(1, 8)):
        at, size = rng.randrange(len(raw) + 1), rng.randrange(60)
        match rng.randrange(4):
            case 0:
                raw[at : at + size] = rng.randbytes(rng.randrange(8))
            case 1:
                raw[at:at] = rng.choice(
                    (b"\n", b"\n\n", b" ", b"[", b"]", b'"', b":", b"0x", b"ffff")
                )
            case 2:
                raw[at:at] = raw[at : at + size]
            case _:
                del raw[at : at + size]
    kind = name.rpartition(".")[2]
    try:
        text = dumps.decode(bytes(raw), name)
        m = Machine(name, dumps.lspci(WHOLE))
        if kind == "cpuinfo":
            m.cpu = dumps.cpuinfo(text)
        elif kind == "lsusb":
            m.usb = usb.lsusb(text)
        else:
            m.pci = dumps.esxcli(text) if kind == "esxcli" else dumps.lspci(text)
    except dumps.DumpError as e:
        assert "\n" not in str(e)
        return
    v = check.check(hcl(), m)
    for show in report.FORMATS.values():
        show(v).encode()


class Cells(HTMLParser):
    """The cells of a table, and the tags that were opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data


def test_every_report_tells_everything() -> None:
    m = machine("server-dell-r740.mmnn")
    assert m.pci
    m.pci[0] = replace(m.pci[0], name='<script>alert("x")</script>, "quoted"')
    v = check.check(hcl(), m)
    plain = json.loads(report.as_json(v))
    assert plain["verdict"] == "WILL NOT INSTALL" and plain["status"] == 1
    assert [f["subject"] for f in plain["findings"]] == [f.subject for f in v.findings]
    rows = list(csv.DictReader(io.StringIO(report.as_csv(v))))
    assert [r["subject"] for r in rows] == [f.subject for f in v.findings]
    page = Cells(report.as_html(v))
    assert "script" not in page.tags
    assert page.cells[1::6] == [f.subject for f in v.findings]
    text = report.text(v).splitlines()
    assert text[0] == "WILL NOT INSTALL" and len(text) == 2 + len(v.findings)


def test_list_round_trip() -> None:
    assert HclList.from_plain(json.loads(json.dumps(hcl().to_plain()))) == hcl()
    assert any(r.kind == BY_PCI_CLASS for d in hcl().drivers for r in d.rows)


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    """A live machine's sysfs and procfs: an NVMe disk, an 82574L, a PS/2 keyboard."""
    devices = {
        "0000:01:00.0": (0x144D, 0xA808, 0x010802),
        "0000:02:00.0": (0x8086, 0x10D3, 0x020000),
    }
    for address, values in devices.items():
        folder = tmp_path / "sys/bus/pci/devices" / address
        folder.mkdir(parents=True)
        for name, value in zip(("vendor", "device", "class"), values, strict=True):
            (folder / name).write_text(f"{value:#x}\n")
    disk = tmp_path / "sys/devices/pci0000:00/0000:01:00.0/nvme/nvme0"
    disk.mkdir(parents=True)
    for name, sectors in (("nvme0n1", 1 << 28), ("loop0", 8), ("sr0", 1 << 20)):
        (tmp_path / "sys/block" / name).mkdir(parents=True)
        (tmp_path / "sys/block" / name / "size").write_text(f"{sectors}\n")
    (tmp_path / "sys/block/nvme0n1/device").symlink_to(disk)
    (tmp_path / "proc/bus/input").mkdir(parents=True)
    (tmp_path / "proc/bus/input/devices").write_text("P: Phys=isa0060/serio0/input0\n")
    (tmp_path / "proc/cpuinfo").write_text(TEXTS[OPTERON])
    (tmp_path / "proc/meminfo").write_text("MemTotal:       16384000 kB\n")
    (tmp_path / "sys/firmware/efi").mkdir(parents=True)
    yield tmp_path


def test_live_machine(tree: Path) -> None:
    m = linux.collect(tree, with_usb=False)
    assert m.disks == [Disk("nvme0n1", 1 << 37, "0000:01:00.0")]
    assert (m.firmware, m.emulator, m.ps2_keyboard, m.memory) == ("UEFI", "", True, 16384000 << 10)
    assert check.check(hcl(), m).status == check.WILL_INSTALL
    (tree / "proc/cpuinfo").unlink()
    assert check.check(hcl(), linux.collect(tree, with_usb=False)).status == check.WARNINGS
    assert linux.emulator(tree, "QEMU Virtual CPU version 2.5+") == "QEMU"
    nothing = linux.collect(tree / "nowhere", with_usb=False)
    assert check.check(hcl(), nothing).status == check.CANNOT_TELL


def test_usb_that_cannot_be_read_is_told(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import usb.core

    monkeypatch.setattr(
        usb.core,
        "find",
        lambda **_: (_ for _ in ()).throw(usb.core.NoBackendError("No backend available")),
    )
    m = linux.collect(tree)
    assert m.usb == [] and m.usb_note.endswith("No backend available")
    assert check.check(hcl(), m).status == check.WILL_INSTALL


def test_precheck_of_the_packaged_list(tree: Path) -> None:
    assert precheck.precheck(tree).status in (check.WILL_INSTALL, check.WARNINGS)


def test_names() -> None:
    lines = [
        "# x",
        "8086  Intel",
        "\t100e  82540EM",
        "\t\t8086 1  x",
        "C 01  Storage",
        "\t06  SATA",
    ]
    names = ids.parse([*lines, "AT 0100  Terminal", "\t01  x"])
    assert names.both(0x8086, 0x100E) == "Intel 82540EM" and names.both(1, 2) == ""
    assert names.class_name(0x010601) == "SATA" and names.class_name(0x020000) == "Class 0200"


CHECKER = [p for p in (ROOT / "hcl").glob("*.py") if p.name != "image.py"]


def test_checker_is_python_3_8_and_the_standard_library() -> None:
    for path in CHECKER:
        tree = ast.parse(path.read_text(), feature_version=(3, 8))
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                top = name.partition(".")[0]
                lazy = path.name == "usb.py" and top == "usb"
                assert top in sys.stdlib_module_names or name.startswith("tepui.hcl") or lazy, name
                assert top not in ("socket", "urllib", "http", "ssl"), "no network"


@pytest.mark.slow
def test_stand_alone_checker(tmp_path: Path) -> None:
    """The one file: no package but the standard library's, no environment."""
    quiet = {"PATH": os.environ["PATH"]}
    subprocess.run(["make", "-s", "checker"], cwd=ROOT, check=True, env=quiet)
    checker = str(ROOT / "build/tepui-hcl-check.pyz")

    def run(*arguments: str) -> tuple[int, str, str]:
        command = ["/usr/bin/python3", "-I", "-S", checker, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=quiet)
        return done.returncode, done.stdout, done.stderr

    status, out, _ = run("--lspci", str(DUMPS / "server-dell-r740.mmnn.txt"))
    assert status == check.WILL_NOT and out.startswith("WILL NOT INSTALL")
    status, out, err = run("--lspci", str(tmp_path / "none"))
    assert status == check.CANNOT_TELL and not out and err.count("\n") == 1
    status, out, err = run("--format", "json")
    assert json.loads(out)["status"] == status and not err
    assert any("pyusb is not installed" in f["text"] for f in json.loads(out)["findings"])
