# SPDX-License-Identifier: Apache-2.0
"""What the figures of `make bench` are held against: targets, and peers measured the same way.

Peers were taken on the same emulator with the same guest binary, in instructions per operation
under -icount shift=0: Debian's 6.1 kernel with KVM and QEMU 7.2, and Xen 4.17 PVH.
"""

from dataclasses import dataclass

KVM = "KVM on Linux 6.1, QEMU 7.2"
XEN = "Xen 4.17 PVH"


@dataclass(frozen=True, slots=True)
class Goal:
    """`target` is the worst value accepted; `peer` (who, value) is what it is compared with."""

    better: str = "lower"
    target: float | None = None
    peer: tuple[str, float] | None = None


#: By the figure's name; a figure that is not here is reported without a target, lower is better.
GOALS: dict[str, Goal] = {
    "image.bytes": Goal(target=2 * 2**20),
    "mm.page_alloc.4k": Goal(target=60),
    "mm.used": Goal(target=(16 + 2 + 0.004 * 1024) * 2**20),
    "sched.switch.10": Goal(target=300),
    "nvme.read4k.depth1": Goal(target=1500),
    "nvme.read4k.depth32": Goal(target=800),
    "vdisk.read4k.depth1.above": Goal(target=700),
    "vdisk.read4k.depth32.above": Goal(target=700),
    "vdisk.write4k.depth1.above": Goal(target=700),
    "vdisk.write4k.depth32.above": Goal(target=700),
    "vdisk.sequential.read": Goal(better="higher", target=950),
    "vdisk.sequential.write": Goal(better="higher", target=950),
    "virtio_net.send": Goal(target=1000),
    "virtio_net.receive": Goal(target=1000),
    "vm.cpuid": Goal(target=400, peer=(KVM, 2922)),
    "vm.vmmcall": Goal(target=400, peer=(KVM, 3149)),
    "vm.rdmsr": Goal(target=400, peer=(KVM, 2995)),
    "vm.port_in": Goal(target=400, peer=(KVM, 1689)),
    "vm.port_out": Goal(target=400),
    "vm.mmio_lapic": Goal(target=900, peer=(KVM, 3753)),
    "vm.mmio_none": Goal(target=1200, peer=(KVM, 7423)),
    "vm.first_touch": Goal(target=1500, peer=(KVM, 8280)),
    "vm.self_ipi": Goal(peer=(KVM, 8997)),
    "vm.hlt_wakeup": Goal(target=3000, peer=(KVM, 14115)),
}

#: Of Debian's throughput in the same run, what is wanted of ours; 1.0 where nothing is said here.
SHARE: dict[str, float] = {"user.tcp_mib": 0.6}
