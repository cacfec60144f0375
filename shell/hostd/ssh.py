# SPDX-License-Identifier: Apache-2.0
"""SSH (asyncssh): the service console, or one command of it, for administrators. Off until the
configuration switches it on; asyncssh is imported only then, for it takes seconds and memory."""

import asyncio
import contextlib
import importlib
import os
from pathlib import Path
from typing import Any

from tepui.shell.audit import without_secrets
from tepui.shell.command import Role
from tepui.shell.hostd.access import RequestError, plain_address
from tepui.shell.hostd.consoles import join, type_in
from tepui.shell.hostd.listen import listen
from tepui.shell.hostd.logins import Logins
from tepui.shell.hostd.sshkeys import host_key, keys
from tepui.shell.stream import CHUNK, EOT, Shell

PORT = 22


class Ssh:
    """The service; set() starts and stops it."""

    def __init__(self, logins: Logins, state: Path, address: str, port: int = PORT) -> None:
        self.logins, self.access = logins, logins.access
        self.state, self.address, self.port = state, address, port
        self.acceptor: Any = None

    async def set(self, enabled: bool) -> None:
        """Stopping leaves open sessions alone, as it does elsewhere."""
        if enabled and self.acceptor is None:
            asyncssh = await asyncio.to_thread(importlib.import_module, "asyncssh")
            key = await asyncio.to_thread(host_key, self.state)
            self.acceptor = await asyncssh.create_server(
                self._server(asyncssh), sock=listen(self.address, self.port),
                server_host_keys=[str(key)], process_factory=self.serve, encoding=None,
                line_editor=False, login_timeout=120, keepalive_interval=30, gss_host=None,
                x11_forwarding=False, agent_forwarding=False,
            )  # fmt: skip
            print(f"hostd: SSH on port {self.port}", flush=True)
        elif not enabled and self.acceptor is not None:
            self.acceptor.close()
            self.acceptor = None
            print("hostd: SSH is off", flush=True)

    def _server(self, asyncssh: Any) -> Any:
        """The class that asyncssh asks about each connection."""
        ssh = self

        class Server(asyncssh.SSHServer):  # type: ignore[misc]
            def connection_made(self, connection: Any) -> None:
                self.connection, self.means = connection, ""
                self.source = plain_address(connection.get_extra_info("peername")[0])

            def begin_auth(self, username: str) -> bool:
                return True

            def password_auth_supported(self) -> bool:
                return True

            def public_key_auth_supported(self) -> bool:
                return True

            def auth_completed(self) -> None:
                """Only now somebody is in: a key is offered before it is used to sign."""
                user = self.connection.get_extra_info("username")
                ssh.audit("done", user, self.source, self.means)

            async def validate_password(self, username: str, password: str) -> bool:
                self.means = "password"
                with contextlib.suppress(RequestError):
                    await ssh.logins.login(username, password, self.source)
                    return ssh.may(username, self.source, "password")
                return False

            def validate_public_key(self, username: str, key: Any) -> bool:
                shown = " ".join(key.export_public_key().decode().split()[:2])
                self.means = "key"
                known = [" ".join(line.split()[:2]) for line in keys(ssh.state, username)]
                return shown in known and ssh.may(username, self.source, "key")

        return Server

    def audit(self, outcome: str, user: str, source: str, means: str, reason: str = "") -> None:
        details = {"user": user, "source": source, "means": means, "reason": reason}
        self.access.audit.record("ssh", outcome, **details)

    def may(self, user: str, source: str, means: str) -> bool:
        """Whether an account that shows or offers what is right may have the console: it is root's.
        A refusal is recorded here."""
        account = self.access.accounts.all().get(user)
        good = account is not None and account.allows(Role.ADMINISTRATOR)
        if not good:
            self.audit("refused", user, source, means, "no administrator")
        return good

    async def serve(self, process: Any) -> None:
        """One session: a shell on a terminal, or a command on pipes."""
        user, source = (process.get_extra_info(k) for k in ("username", "peername"))
        line = without_secrets(process.command or "shell")
        self.access.audit.record(
            "ssh", "session", user=user, source=plain_address(source[0]), line=line
        )
        status = 255
        with contextlib.suppress(OSError, EOFError):
            run = self._terminal if process.term_type else self._pipes
            status = await run(process)
        process.exit(status)

    async def _terminal(self, process: Any) -> int:
        command = ("-c", process.command) if process.command else ()
        stream = await asyncio.to_thread(Shell, command, process.term_type)
        stream.resize(*process.term_size[:2])

        async def send(data: bytes) -> None:
            process.stdout.write(data)
            await process.stdout.drain()

        async def typed() -> None:
            asyncssh = importlib.import_module("asyncssh")
            while True:
                try:
                    data = await process.stdin.read(CHUNK)
                except asyncssh.TerminalSizeChanged as e:
                    stream.resize(e.width, e.height)
                    continue
                except (asyncssh.BreakReceived, asyncssh.SignalReceived):
                    data = b"\x03"
                await type_in(stream, data or EOT)
                # The client's input has ended, its output has not: what the shell still prints is
                # delivered before the session closes.
                if not data:
                    await process.wait_closed()
                    return

        return await join(stream, send, typed())

    async def _pipes(self, process: Any) -> int:
        environment = {"HOME": "/root", "USER": "root", "PATH": os.environ.get("PATH", os.defpath)}
        line = ["-l", *(["-c", process.command] if process.command else [])]
        pipe = asyncio.subprocess.PIPE
        there = await asyncio.create_subprocess_exec(
            "sh", *line, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, cwd="/",
        )  # fmt: skip

        assert there.stdin
        feed = there.stdin

        async def out(source: Any, target: Any) -> None:
            while data := await source.read(CHUNK):
                target.write(data)
                await target.drain()

        async def typed() -> None:
            with contextlib.suppress(ConnectionError):
                while data := await process.stdin.read(CHUNK):
                    feed.write(data)
                    await feed.drain()
            feed.close()

        feeding = asyncio.ensure_future(typed())
        try:
            both = out(there.stdout, process.stdout), out(there.stderr, process.stderr)
            await asyncio.gather(*both)
            return await there.wait()
        finally:
            feeding.cancel()
            if there.returncode is None:  # the client has gone
                with contextlib.suppress(ProcessLookupError):
                    there.kill()
                await there.wait()
