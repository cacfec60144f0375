# SPDX-License-Identifier: Apache-2.0
"""Commands on a host elsewhere: hostd's API over TLS, the certificate pinned at first contact.

    tepui --host HOST[:PORT] [--user NAME] [--thumbprint SHA256] COMMAND...

HOST and NAME default to TEPUI_HOST and TEPUI_USER; -s/--server and -u/--username are understood as
esxcli does. The password is asked for on a terminal or taken from TEPUI_PASSWORD. The certificate's
fingerprints are kept in ~/.config/tepui/hosts.json, tokens in ~/.cache/tepui/tokens.json (0600).
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

from tepui.shell.command import Command, FailedError, UsageError
from tepui.shell.output import Output
from tepui.shell.run import FAILED, USAGE, die, execute

PORT = 443
TIMEOUT = 60
HOSTS = Path("~/.config/tepui/hosts.json")
TOKENS = Path("~/.cache/tepui/tokens.json")
OPTIONS = {
    "--host": "host", "-s": "host", "--server": "host",
    "--user": "user", "-u": "user", "--username": "user", "--thumbprint": "thumbprint",
}  # fmt: skip


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
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = self.path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            json.dump(data, stream, indent=1)
        fresh.replace(self.path)


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

    def login(self) -> str:
        """A new token, also kept for the next command."""
        t = self.target
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
        if command.interactive:
            raise FailedError(f"{command.name} needs the host's own console")
        body = {k: plain(v) for k, v in arguments.items() if v != default(command, k)}
        path = "/api/commands/" + "/".join(command.path)
        token = self.tokens.load().get(f"{self.target.user}@{self.target.name}", "")
        status, answer = self.request(path, body, token) if token else (401, {})
        if status == http.HTTPStatus.UNAUTHORIZED:
            status, answer = self.request(path, body, self.login())
        if status != http.HTTPStatus.OK:
            raise FailedError(str(answer.get("error", f"status {status}")))
        return Output.from_plain(answer)


def default(command: Command, name: str) -> Any:
    return next(p.default for p in command.params if p.name == name)


def plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [plain(v) for v in value]
    return str(value) if isinstance(value, StrEnum) else value


def target(argv: Sequence[str]) -> tuple[Target, list[str]]:
    """Takes the connection's options from the front; raises UsageError."""
    words, given = list(argv), {"host": "", "user": "", "thumbprint": ""}
    while words and words[0].partition("=")[0] in OPTIONS:
        name, equals, value = words.pop(0).partition("=")
        if not equals and not words:
            raise UsageError(f"Option {name} needs a value")
        given[OPTIONS[name]] = value if equals else words.pop(0)
    host = given["host"] or os.environ.get("TEPUI_HOST", "")
    if not host:
        raise UsageError("no host: use --host or TEPUI_HOST")
    host, colon, port = host.rpartition(":") if host.count(":") == 1 else (host, "", "")
    if colon and not port.isdigit():
        raise UsageError(f"not a port: {port}")
    user = given["user"] or os.environ.get("TEPUI_USER", "root")
    return Target(host, int(port) if colon else PORT, user, given["thumbprint"]), words


def main(argv: Sequence[str]) -> int:
    """tepui --host ...; exit status as the command's on the host."""
    try:
        where, words = target(argv)
    except UsageError as e:
        print(f"Error: {e}", file=sys.stderr)
        return USAGE
    try:
        return execute(words, Session(where).run, "tepui")
    except FailedError as e:
        return die(str(e), e.hint)
    except KeyboardInterrupt:
        return FAILED
