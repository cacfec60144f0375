# SPDX-License-Identifier: Apache-2.0
"""hostd as a process on this machine, for tests."""

import http.client
import io
import os
import re
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tepui.shell.hostd import certificate
from tepui.shell.hostd.accounts import Accounts

PASSWORD = "correct horse"
TEPUI = str(Path(sys.executable).with_name("tepui"))
#: hostd gives the host its name when it starts: here one that only hostd sees. Only root may.
OWN_NAME = ("unshare", "--uts") if os.geteuid() == 0 else ()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Hostd:
    port: int
    ssh: int
    state: Path
    output: IO[str] = field(default_factory=io.StringIO)
    log: str = ""

    def until(self, words: str) -> None:
        """Reads what hostd prints up to a line with these words."""
        for text in self.output:
            self.log += text
            if words in text:
                return
        raise AssertionError(self.log)

    @property
    def environment(self) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
        return clean | {
            "TEPUI_STATE": str(self.state),
            "TEPUI_RUN": str(self.state),
            "HOME": str(self.state / "home"),
            "TEPUI_PASSWORD": PASSWORD,
        }

    def options(self) -> tuple[str, ...]:
        shown = certificate.fingerprint(self.state / "ssl/rui.crt")
        assert f"certificate SHA-256 {shown}" in self.log
        return "--host", f"127.0.0.1:{self.port}", "--thumbprint", shown

    def tepui(self, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [TEPUI, *words], env=self.environment, input=given, capture_output=True, text=True
        )

    def openssh(
        self, *words: str, given: str = "", user: str = "root", key: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        known = self.state / "known_hosts"
        key = key or self.state / "id"
        options = f"-F none -p {self.ssh} -i {key} -o UserKnownHostsFile={known} -o LogLevel=ERROR"
        options += " -o StrictHostKeyChecking=accept-new -o BatchMode=yes -o IdentitiesOnly=yes"
        line = ["ssh", *options.split(), f"{user}@127.0.0.1", *words]
        return subprocess.run(
            line, env=self.environment, input=given, capture_output=True, text=True, timeout=60
        )


@contextmanager
def running(state: Path) -> Iterator[Hostd]:
    """hostd with root's password set, from its first word to its end."""
    (state / "home").mkdir()
    host = Hostd(free_port(), free_port(), state)
    Accounts(state / "accounts.json").set_password("root", PASSWORD)
    line = [*OWN_NAME, sys.executable, "-m", "tepui.shell.hostd.main", "--address", "127.0.0.1"]
    line += ["--audit", str(state / "audit.log"), "--name", "localhost"]
    line += ["--port", str(host.port), "--ssh-port", str(host.ssh)]
    with subprocess.Popen(
        line, env=host.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout
        host.output = process.stdout
        host.until("listening on")
        try:
            yield host
        finally:
            process.terminate()


def https(
    hostd: Hostd, context: ssl.SSLContext, source: str = "127.0.0.1"
) -> http.client.HTTPSConnection:
    """To the address: a bare machine does not know the name that the certificate is for."""
    made = http.client.HTTPSConnection("localhost", hostd.port, timeout=120)
    plain = socket.create_connection(("127.0.0.1", hostd.port), 120, (source, 0))
    made.sock = context.wrap_socket(plain, server_hostname="localhost")
    return made


def resident(hostd: Hostd) -> int:
    """KiB of its memory."""
    pid = (hostd.state / "hostd.pid").read_text().strip()
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1])


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
