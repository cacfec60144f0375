# SPDX-License-Identifier: Apache-2.0
"""The list in the image: each row that claims to work has its record; a driver less is seen."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tepui.hcl import check, dumps, image, records
from tepui.hcl.model import HclList, Machine
from tests.unit.cunit import ROOT

DUMPS = Path(__file__).with_name("dumps")


@pytest.fixture(scope="module")
def hcl() -> HclList:
    return image.read(ROOT / "build/vmkernel.elf", "0")


@pytest.mark.slow
def test_each_row_that_claims_to_work_has_its_record(hcl: HclList) -> None:
    """Not in `make quick`, so that a driver can be landed before its evidence is renewed."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "not soak"]
    done = subprocess.run(
        [*command, "tests/system"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    problems = records.problems(ROOT, hcl, set(done.stdout.splitlines()))
    assert not problems, "run `make evidence`: " + "; ".join(problems)


def test_what_is_wrong_with_records_is_said(hcl: HclList, tmp_path: Path) -> None:
    driver = next(d for d in hcl.drivers if d.name == "e1000")
    one = replace(hcl, drivers=[driver], backends=[])
    for path in records.sources(ROOT, driver.source):
        (tmp_path / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path.relative_to(ROOT)).write_bytes(path.read_bytes())
    (tmp_path / "hcl").mkdir()
    assert records.problems(tmp_path, one, set()) == ["e1000 8086:100e: no record"]
    source = records.digest(tmp_path, driver.source)
    record = records.Record("e1000", "8086:100e", "t::x[e1000]", source, "bios", "QEMU 7.2.22")
    records.save(tmp_path, [record])
    assert records.problems(tmp_path, one, {"t::x[e1000]"}) == []
    assert records.problems(tmp_path, one, set()) == ["e1000 8086:100e: t::x[e1000] does not run"]
    assert records.attach(tmp_path, one).drivers[0].rows[0].evidence == "QEMU 7.2.22, bios"
    registers = tmp_path / "drivers/net/e1000_regs.h"
    registers.write_text(registers.read_text() + "\n")
    assert "changed since" in records.problems(tmp_path, one, {"t::x[e1000]"})[0]
    records.save(tmp_path, [replace(record, row="8086:ffff")])
    assert "for no row" in records.problems(tmp_path, one, {"t::x[e1000]"})[1]


def test_a_drivers_files() -> None:
    paths = records.sources(ROOT, "drivers/net/virtio_net.c")
    names = {p.name for p in paths}
    assert {"virtio_net.c", "virtio_net_io.c", "virtio_net.h", "virtqueue.c"} <= names
    assert ROOT / "vmkernel/include/hw/virtio.h" in paths
    assert "e1000.c" not in names and "virtio_blk.c" not in names


@pytest.mark.slow
def test_an_image_without_a_driver(hcl: HclList) -> None:
    """Its rows are gone, nothing else, and a machine that lives on it is refused."""
    subprocess.run(["make", "-s", "image", "WITHOUT=block/nvme%"], cwd=ROOT, check=True)
    without = image.read(ROOT / "build/without/vmkernel.elf", "0")
    assert without.drivers == [d for d in hcl.drivers if d.name != "nvme"]
    assert without.backends == hcl.backends
    name = "vmware-efi-nvme.nnv.txt"
    machine = Machine(name, dumps.lspci((DUMPS / name).read_text()))
    assert check.check(hcl, machine).status == check.WARNINGS
    verdict = check.check(without, machine)
    assert verdict.status == check.WILL_NOT
    assert [(f.code, "NVMe" in f.subject) for f in verdict.blocking] == [("NO_BOOT_DISK", True)]
