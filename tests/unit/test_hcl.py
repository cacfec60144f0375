# SPDX-License-Identifier: Apache-2.0
"""The HCL checker: dumps in every form, the verdict that a person would give, never a crash."""

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tepui.hcl import check, dumps, report
from tepui.hcl.model import Backend, Cpu, Driver, HclList, Machine, Row

DUMPS = Path(__file__).with_name("dumps")
TEXTS = {p.name: p.read_text() for p in sorted(DUMPS.glob("*.txt"))}

NVME = Driver(
    "nvme", "NVM Express storage", "NVMe 1.4", "drivers/block/nvme.c", "block",
    [
        Row(1, "EMULATED", 0x1B36, 0x0010, 0, 0, 0, "QEMU NVMe controller"),
        Row(2, "SUPPORTED", 0, 0, 0, 0, 0x010802, "any NVMe controller"),
    ],
)  # fmt: skip
VIRTIO_NET = Driver(
    "virtio_net", "virtio network", "virtio 1.1", "drivers/net/virtio_net.c", "net",
    [Row(1, "EMULATED", 0x1AF4, 0x1000, 0, 0, 0, "virtio network device")],
)  # fmt: skip
SVM = Backend("svm", "AMD SVM with nested paging", "AuthenticAMD", "EMULATED",
              0x80000001, 2, 2, 0x8000000A, 3, 0)  # fmt: skip
HCL = HclList("0", [NVME, VIRTIO_NET], [SVM])
AMD = Cpu("AuthenticAMD", "EPYC", frozenset({"lm", "svm", "npt"}), 4)
INTEL = Cpu("GenuineIntel", "Xeon", frozenset({"lm", "vmx"}), 4)


def machine(name: str, cpu: Cpu | None = AMD) -> Machine:
    read = dumps.esxcli if "esxcli" in name else dumps.lspci
    return Machine(name, read(TEXTS[name]), cpu, memory=8 << 30)


def verdict(name: str, cpu: Cpu | None = AMD) -> check.Verdict:
    return check.check(HCL, machine(name, cpu))


def codes(v: check.Verdict, level: str) -> set[str]:
    return {f.code for f in v.findings if f.level == level}


def test_qemu_installs_with_warnings() -> None:
    v = verdict("qemu-q35.nn.txt")
    assert v.status == check.WARNINGS
    assert codes(v, "ERROR") == set()
    nvme = next(f for f in v.findings if f.driver == "nvme")
    assert nvme.evidence == "SUPPORTED: tested on QEMU's model only"
    assert any("00:1f.2" in f.subject for f in v.findings if f.level == "WARNING")


def test_emulated_evidence_holds_on_that_emulator() -> None:
    m = machine("qemu-q35.nn.txt")
    m.emulator = "QEMU"
    assert (
        next(f for f in check.check(HCL, m).findings if f.driver == "nvme").evidence == "EMULATED"
    )


def test_laptop_without_wired_nic_is_refused() -> None:
    v = verdict("laptop.vmmnn.txt")
    assert v.status == check.WILL_NOT
    blocking = next(f for f in v.findings if f.level == "ERROR")
    assert blocking.code == "NO_NICS" and "Wireless" in blocking.subject
    disk = next(f for f in v.findings if f.driver == "nvme")
    assert disk.text == "any NVMe controller"


@pytest.mark.parametrize(
    ("name", "disk", "nic"),
    [("server.mmnn.txt", "18:00.0", "19:00.0"), ("esxi.esxcli.txt", "03:00.0", "0b:00.0")],
)
def test_foreign_adapters_are_named(name: str, disk: str, nic: str) -> None:
    v = verdict(name)
    assert v.status == check.WILL_NOT
    assert codes(v, "ERROR") == {"NO_BOOT_DISK", "NO_NICS"}
    devices = [f.subject for f in v.findings if f.code == "UNSUPPORTED_DEVICES"]
    assert any(disk in s for s in devices) and any(nic in s for s in devices)


