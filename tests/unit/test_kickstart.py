# SPDX-License-Identifier: Apache-2.0
"""Kickstart files: what is right is understood, what is wrong gives one message with its line."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tepui.iso import kickstart, layout, targets
from tepui.iso.kickstart import Clear, Install, KickstartError, Network, Vmfs, Where
from tepui.iso.targets import Target
from tepui.shell import gpt
from tepui.shell.storageclient import Block

GOOD = "vmaccepteula\nrootpw Abcdef-1\ninstall --firstdisk\n"
HERE = Where("ks.cfg", 3)
VOCABULARY = """vmaccepteula rootpw install clearpart network keyboard reboot dryrun include %post
%end --firstdisk --disk=x --iscrypted --bootproto=static --ip=10.0.0.2 --netmask=255.0.0.0
--alldrives --vlanid=7 us Abcdef-1 --interpreter=busybox ' " # \\ = --= --disk= \0"""
WORDS = st.sampled_from(VOCABULARY.split())


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ks") / "ks.cfg"


def parse(file: Path, text: str | bytes) -> kickstart.Kickstart:
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return kickstart.parse(file)


def test_the_whole_language(file: Path) -> None:
    (file.parent / "more.cfg").write_text("keyboard 'US Default'\nreboot --noeject\n")
    ks = parse(
        file,
        "# a comment\naccepteula\nrootpw --iscrypted $6$salt$hash  # behind\n"
        "install --firstdisk=usb,nvme --preservevmfs --ignoressd\n"
        "clearpart --drives=a,b --overwritevmfs\ndryrun\n"
        "network --bootproto=static --ip=10.1.2.3 --netmask=255.255.255.0 --gateway=10.1.2.1 "
        "--nameserver=10.1.2.2,10.1.2.4 --hostname=h --vlanid=9 --device=vmnic1 "
        "--addvmportgroup=0\ninclude more.cfg\n"
        "%post --interpreter=busybox --timeout=5 --ignorefailure=true\necho 1\n#x\n%end\n"
        "%post\nprint(2)\n",
    )
    assert (ks.accepted, ks.password, ks.encrypted, ks.reboot, ks.dry_run) == (
        True, "$6$salt$hash", True, True, True,
    )  # fmt: skip
    assert ks.install == Install("", ("usb", "nvme"), Vmfs.PRESERVE, True)
    assert ks.clear == Clear(drives=("a", "b"), vmfs=True)
    servers = ("10.1.2.2", "10.1.2.4")
    mask = "255.255.255.0"
    assert ks.network == Network(
        False, "vmnic1", "10.1.2.3", mask, "10.1.2.1", servers, "h", 9, False
    )
    assert ks.keyboard == "US Default"
    assert [(s.interpreter, s.text, s.timeout, s.ignore_failure) for s in ks.post] == [
        ("busybox", "echo 1\n#x\n", 5, True),
        ("python", "print(2)\n", 0, False),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ": empty"),
        ("\n \n", ": empty"),
        ("rootpw Abcdef-1\ninstall --firstdisk", ": vmaccepteula is missing"),
        ("vmaccepteula\ninstall --firstdisk", ": rootpw is missing"),
        (GOOD + "frobnicate", ":4: unknown command 'frobnicate'"),
        (GOOD + "reboot now", ":4: reboot: unexpected 'now'"),
        (GOOD + "reboot", ""),
        (GOOD + "keyboard", ":4: keyboard: a value is missing"),
        (GOOD + "keyboard Klingon", ":4: keyboard: unknown layout 'Klingon'"),
        (GOOD + "install --firstdisk", ":4: install: stands in FILE:3 already"),
        (GOOD + "network --bootproto=static --ip=1.2.3.4", ":4: network: --bootproto=static "),
        (GOOD + "network --bootproto", ":4: network: --bootproto lacks its value"),
        (GOOD + "network --ip=", ":4: network: --ip lacks its value"),
        (GOOD + "network --bootproto=static --ip=1.2.3.400", ":4: network: --ip: '1.2.3.400' is"),
        (GOOD + "network --vlanid=4096", ":4: network: --vlanid is a number from 0 to 4095"),
        (GOOD + "clearpart", ":4: clearpart: it does not say which drives"),
        (GOOD + "include nothing.cfg", ":4: include DIR/nothing.cfg: cannot be read: No such "),
        (GOOD + "include ks.cfg", ":1: vmaccepteula: stands in FILE:1 already"),
        (GOOD + "rootpw 'half", ":4: no closing quotation"),
        (GOOD + "%post --interpreter=perl", ":4: %post: --interpreter is python or busybox"),
        ("vmaccepteula\nrootpw short", ":2: rootpw: a password has 7 to 40"),
        ("vmaccepteula\nrootpw alllowercase", ":2: rootpw: a password needs three of"),
        ("install --firstdisk --disk=x", ":1: install: --disk and --firstdisk exclude"),
        ("install --overwritevmfs", ":1: install: --disk= or --firstdisk is missing"),
        (b"vmaccepteula\nrootpw \xff\xfe\n", ":2: not text"),
        (b"vmaccepteula\n\n\0", ":3: not text"),
        (b"\n" * (10 << 20), ": larger than 1024 KiB"),
    ],
)
def test_one_message(file: Path, text: str | bytes, message: str) -> None:
    if not message:
        parse(file, text)
        return
    with pytest.raises(KickstartError) as caught:
        parse(file, text)
    wanted = str(file) + message.replace("FILE", str(file)).replace("DIR", str(file.parent))
    assert str(caught.value).startswith(wanted)


