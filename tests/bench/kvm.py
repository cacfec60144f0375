# SPDX-License-Identifier: Apache-2.0
"""The small guest's figures under Debian's KVM and QEMU, on the same outer QEMU.

QEMU has vhost-net on its taps and an I/O thread for its disk, as it does where libvirt starts it.
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.bench.steady import mirror, steady
from tests.bench.userworld import CONFIG
from tests.system import beside, guests
from tests.system.machine import ROOT, Config

QEMU = Path("/usr/bin/qemu-system-x86_64")
FIRMWARE = ("seabios/bios-256k.bin", "qemu/pvh.bin", "qemu/kvmvapic.bin")
MODULES = (
    *(Path(name).name for name in guests.MODULES if "virtio" in name or "failover" in name),
    *("irqbypass", "kvm", "kvm-amd", "llc", "stp", "bridge", "tun", "tap"),
    *("vhost_iotlb", "vhost", "vhost_net"),
)
#: Of tests/guest/virtio.c: its and its peer's address but for the last byte.
MAC = bytes.fromhex("5254000000")
#: `guest` runs QEMU; its arguments follow.
HOST = """\
exec </dev/null >/dev/ttyS0 2>&1
cd /beside
for m in {modules}; do insmod $m.ko; done
guest() {{
    ./ld.so --library-path . ./{qemu} -L . -nodefaults -display none -machine q35 -accel kvm \\
        -cpu host "$@"
}}
"""
#: What the guest prints is shown when it has ended: no console is at work while it measures.
SCRIPT = """\
echo never >/sys/kernel/mm/transparent_hugepage/enabled # or a first touch clears 2 MiB
echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
brctl addbr br0 && brctl setfd br0 0
for port in tap1 tap2 eth0; do
    [ $port = eth0 ] || tunctl -t $port
    brctl addif br0 $port && ip link set $port up
done
ip link set br0 up
small() {{
    name=$1; shift
    guest -m 64 -kernel testguest.elf -append $name -debugcon file:$name \\
        -device isa-debug-exit,iobase=0xf4 "$@"
}}
nic() {{
    name=$1 n=$2; shift 2
    small $name -netdev tap,id=n,ifname=tap$n,script=no,downscript=no,vhost=on \\
        -device virtio-net-pci,netdev=n,romfile=,mac={mac}:0$n "$@"
}}
small bench
nic echo 2 &
nic devices 1 -drive file=/dev/nvme0n1,format=raw,cache=none,aio=native,if=none,id=d \\
    -object iothread,id=io -device virtio-blk-pci,drive=d,iothread=io
cat bench devices
echo "kvm: ended"
"""


@contextmanager
def devices() -> Iterator[tuple[str, ...]]:
    """QEMU's arguments for an NVMe drive that costs nothing, and for a NIC whose other end sends
    the guest's frames back to where they came from."""
    with mirror() as peer:
        drive = "driver=null-co,size=64M,read-zeroes=on,if=none,id=disk"
        disk = ("-drive", drive, "-device", "nvme,drive=disk,serial=S")
        yield *disk, *peer.arguments, "-device", f"virtio-net-pci,netdev={peer.name}"


def host(folder: Path, script: str, config: Config, *others: Path) -> Config:
    """Debian with KVM's modules and QEMU, its libraries and firmware, in the folder where the
    script runs; and other files."""
    root = folder / "kvm-root"
    shutil.rmtree(root, ignore_errors=True)
    (root / "beside").mkdir(parents=True)
    text = guests.run("ldd", str(QEMU))
    for name, path in re.findall(r"(\S+) => (/\S+)", text):
        shutil.copy(path, root / "beside" / name)
    loader = re.search(r"^\s*(/\S+)", text, re.MULTILINE)
    assert loader, text
    shutil.copy(loader[1], root / "beside/ld.so")
    (modules,) = guests.linux().glob("lib/modules/*/kernel")
    found = [next(modules.rglob(f"{name}.ko")) for name in MODULES]
    firmware = [Path("/usr/share") / name for name in FIRMWARE]
    for path in (QEMU, *firmware, *found, *others):
        shutil.copy(path, root / "beside")
    start = HOST.format(modules=" ".join(MODULES), qemu=QEMU.name)
    return beside.debian(beside.archive(root, start + script), config)


def transcript(folder: Path) -> str:
    """What the guest prints there."""
    script = SCRIPT.format(mac=MAC.hex(":"))
    with devices() as arguments:
        config = replace(CONFIG, memory=2048, arguments=arguments)
        config = host(folder, script, config, ROOT / "build/testguest.elf")
        with steady(config, folder / "kvm") as machine:
            machine.console.expect(r"kvm: ended", 600)
            return machine.console.transcript
