# SPDX-License-Identifier: Apache-2.0
"""Machines whose devices answer at the same instruction in every run.

Under -icount the processor's time is its instructions, but QEMU's main loop and its helpers, where
disks and NICs do their work, run when the host's scheduler lets them: a completion comes a few
instructions after its request or a hundred thousand, and requests share an interrupt or do not.
Here all threads of QEMU share one of the host's CPUs, and each but the one that runs the guest has
a real-time priority. A request wakes a device's thread, which takes the CPU from the guest's, does
its work to the end and goes back to sleep; for the guest no time has passed. What else the host
has to do then costs wall time only.

The guest's clock starts at a fixed date and counts instructions too, and random numbers follow
from a seed. Needs the right to real-time scheduling (root has it).
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.system.machine import DIES_WITH_US, ROOT, Config, Machine
from tests.system.peer import Peer

CPU = max(os.sched_getaffinity(0))
PINNED = ("taskset", "--cpu-list", str(CPU))
#: The machine waits until its threads have their priorities.
ARGUMENTS = ("-S", "-seed", "1", "-rtc", "base=2026-01-01T00:00:00,clock=vm")
PRIORITY = 1


def allowed() -> bool:
    """Whether this process may have real-time priorities."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except PermissionError:
        return False
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return True


def prioritize(machine: Machine) -> None:
    """Gives every thread that does not run the guest a real-time priority; threads that QEMU
    starts later inherit it."""
    assert machine.process
    guest = {cpu["thread-id"] for cpu in machine.qmp.execute("query-cpus-fast")}
    for task in Path(f"/proc/{machine.process.pid}/task").iterdir():
        if int(task.name) not in guest:
            os.sched_setscheduler(int(task.name), os.SCHED_FIFO, os.sched_param(PRIORITY))


@contextmanager
def steady(config: Config, logs: Path) -> Iterator[Machine]:
    """The machine, running; its CPUs take turns."""
    arguments = (*ARGUMENTS, *config.arguments)
    inside = (*PINNED, *config.inside)
    with Machine(replace(config, arguments=arguments, inside=inside), logs) as machine:
        if allowed():
            prioritize(machine)
        machine.qmp.execute("cont")
        yield machine


@contextmanager
def mirror() -> Iterator[Peer]:
    """The far end of a cable, a process with the priority of QEMU's devices: a frame is back before
    the guest's next instruction."""
    with Peer() as peer:
        listener = peer.listener.fileno()
        words = (str(listener), str(PRIORITY * allowed()))
        command = (*DIES_WITH_US, *PINNED, sys.executable, "-m", "tests.bench.mirror", *words)
        with subprocess.Popen(command, cwd=ROOT, pass_fds=(listener,)) as process:
            try:
                yield peer
            finally:
                process.terminate()
