# SPDX-License-Identifier: Apache-2.0
"""Typed calls to the vmkernel: each operation a method, each structure a record.

Records are generated (`tepui.shell.abigen`): their fields, with names and units, are those of
vmkernel/include/abi/*.h. A class here adds to a record what is computed from it.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

from tepui.shell import abi, records
from tepui.shell.link import Link
from tepui.shell.records import Cpu, Driver, Group, HostInfo, Stat, World


class Memory(NamedTuple):
    """Pages of 4 KiB by owner: the whole, then each NUMA node."""

    total_pages: int
    owners: dict[str, int]
    nodes: tuple[dict[str, int], ...]


class Pci(records.Pci):
    __slots__ = ()

    @property
    def address(self) -> str:
        return f"{self.segment:04x}:{self.bus:02x}:{self.slot:02x}.{self.func}"


class Client:
    """A host, over one Link that opens with the first call."""

    def __init__(self, link: Link | None = None) -> None:
        self._given = link

    @cached_property
    def link(self) -> Link:
        return self._given or Link.connect()

    def close(self) -> None:
        """Ends the link, if one was opened."""
        if "link" in self.__dict__:
            self.link.close()

    @cached_property
    def op(self) -> Any:
        return abi.lib()

    def call(self, operation: int, reply: str | None = None, payload: bytes = b"") -> Any:
        """The reply as `struct reply`, or None."""
        got = self.link.request(operation, payload)
        return abi.cast(reply, got.payload) if reply else None

    def pages(self, operation: int, reply: str, member: str) -> Iterator[Any]:
        """Every entry of a paged list (struct ctl_page)."""
        first = 0
        while True:
            c = self.call(operation, reply, abi.pack("ctl_page_req", first=first))
            array = getattr(c, member)
            yield from (array[i] for i in range(c.page.count))
            first += c.page.count
            if c.page.count == 0 or first >= c.page.total:
                return

    def info(self) -> HostInfo:
        return HostInfo.of(self.call(self.op.CTL_HOST_INFO, "ctl_host_info"))

    def options(self) -> str:
        """The boot command line."""
        return self.link.request(self.op.CTL_HOST_OPTIONS).payload.decode("utf-8", "replace")

    def log(self, sequence: int = 0) -> tuple[int, str]:
        """Log text from a record on: (where to go on, lines); "" when there is no more."""
        c = self.call(
            self.op.CTL_HOST_LOG_READ,
            "ctl_host_log_reply",
            abi.pack("ctl_host_log_read", sequence=sequence),
        )
        text = bytes(abi.ffi().buffer(c.text, c.length))
        return c.sequence, text.decode("utf-8", "replace")

    def log_mark(self, text: str) -> None:
        self.call(self.op.CTL_HOST_LOG_MARK, None, text.encode()[:256])

    def stats(self) -> list[Stat]:
        rows = self.pages(self.op.CTL_HOST_STATS, "ctl_host_stats", "stat")
        return [Stat.of(c) for c in rows]

    def cpus(self) -> list[Cpu]:
        rows = self.pages(self.op.CTL_HOST_CPUS, "ctl_host_cpus", "cpu")
        return [Cpu.of(c) for c in rows]

    def cpuid(self, cpu: int, leaf: int, subleaf: int = 0) -> tuple[int, int, int, int]:
        """EAX, EBX, ECX, EDX of CPUID on that CPU."""
        req = abi.pack("ctl_host_cpuid", cpu=cpu, leaf=leaf, subleaf=subleaf)
        c = self.call(self.op.CTL_HOST_CPUID, "ctl_host_cpuid_reply", req)
        return c.eax, c.ebx, c.ecx, c.edx

    def memory(self) -> Memory:
        c = self.call(self.op.CTL_HOST_MEMORY, "ctl_host_memory")
        names = [abi.text(c.owner_name[i]) for i in range(c.owners)]

        def owners(node: Any) -> dict[str, int]:
            return {name: node.pages[i] for i, name in enumerate(names)}

        nodes = tuple(owners(c.node[i]) for i in range(c.nodes))
        return Memory(c.all.total_pages, owners(c.all), nodes)

    def worlds(self) -> list[World]:
        rows = self.pages(self.op.CTL_SCHED_WORLDS, "ctl_sched_worlds", "world")
        return [World.of(c) for c in rows]

    def groups(self) -> list[Group]:
        """Every group, after those in it; the root has id 0 and comes last."""
        rows = self.pages(self.op.CTL_SCHED_GROUPS, "ctl_sched_groups", "group")
        return [Group.of(c) for c in rows]

    def set_group(self, number: int, shares: int, min_pct: int, max_pct: int) -> None:
        fields = {"id": number, "shares": shares, "min_pct": min_pct, "max_pct": max_pct}
        self.call(self.op.CTL_SCHED_GROUP_SET, None, abi.pack("ctl_sched_group_set", **fields))

    def pci(self) -> list[Pci]:
        rows = self.pages(self.op.CTL_DEVICE_PCI, "ctl_device_pci", "pci")
        return [Pci.of(c) for c in rows]

    def drivers(self) -> list[Driver]:
        rows = self.pages(self.op.CTL_DEVICE_DRIVERS, "ctl_device_drivers", "driver")
        return [Driver.of(c) for c in rows]

    def peek(self, address: int, length: int) -> bytes:
        """Kernel memory, at most 4,096 bytes; RefusedError where nothing is mapped."""
        req = abi.pack("ctl_host_peek", address=address, length=length)
        return self.link.request(self.op.CTL_HOST_PEEK, req).payload

    def set_time(self, realtime_ns: int) -> None:
        self.call(
            self.op.CTL_HOST_SET_TIME, None, abi.pack("ctl_host_time", realtime_ns=realtime_ns)
        )

    def power(self, *, reboot: bool) -> None:
        """Power off or reboot; the reply comes before the deed."""
        action = self.op.CTL_POWER_REBOOT if reboot else self.op.CTL_POWER_OFF
        self.call(self.op.CTL_HOST_POWER, None, abi.pack("ctl_host_power", action=action))
