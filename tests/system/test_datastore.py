# SPDX-License-Identifier: Apache-2.0
"""A datastore on an NVMe disk: made, filled and mounted by the console, read by the checker."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tepui.shell.datastore.check import check
from tepui.shell.datastore.volume import Volume
from tests.system.image import ImageFile
from tests.system.machine import Machine
from tests.system.shell import Shell

MIB = 1 << 20


@pytest.mark.slow
def test_files_survive(boot: Callable[..., Machine], tmp_path: Path) -> None:
    image = tmp_path / "disk"
    image.touch()
    with image.open("r+b") as f:
        f.truncate(128 * MIB)
    drive = f"if=none,id=disk,format=raw,file={image}"
    arguments = ("-drive", drive, "-device", "nvme,drive=disk,serial=S1")

    shell = Shell(boot(cpus=2, memory=1024, arguments=arguments))
    disk = shell.json("storage core device list")[0]
    assert disk["Size"] == 128
    rc, text = shell.run(f"esxcli storage filesystem create -m -d '{disk['Device']}' -l datastore1")
    assert rc == 0, text
    volume = shell.json("storage filesystem list")[0]
    assert volume["VolumeName"] == "datastore1" and volume["UUID"] in text
    fill = "head -c 5000000 /dev/urandom > a && mkdir d && echo small > d/b && ln -s d/b c"
    rc, text = shell.run(f"cd /vmfs/volumes/datastore1 && {fill} && sync && sha256sum a")
    assert rc == 0, text
    found = re.search(r"^([0-9a-f]{64})  a$", text, re.M)
    assert found, text
    digest = found[1]
    shell.console.send("esxcli system shutdown poweroff -r test\r")
    assert shell.machine.wait_exit(60) == 0

    assert check(ImageFile(image)).problems == []
    reader = Volume(ImageFile(image))
    assert hashlib.sha256(reader.read(reader.find("/a"), 0, 1 << 30)).hexdigest() == digest
    assert reader.read(reader.find("/d/b"), 0, 100) == b"small\n"

    shell = Shell(boot(cpus=2, memory=1024, arguments=arguments))
    rc, text = shell.run(
        "esxcli storage filesystem automount && sha256sum /vmfs/volumes/datastore1/a"
    )
    assert rc == 0 and digest in text
    rc, text = shell.run("cat /vmfs/volumes/datastore1/c")
    assert (rc, text) == (0, "small\n")
