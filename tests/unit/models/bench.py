# SPDX-License-Identifier: Apache-2.0
"""The workbench: one C driver with one modelled device, memory that both see, and requests.

A model is an object with `read(offset, width) -> int` and `write(offset, width, value)`, put at an
address (memory BAR) or a port range. It reads and writes the driver's memory through `Bench.load`
and `Bench.store`, and raises interrupts with `Bench.fire`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.unit.cunit import Unit

PAGE = 4096
TICK = 500_000_000


class Model(Protocol):
    def read(self, offset: int, width: int) -> int: ...
    def write(self, offset: int, width: int, value: int) -> None: ...


@dataclass
class Region:
    base: int
    size: int
    model: Model
    port: bool = False


@dataclass
class Bench:
    """Wires one unit to models. `dead` makes every register read all ones (surprise removal)."""

    unit: Unit
    regions: list[Region] = field(default_factory=list)
    dead: bool = False
    reads: int = 0
    writes: int = 0
    errors: list[BaseException] = field(default_factory=list)
    keep: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        ffi, lib = self.unit.ffi, self.unit.lib
        mmio_read = ffi.callback("uint64_t(uint64_t, unsigned)", self._read(False), error=0)
        port_read = ffi.callback("uint64_t(uint16_t, unsigned)", self._read(True), error=0)
        mmio_write = ffi.callback("void(uint64_t, unsigned, uint64_t)", self._write(False))
        port_write = ffi.callback("void(uint16_t, unsigned, uint64_t)", self._write(True))
        sleep = ffi.callback("bool(ns_t)", self._sleep, error=False)
        lib.seam_mmio_read, lib.seam_mmio_write = mmio_read, mmio_write
        lib.seam_port_read, lib.seam_port_write = port_read, port_write
        lib.seam_sleep = sleep
        self.keep += [mmio_read, port_read, mmio_write, port_write, sleep]

    def add(self, base: int, size: int, model: Model, port: bool = False) -> None:
        self.regions.append(Region(base, size, model, port))

    def _find(self, address: int, port: bool) -> Region:
        for region in self.regions:
            if region.port == port and region.base <= address < region.base + region.size:
                return region
        raise AssertionError(f"nothing answers at {address:#x}")

    def _read(self, port: bool) -> Callable[[int, int], int]:
        def read(address: int, width: int) -> int:
            self.reads += 1
            mask = (1 << 8 * width) - 1
            if self.dead:
                return mask
            try:
                region = self._find(address, port)
                return region.model.read(address - region.base, width) & mask
            except BaseException as error:
                self.errors.append(error)
                raise

        return read

    def _write(self, port: bool) -> Callable[[int, int, int], None]:
        def write(address: int, width: int, value: int) -> None:
            self.writes += 1
            if self.dead:
                return
            try:
                region = self._find(address, port)
                region.model.write(address - region.base, width, value)
            except BaseException as error:
                self.errors.append(error)
                raise

        return write

    def _sleep(self, deadline: int) -> bool:
        """A world sleeps: run what is pending, else let time pass until a tick or its deadline."""
        lib = self.unit.lib
        if self.errors:
            return False
        if lib.seam_run_bottoms() + lib.seam_run_work():
            return True
        if lib.seam_now + TICK >= deadline:
            return False
        lib.seam_advance(TICK)
        return True

    def fire(self, vector: int) -> int:
        return int(self.unit.lib.seam_irq_fire(vector))

    def run(self) -> None:
        """Bottom halves and work until nothing is left; re-raises what a model raised."""
        lib = self.unit.lib
        while lib.seam_run_bottoms() + lib.seam_run_work():
            pass
        self.check()

    def check(self) -> None:
        if self.errors:
            raise self.errors[0]

    def load(self, pa: int, size: int) -> bytes:
        """Bytes at a machine address; pages of the arena follow each other in memory."""
        return bytes(self.unit.ffi.buffer(self.unit.lib.pa_to_va(pa), size))

    def store(self, pa: int, data: bytes) -> None:
        self.unit.ffi.memmove(self.unit.lib.pa_to_va(pa), data, len(data))

    def pages(self, count: int) -> int:
        """Machine address of a fresh block of at least `count` pages."""
        order = max(count - 1, 0).bit_length()
        return int(self.unit.lib.page_alloc(order, self.unit.lib.FRAME_KERNEL, 0))


@dataclass
class Request:
    """An asynchronous block request; status is None until done ran, which it does once."""

    bench: Bench
    struct: Any
    sg: Any
    status: int | None = None
    calls: int = 0


class Block:
    """Requests against one registered block device."""

    def __init__(self, bench: Bench, device: Any) -> None:
        self.bench = bench
        self.device = device
        ffi = bench.unit.ffi
        self.live: dict[int, Request] = {}
        self.done = ffi.callback("void(struct blk_req *)", self._done)

    def _done(self, struct: Any) -> None:
        request = self.live[int(self.bench.unit.ffi.cast("uintptr_t", struct))]
        request.calls += 1
        request.status = struct.status

    def submit(
        self,
        op: int,
        offset: int,
        pieces: Sequence[tuple[int, int]] = (),
        length: int | None = None,
        flags: int = 0,
        timeout: int = 0,
        owner: int = 0,
    ) -> Request:
        """`pieces` are (machine address, length); length defaults to their sum."""
        ffi = self.bench.unit.ffi
        sg = ffi.new("struct sg[]", max(len(pieces), 1))
        for entry, (pa, size) in zip(sg, pieces, strict=False):
            entry.pa, entry.len = pa, size
        struct = ffi.new("struct blk_req *")
        struct.op, struct.offset, struct.flags, struct.timeout = op, offset, flags, timeout
        struct.owner = ffi.cast("void *", owner)
        struct.sg, struct.sg_count = sg, len(pieces)
        struct.len = sum(size for _, size in pieces) if length is None else length
        struct.done = self.done
        request = Request(self.bench, struct, sg)
        self.live[int(ffi.cast("uintptr_t", struct))] = request
        self.bench.unit.lib.blk_submit(struct, self.device)
        return request

    def finish(self, *requests: Request, limit: int = 400) -> None:
        """Lets time pass until the requests are done; at most `limit` ticks."""
        lib = self.bench.unit.lib
        self.bench.run()
        while any(r.status is None for r in requests):
            assert limit, "requests that never end"
            limit -= 1
            lib.seam_advance(TICK)
            self.bench.run()
        assert all(r.calls == 1 for r in requests)


def block_devices(unit: Unit) -> list[Any]:
    """Every registered disk and partition."""
    found: list[Any] = []
    visit = unit.ffi.callback("void(struct blk_dev *, void *)", lambda d, _: found.append(d))
    unit.lib.blk_for_each(visit, unit.ffi.NULL)
    return found


@contextmanager
def no_leaks(unit: Unit) -> Iterator[None]:
    """Heap objects and frames are balanced over the block."""
    before = unit.lib.seam_heap_live, unit.lib.seam_pages_live
    yield
    assert (unit.lib.seam_heap_live, unit.lib.seam_pages_live) == before


class Driven:
    """A driver with its modelled device on the bus. Subclasses make the model and its BARs."""

    model: Any

    def __init__(self, unit: Unit, driver: str, cpus: int = 2, vectors: int = 3) -> None:
        self.unit, self.lib = unit, unit.lib
        self.driver = getattr(unit.lib, f"driver_{driver}")
        self.bench = Bench(unit)
        self.lib.seam_cpus, self.lib.seam_cpu, self.lib.seam_vectors = cpus, 0, vectors
        self.lib.seam_reset_result = -95
        unit.ffi.buffer(self.lib.seam_config)[0:256] = bytes(256)
        self.pci = self.lib.seam_pci_new()

    def bar(self, number: int, base: int, size: int) -> None:
        self.bench.add(base, size, self.model)
        self.pci.bar[number].base, self.pci.bar[number].len = base, size

    def probe(self) -> int:
        result = int(self.driver.probe(self.unit.ffi.addressof(self.pci.dev)))
        self.bench.check()
        return result

    def remove(self) -> None:
        self.driver.remove(self.unit.ffi.addressof(self.pci.dev))
        self.bench.run()

    def vanish(self) -> None:
        """Surprise removal as the bus tells it: all ones from here on."""
        self.bench.dead = self.pci.dev.gone = True

    @contextmanager
    def attached(self) -> Iterator[None]:
        """From probe to remove; the next example finds a clean unit, whatever this one did."""
        with no_leaks(self.unit):
            assert self.probe() == 0
            try:
                yield
            except BaseException:
                self.vanish()
                self.bench.errors.clear()
                self.remove()
                raise
            self.remove()
            assert not self.lib.seam_master


def probe_with_little_memory(unit: Unit, make: Callable[[], Driven], tries: int) -> None:
    """The Nth allocation fails, for each N: probe succeeds or leaves nothing behind."""
    for successes in range(tries):
        driven = make()
        unit.lib.seam_fail_after(successes)
        with no_leaks(unit):
            result = driven.probe()
            unit.lib.seam_fail_after(-1)
            if result == 0:
                driven.remove()
        assert not driven.lib.seam_master
