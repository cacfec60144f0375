# SPDX-License-Identifier: Apache-2.0
"""What the figures of `make bench` are held against: targets, and peers measured the same way.

Those of VMs are measured in the same run with the same guest binary and outer QEMU (kvm.py).
"""

from dataclasses import dataclass

KVM = "KVM and QEMU on Debian, same outer QEMU"


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
    "vm.cpuid": Goal(target=400),
    "vm.vmmcall": Goal(target=400),
    "vm.rdmsr": Goal(target=400),
    "vm.port_in": Goal(target=400),
    "vm.port_out": Goal(target=400),
    "vm.mmio_lapic": Goal(target=900),
    "vm.mmio_none": Goal(target=1200),
    "vm.first_touch": Goal(target=1500),
    "vm.hlt_wakeup": Goal(target=3000),
    "vm.host_share": Goal(target=10_000),
    "vm.overhead.first": Goal(target=(8 + 0.003 * 512) * 2**20),
    "vm.overhead.second": Goal(target=(8 + 0.003 * 512) * 2**20),
}

#: Of Debian's throughput in the same run, what is wanted of ours; 1.0 where nothing is said here.
SHARE: dict[str, float] = {"user.tcp_mib": 0.6}
#: What is to cost a third of what it costs under KVM in the same run, at most.
THIRDS = {"vm.read4k.depth1", "vm.read4k.depth32", "vm.frame.uplink", "vm.frame.guest"}