@given(st.binary(max_size=200) | st.lists(st.lists(WORDS).map(" ".join)).map("\n".join))
def test_any_file(file: Path, text: str | bytes) -> None:
    """Any file is understood or refused with its name and, but for what is missing, a line."""
    try:
        parse(file, text)
    except KickstartError as e:
        assert re.match(rf"{re.escape(str(file))}:(\d+:)? ", str(e)) and "\n" not in str(e)


def disk(
    number: int, *, model: str = "QEMU NVMe Ctrl", flags: int = 0, store: bool = False
) -> Target:
    size = layout.DISK_MIN * 4 << 20
    block = Block(
        f"t10.NVMe____{number}", f"vmhba{number}:C0:T0:L0", "", model, "S", "1", "vmhba0", "nvme",
        "", size // 512, 0, 512, 0, 64, flags, b"", b"", "",
    )  # fmt: skip
    table = layout.plan(512, size // 512) if store else None
    return Target(block, table, "")


def test_disks() -> None:
    """Which disk a file means; what it must say about a datastore."""
    small = replace(disk(4), block=disk(4).block._replace(blocks=1000))
    there = [small, disk(1, flags=targets.IN_USE), disk(2, store=True), disk(3, model="SSD 9")]

    def chosen(**install: object) -> str:
        return targets.choose(there, Install(**install), HERE).block.node[:6]  # type: ignore[arg-type]

    assert chosen(vmfs=Vmfs.OVERWRITE) == "vmhba2"
    assert chosen(first=("SSD",)) == "vmhba3"
    assert chosen(disk="/vmfs/devices/disks/t10.NVMe____3") == "vmhba3"
    assert chosen(disk="mpx.vmhba3:C0:T0:L0") == "vmhba3"
    for wrong, message in (
        ({}, "ks.cfg:3: t10.NVMe____2 holds a datastore: say --overwritevmfs or --preservevmfs"),
        ({"disk": "t10*"}, "ks.cfg:3: 't10*' means 4 disks: "),
        ({"disk": "sda"}, "ks.cfg:3: no disk 'sda'; this machine has: t10.NVMe____4, "),
        ({"disk": "t10.NVMe____1"}, "ks.cfg:3: t10.NVMe____1: it is in use"),
        ({"disk": "t10.NVMe____4"}, "ks.cfg:3: t10.NVMe____4: it has 0 MiB; "),
        ({"first": ("usb",)}, "ks.cfg:3: no disk to install on fits --firstdisk"),
    ):
        with pytest.raises(KickstartError) as caught:
            chosen(**wrong)
        assert str(caught.value).startswith(message)
    with pytest.raises(KickstartError, match="holds a datastore"):
        targets.cleared(there, Clear(all=True), HERE, Install())
    gone = targets.cleared(there, Clear(all=True, vmfs=True), HERE, Install())
    assert [t.block.node[5] for t in gone] == ["4", "2", "3"]


@given(st.integers(layout.DISK_MIN, 1 << 22), st.sampled_from([512, 4096]))
def test_layouts(mib: int, block_size: int) -> None:
    """Every disk that is large enough takes the layout; a second installation keeps the
    datastore where it is; a smaller disk is refused."""
    blocks = (mib << 20) // block_size
    table = layout.plan(block_size, blocks)
    store = table.find(gpt.Type.DATASTORE)
    assert store and store.blocks * block_size >= layout.DATASTORE_MIN << 20
    again = layout.plan(block_size, blocks, store)
    assert again.find(gpt.Type.DATASTORE) == store
    assert [p.first for p in again.partitions] == [p.first for p in table.partitions]
    assert len(layout.plan(block_size, blocks, None, datastore=False).partitions) == 5
    with pytest.raises(layout.LayoutError):
        layout.plan(block_size, ((layout.DISK_MIN - 1) << 20) // block_size)
