# SPDX-License-Identifier: Apache-2.0
"""Bochs: x2APIC, TSC deadline, VMX and a stricter CPU than QEMU's TCG; about 40 MIPS."""

import shlex
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tepui.iso import image
from tests.system.console import SCALE, Console
from tests.system.machine import DIES_WITH_US, ISO

#: The serial line connects to a port that we listen on. 40,000,000 instructions a second.
BOCHSRC = """\
cpu: model={model}, count={cpus}, ips=40000000, reset_on_triple_fault=0
memory: guest={memory}, host={host}
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
ata0-master: type=cdrom, path={iso}, status=inserted
boot: cdrom
display_library: rfb, options="timeout=0"
com1: enabled=1, mode=socket-client, dev=127.0.0.1:{port}
clock: sync=none
panic: action=fatal
error: action=report
info: action=ignore
debug: action=ignore
log: {log}
speaker: enabled=0
"""


class Bochs:
    """A running Bochs; leaving the context kills it."""

    def __init__(
        self,
        logs: Path,
        *,
        model: str = "corei7_skylake_x",
        cpus: int = 1,
        memory: int = 512,
        options: str = "",
    ) -> None:
        self.logs = logs
        self.model, self.cpus, self.memory, self.options = model, cpus, memory, options
        self.folder = Path(tempfile.mkdtemp(prefix="tepui-"))

    def __enter__(self) -> Self:
        self.logs.mkdir(parents=True, exist_ok=True)
        iso = self.folder / "boot.iso"
        shutil.copyfile(ISO, iso)
        image.set_options(iso, self.options, screen="text", entry="live")
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(60 * SCALE)
            rc = BOCHSRC.format(
                model=self.model,
                cpus=self.cpus,
                memory=self.memory,
                host=min(self.memory, 512),
                iso=iso,
                port=server.getsockname()[1],
                log=self.logs / "bochs.log",
            )
            (self.logs / "bochsrc").write_text(rc)
            (self.folder / "commands").write_text("c\n")
            command = [*DIES_WITH_US, "bochs", "-q", "-f", str(self.logs / "bochsrc")]
            command += ["-rc", str(self.folder / "commands")]
            (self.logs / "command").write_text(shlex.join(command) + "\n")
            with (self.logs / "bochs.out").open("wb") as log:
                self.process = subprocess.Popen(
                    command,
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={"PATH": "/usr/bin:/bin", "HOME": str(self.folder)},
                )
            try:
                stream, _ = server.accept()
            except BaseException:
                self.close()
                raise
        self.console = Console(stream, self.logs / "serial.log", self.alive)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        self.console.close()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder)

    def alive(self) -> bool:
        return self.process.poll() is None
