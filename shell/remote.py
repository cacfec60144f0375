# SPDX-License-Identifier: Apache-2.0
"""Commands on a host elsewhere: hostd's API over TLS, the certificate pinned at first contact.

    tepui --host HOST[:PORT] [--user NAME] [--thumbprint SHA256] COMMAND...

HOST and NAME default to TEPUI_HOST and TEPUI_USER, then to "host" and "user" in
~/.config/tepui/config.json; -s/--server and -u/--username are understood as esxcli does. The
password is asked for on a terminal or taken from TEPUI_PASSWORD; an API token in TEPUI_TOKEN needs
none. Fingerprints of certificates are kept in ~/.config/tepui/hosts.json, session tokens in
~/.cache/tepui/tokens.json, both 0600. Without COMMAND it is an interactive shell of commands;
`tepui shell` opens the host's service console.
"""

import getpass
import hashlib
import hmac
import http.client
import json
import os
import ssl
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from wsproto.utilities import ProtocolError

from tepui.shell import files, tree
from tepui.shell.command import Command, FailedError, UsageError
from tepui.shell.output import Output
from tepui.shell.run import CONNECTION, FAILED, USAGE, die, execute
from tepui.shell.stream import EOT, attach
from tepui.shell.websocket import RefusedHandshakeError, WebSocket

PORT = 443
TIMEOUT = 60
SETTINGS = Path("~/.config/tepui/config.json")
HOSTS = Path("~/.config/tepui/hosts.json")
TOKENS = Path("~/.cache/tepui/tokens.json")


class RemoteError(FailedError):
    """The host cannot be reached, is not the one it was, or does not let us in."""


class Store:
    """A small JSON object in a file of its owner's alone, replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser()

    def load(self) -> dict[str, str]:
        try:
            data = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return {}
        return data if isinstance(data, dict) else {}

    def put(self, key: str, value: str | None) -> None:
        """None removes the key."""
        data = self.load()
        data.pop(key, None)
        if value is not None:
            data[key] = value
        files.replace(self.path, json.dumps(data, indent=1))


@dataclass(frozen=True, slots=True)
class Target:
    """Where commands go. thumbprint: SHA-256 of the certificate in hex, "" when not given."""

    host: str
    port: int
    user: str
    thumbprint: str

    @property
    def name(self) -> str:
        return f"{self.host}:{self.port}"


def normal(thumbprint: str) -> str:
    """A fingerprint as hexadecimal digits alone."""
    return thumbprint.replace(":", "").strip().lower()


class Session:
    """Requests to one host. Nothing secret is sent before its certificate is known."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.hosts, self.tokens = Store(HOSTS), Store(TOKENS)

    def _connect(self) -> http.client.HTTPSConnection:
        # The host's certificate is its own: the pinned fingerprint, not an authority, vouches.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        t = self.target
        connection = http.client.HTTPSConnection(t.host, t.port, timeout=TIMEOUT, context=context)
        try:
            connection.connect()
        except OSError as e:
            raise RemoteError(f"{t.name}: {e.strerror or e}") from e
        certificate = connection.sock.getpeercert(binary_form=True) or b""
        try:
            self._verify(hashlib.sha256(certificate).hexdigest())
        except BaseException:
            connection.close()
            raise
        return connection

    def _verify(self, found: str) -> None:
        name = self.target.name
        given, known = normal(self.target.thumbprint), self.hosts.load().get(name, "")
        if given:
            if not hmac.compare_digest(given, found):
                raise RemoteError(f"{name}: its certificate is {found}, not {given}")
            return
        if known and not hmac.compare_digest(known, found):
            raise RemoteError(
                f"{name}: ITS CERTIFICATE HAS CHANGED: {found}, it was {known}",
                f"if that is right, remove it from {self.hosts.path}",
            )
        if known:
            return
        if not sys.stdin.isatty():
            raise RemoteError(f"{name}: unknown certificate {found}", f"--thumbprint={found}")
        print(
            f"The host {name} is unknown. Its certificate's SHA-256 is\n  {found}", file=sys.stderr
        )
        if input("Trust it from now on (yes/no)? ").strip() != "yes":
            raise RemoteError(f"{name}: not trusted")
        self.hosts.put(name, found)

    def request(self, path: str, body: dict[str, Any], token: str = "") -> tuple[int, Any]:
        """Status and JSON answer of a POST."""
        connection = self._connect()
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            connection.request("POST", path, json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"{}")
        except (OSError, http.client.HTTPException, ValueError) as e:
            raise RemoteError(f"{self.target.name}: {e}") from e
        finally:
            connection.close()

    def token(self) -> str:
        """A token that may still be good, or ""."""
        given = os.environ.get("TEPUI_TOKEN", "")
        return given or self.tokens.load().get(f"{self.target.user}@{self.target.name}", "")

    def login(self) -> str:
        """A new token, also kept for the next command."""
        t = self.target
        if os.environ.get("TEPUI_TOKEN"):
            raise RemoteError(f"{t.name}: does not take the token in TEPUI_TOKEN")
        password = os.environ.get("TEPUI_PASSWORD")
        if password is None:
            if not sys.stdin.isatty():
                raise RemoteError("no password", "set TEPUI_PASSWORD, or run on a terminal")
            password = getpass.getpass(f"Password of {t.user} on {t.host}: ")
        status, answer = self.request("/api/session", {"account": t.user, "password": password})
        if status != http.HTTPStatus.OK:
            raise RemoteError(f"{t.name}: {answer.get('error', status)}")
        self.tokens.put(f"{t.user}@{t.name}", answer["token"])
        return str(answer["token"])

    def run(self, command: Command, arguments: dict[str, Any]) -> Output:
        """Runs a command there (run.Runner)."""
        given = {k: plain(v) for k, v in arguments.items() if v != default(command, k)}
        if command.interactive:
            self.attach(command, given)
            return Output(text="")
        path = "/api/commands/" + "/".join(command.path)
        token = self.token()
        status, answer = self.request(path, given, token) if token else (401, {})
        if status == http.HTTPStatus.UNAUTHORIZED:
            status, answer = self.request(path, given, self.login())
        if status != http.HTTPStatus.OK:
            raise FailedError(str(answer.get("error", f"status {status}")))
        return Output.from_plain(answer)

    def attach(self, command: Command, given: dict[str, Any], at_end: bytes = b"") -> int:
        """Joins this terminal to an interactive command there; its exit status."""
        query = urlencode({k: str(v) for k, v in given.items()})
        path = f"/api/consoles/{'/'.join(command.path)}?{query}"
        try:
            try:
                there = self._console(path, self.token())
            except RefusedHandshakeError as e:
                if e.status != http.HTTPStatus.UNAUTHORIZED:
                    raise
                there = self._console(path, self.login())
            return attach(there, at_end)
        except RefusedHandshakeError as e:
            raise FailedError(str(e)) from e
        except (OSError, ProtocolError) as e:
            raise RemoteError(f"{self.target.name}: {e}") from e

    def _console(self, path: str, token: str) -> WebSocket:
        sock = self._connect().sock
        sock.settimeout(None)
        return WebSocket(sock, self.target.name, path, token or "none")


