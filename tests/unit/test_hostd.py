# SPDX-License-Identifier: Apache-2.0
"""hostd: accounts, sessions, roles, the API over the command tree, and HTTPS itself."""

import http.client
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tepui.shell.command import FailedError, Role, UsageError
from tepui.shell.hostd import certificate
from tepui.shell.hostd.accounts import LOCK_SECONDS, AccountError, Accounts
from tepui.shell.hostd.app import Api, application, arguments
from tepui.shell.hostd.tokens import IDLE_SECONDS, LIFE_SECONDS, SESSIONS_MAX, Tokens
from tepui.shell.run import Context


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    store = Accounts(tmp_path / "accounts.json", Clock())
    store.set_password("root", "correct horse")
    store.add("eve", Role.READ_ONLY, "battery staple")
    return store


def test_passwords(accounts: Accounts) -> None:
    assert accounts.check("root", "correct horse") == accounts.all()["root"]
    assert accounts.check("root", "wrong") is None and accounts.check("nobody", "x") is None
    for name, password, problem in (
        ("Root", "long enough", "lower-case"),
        ("root", "long enough", "exists"),
        ("bob", "short", "7 characters"),
    ):
        with pytest.raises(AccountError, match=problem):
            accounts.add(name, Role.OPERATOR, password)
    with pytest.raises(AccountError, match="last administrator"):
        accounts.remove("root")


def test_the_store_is_for_its_owner_only(accounts: Accounts, tmp_path: Path) -> None:
    path = tmp_path / "accounts.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert "correct horse" not in path.read_text()


def test_an_account_without_a_password_does_not_log_in(tmp_path: Path) -> None:
    assert Accounts(tmp_path / "none.json").check("root", "") is None


def test_five_failures_lock_for_fifteen_minutes(tmp_path: Path) -> None:
    clock = Clock()
    accounts = Accounts(tmp_path / "a.json", clock)
    accounts.set_password("root", "correct horse")
    for _ in range(5):
        assert not accounts.locked("root") and accounts.check("root", "wrong") is None
    assert accounts.locked("root") and accounts.check("root", "correct horse") is None
    clock.now += LOCK_SECONDS
    assert accounts.check("root", "correct horse")


def test_tokens_end() -> None:
    clock = Clock()
    tokens = Tokens(clock)
    token = tokens.issue("root")
    assert tokens.account(token) == "root" and tokens.account(token + "x") is None
    while clock.now < LIFE_SECONDS - IDLE_SECONDS:
        clock.now += IDLE_SECONDS - 1
        assert tokens.account(token) == "root"
    clock.now = LIFE_SECONDS
    assert tokens.account(token) is None
    first = tokens.issue("a")
    clock.now += IDLE_SECONDS
    assert tokens.account(first) is None
    many = [tokens.issue("a") for _ in range(SESSIONS_MAX + 1)]
    assert sum(tokens.account(t) is not None for t in many) == SESSIONS_MAX
    tokens.revoke_account("a")
    assert not any(tokens.account(t) for t in many)


class Host:
    """What a Context gives to commands here: nothing answers but the clock."""

    def set_time(self, realtime_ns: int) -> None:
        raise FailedError("no clock")


class Caller:
    """Calls the ASGI application as a server would."""

    def __init__(self, api: Api) -> None:
        self.app = application(api)
        self.token = ""

    def __call__(self, method: str, path: str, body: object = None, raw: bytes = b"") -> Any:
        import asyncio

        sent = raw or (json.dumps(body).encode() if body is not None else b"")
        headers = [(b"authorization", b"Bearer " + self.token.encode())] if self.token else []
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": headers,
        }
        answer: dict[str, Any] = {"body": b""}

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": sent, "more_body": False}

        async def send(message: Any) -> None:
            answer["status"] = message.get("status", answer.get("status"))
            answer["body"] += message.get("body", b"")

        asyncio.run(self.app(scope, receive, send))
        return answer["status"], json.loads(answer["body"]) if answer["body"][:1] in b"{[" else None

    def login(self, account: str, password: str) -> None:
        status, reply = self("POST", "/api/session", {"account": account, "password": password})
        assert status == 200
        self.token = reply["token"]