def test_intel_is_refused_without_a_back_end() -> None:
    v = verdict("qemu-q35.nn.txt", INTEL)
    assert codes(v, "ERROR") == {"HARDWARE_VIRTUALIZATION"}
    allowed = check.check(HCL, machine("qemu-q35.nn.txt", INTEL), legacy_cpu_ok=True)
    assert allowed.status == check.WARNINGS


def test_svm_switched_off_is_named() -> None:
    off = Cpu("AuthenticAMD", "EPYC", frozenset({"lm", "npt"}), 4)
    text = next(f.text for f in verdict("qemu-q35.nn.txt", off).findings if f.level == "ERROR")
    assert "svm is missing" in text


def test_silence_is_a_warning() -> None:
    m = Machine("dump", dumps.lspci(TEXTS["qemu-q35.nn.txt"]))
    v = check.check(HCL, m)
    assert {"HARDWARE_VIRTUALIZATION", "MEMORY_SIZE"} <= codes(v, "WARNING")
    assert v.status == check.WARNINGS


def test_a_dump_without_interface_says_probably() -> None:
    finding = next(f for f in verdict("qemu-q35.nn.txt").findings if "00:02.0" in f.subject)
    assert finding.driver == "nvme"
    other = TEXTS["qemu-q35.nn.txt"].replace("1b36:0010", "144d:a808")
    v = check.check(HCL, Machine("x", dumps.lspci(other), AMD, 8 << 30))
    assert next(f for f in v.findings if f.driver == "nvme").text.startswith("probably")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "empty"),
        (b" \n\n", "empty"),
        (b"\0\1\2\0", "binary"),
        (b"x" * (17 << 20), "no dump of one machine"),
        (b"hello world\n", "no output of lspci"),
        (b"00:00.0 Host bridge: Intel Corporation\n", "without numbers"),
    ],
)
def test_no_dump_is_one_clear_error(raw: bytes, message: str) -> None:
    with pytest.raises(dumps.DumpError, match=message):
        dumps.lspci(dumps.decode(raw, "x"))


def test_other_encodings() -> None:
    text = TEXTS["qemu-q35.nn.txt"]
    for raw in (text.encode("utf-16"), b"\xef\xbb\xbf" + text.encode(), text.encode("latin-1")):
        assert len(dumps.lspci(dumps.decode(raw, "x"))) == 7


@settings(max_examples=400)
@given(st.sampled_from(sorted(TEXTS)), st.data())
def test_mutated_dumps_never_crash(name: str, data: st.DataObject) -> None:
    text = TEXTS[name]
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 40))
        text = text[:at] + data.draw(st.text(max_size=6)) + text[at + cut :]
    read = dumps.esxcli if "esxcli" in name else dumps.lspci
    try:
        m = Machine(name, read(text), AMD, 1 << 30)
    except dumps.DumpError:
        return
    v = check.check(HCL, m)
    for show in report.FORMATS.values():
        show(v)


def test_list_round_trip() -> None:
    assert HclList.from_plain(json.loads(json.dumps(HCL.to_plain()))) == HCL


@pytest.mark.slow
def test_stand_alone_checker(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    subprocess.run(["make", "-s", "checker"], cwd=root, check=True, env={"PATH": "/usr/bin:/bin"})
    checker = str(root / "build/tepui-hcl-check.pyz")
    command = ["/usr/bin/python3", "-I", checker, "--lspci"]
    done = subprocess.run(
        [*command, str(DUMPS / "server.mmnn.txt")], capture_output=True, text=True
    )
    assert done.returncode == check.WILL_NOT
    assert done.stdout.startswith("WILL NOT INSTALL")
    done = subprocess.run([*command, str(tmp_path / "none")], capture_output=True, text=True)
    assert done.returncode == check.CANNOT_TELL and "Traceback" not in done.stderr