def default(command: Command, name: str) -> Any:
    return next(p.default for p in command.params if p.name == name)


def plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [plain(v) for v in value]
    return str(value) if isinstance(value, StrEnum) else value


def target(argv: Sequence[str]) -> tuple[Target, list[str]]:
    """Takes the connection's options from the front; raises UsageError."""
    words, given = list(argv), {"host": "", "user": "", "thumbprint": ""}
    while words and words[0].partition("=")[0] in CONNECTION:
        name, equals, value = words.pop(0).partition("=")
        if not equals and not words:
            raise UsageError(f"Option {name} needs a value")
        given[CONNECTION[name]] = value if equals else words.pop(0)
    known = Store(SETTINGS).load()
    host = given["host"] or os.environ.get("TEPUI_HOST") or known.get("host", "")
    if not host:
        raise UsageError("no host: use --host or TEPUI_HOST")
    host, colon, port = host.rpartition(":") if host.count(":") == 1 else (host, "", "")
    if colon and not port.isdigit():
        raise UsageError(f"not a port: {port}")
    user = given["user"] or os.environ.get("TEPUI_USER") or known.get("user", "root")
    return Target(host, int(port) if colon else PORT, user, given["thumbprint"]), words


def _run(session: Session, words: Sequence[str]) -> int:
    if words[:1] == ["shell"]:
        console = tree.find(["system", "console"]).command
        assert console
        return session.attach(console, {}, EOT)
    if not words and sys.stdin.isatty():
        from tepui.shell import vmsh

        return vmsh.interactive(session.run, f"{session.target.host}> ")
    return execute(words, session.run, "tepui")


def main(argv: Sequence[str]) -> int:
    """tepui --host ...; exit status as the command's on the host. The connection's options may
    also stand behind `shell`."""
    words = list(argv)
    shell = words[:1] == ["shell"]
    try:
        where, rest = target(words[1:] if shell else words)
    except UsageError as e:
        print(f"Error: {e}", file=sys.stderr)
        return USAGE
    try:
        return _run(Session(where), ["shell", *rest] if shell else rest)
    except FailedError as e:
        return die(str(e), e.hint)
    except KeyboardInterrupt:
        return FAILED