@pytest.fixture
def call(accounts: Accounts) -> Caller:
    return Caller(Api(accounts, Tokens(Clock()), lambda: Context(Host())))  # type: ignore[arg-type]


COMMANDS = "/api/commands/"


def test_who_may_do_what(call: Caller) -> None:
    assert call("POST", COMMANDS + "system/time/get")[0] == 401
    login = {"account": "root", "password": "nonsense"}
    assert call("POST", "/api/session", login)[0] == 401
    call.login("eve", "battery staple")
    administrative = next(
        c for c in Api(Accounts(Path("/x")), Tokens()).commands.values() if c.role != Role.READ_ONLY
    )
    assert call("POST", COMMANDS + "/".join(administrative.path))[0] == 403
    assert call("POST", COMMANDS + "no/such/command")[0] == 404
    assert call("POST", COMMANDS + "system/time/get", raw=b"[")[0] == 400
    assert call("POST", COMMANDS + "system/time/get", {"what": 1})[0] == 400
    assert call("POST", COMMANDS + "system/time/get", raw=b"{" + b" " * (1 << 20) + b"}")[0] == 413
    assert call("DELETE", "/api/session")[0] == 200
    assert call("POST", COMMANDS + "system/time/get")[0] == 401
    for _ in range(5):
        call("POST", "/api/session", login)
    assert call("POST", "/api/session", login)[0] == 429


def test_every_command_is_described(call: Caller) -> None:
    status, api = call("GET", "/api/openapi.json")
    assert status == 200 and api["openapi"].startswith("3.1")
    for path, item in api["paths"].items():
        for operation in item.values():
            assert operation["operationId"] and "200" in operation["responses"], path
    assert COMMANDS + "system/version/get" in api["paths"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.data())
def test_any_body_is_taken_or_refused(data: st.DataObject) -> None:
    commands = list(Api(Accounts(Path("/x")), Tokens()).commands.values())
    command = data.draw(st.sampled_from(commands))
    names = st.sampled_from([p.name for p in command.params] or ["x"]) | st.text()
    body = data.draw(st.dictionaries(names, JSON, max_size=4))
    try:
        values = arguments(command, body)
    except UsageError:
        return
    assert set(values) == {p.name for p in command.params}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[int, str, Path]]:
    """A running hostd: port, the fingerprint that it shows, its certificate."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    Accounts(tmp_path / "accounts.json").set_password("root", "correct horse")
    line = [sys.executable, "-m", "tepui.shell.hostd.main", "--state", str(tmp_path)]
    line += ["--address", "127.0.0.1", "--port", str(port), "--name", "localhost"]
    environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    process = subprocess.Popen(
        line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout
    shown = ""
    for text in process.stdout:
        if "SHA-256" in text:
            shown = text.split()[-1]
        if "listening on" in text:
            break
    yield port, shown, tmp_path / "ssl/rui.crt"
    process.terminate()
    process.wait(30)
    process.stdout.close()


def test_https_with_the_certificate_of_the_first_boot(server: tuple[int, str, Path]) -> None:
    port, shown, path = server
    assert shown == certificate.fingerprint(path) and len(shown) == 95
    context = ssl.create_default_context(cafile=str(path))
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=30)
    body = json.dumps({"account": "root", "password": "correct horse"})
    connection.request("POST", "/api/session", body)
    token = json.load(connection.getresponse())["token"]
    headers = {"Authorization": f"Bearer {token}"}
    connection.request("POST", COMMANDS + "system/version/get", "{}", headers)
    answer = connection.getresponse()
    assert answer.status == 503 and "error" in json.load(answer)  # no vmkernel here
    connection.close()
    assert (path.parent / "rui.key").stat().st_mode & 0o777 == 0o600
