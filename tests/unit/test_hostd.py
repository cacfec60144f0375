# SPDX-License-Identifier: Apache-2.0
"""hostd: accounts, sessions, roles, refusals, the API over the command tree."""

import asyncio
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tepui.iso import kickstart
from tepui.iso.kickstart import KickstartError
from tepui.shell.audit import Audit
from tepui.shell.command import FailedError, Role, UsageError
from tepui.shell.hostd import main
from tepui.shell.hostd.access import Access
from tepui.shell.hostd.accounts import (
    LOCK_SECONDS,
    AccountError,
    Accounts,
    booted_from_disk,
)
from tepui.shell.hostd.app import Api, application, arguments
from tepui.shell.hostd.tokens import IDLE_SECONDS, LIFE_SECONDS, SESSIONS_MAX, ApiTokens, Tokens
from tepui.shell.password import password_fault


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    store = Accounts(tmp_path / "accounts.json", Clock())
    store.set_password("root", "Correct horse")
    store.add("eve", Role.READ_ONLY, "Battery staple")
    return store


def test_passwords(accounts: Accounts) -> None:
    assert accounts.check("root", "Correct horse") == accounts.all()["root"]
    assert accounts.check("root", "wrong") is None and accounts.check("nobody", "x") is None
    for name, password, problem in (
        ("Root", "long enough", "lower-case"),
        ("root", "long enough", "exists"),
        ("bob", "short", "7 to 40 characters"),
    ):
        with pytest.raises(AccountError, match=problem):
            accounts.add(name, Role.OPERATOR, password)
    with pytest.raises(AccountError, match="last administrator"):
        accounts.remove("root")


def test_the_store_is_for_its_owner_only(accounts: Accounts, tmp_path: Path) -> None:
    path = tmp_path / "accounts.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert "Correct horse" not in path.read_text()


def test_an_account_without_a_password_does_not_log_in(tmp_path: Path) -> None:
    assert Accounts(tmp_path / "none.json").check("root", "") is None


def test_a_crypt_hash_is_a_password(tmp_path: Path) -> None:
    """The first example of Drepper's "Unix crypt using SHA-256 and SHA-512"."""
    accounts = Accounts(tmp_path / "accounts.json")
    key = "svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"
    accounts.set_hash("root", f"$6$saltstring${key}")
    assert accounts.check("root", "Hello world!") and not accounts.check("root", "Hello world")


def test_five_failures_lock_for_fifteen_minutes(tmp_path: Path) -> None:
    clock = Clock()
    accounts = Accounts(tmp_path / "a.json", clock)
    accounts.set_password("root", "Correct horse")
    for _ in range(5):
        assert not accounts.locked("root") and accounts.check("root", "wrong") is None
    assert accounts.locked("root") and accounts.check("root", "Correct horse") is None
    clock.now += LOCK_SECONDS
    assert accounts.check("root", "Correct horse")


def test_a_guesser_locks_out_nobody_elsewhere(accounts: Accounts) -> None:
    """Three calls of ssh without the password locked root out of everything."""
    for _ in range(9):
        assert accounts.check("root", "wrong", "ssh 10.0.0.9") is None
    assert accounts.locked("root", "ssh 10.0.0.9")
    assert accounts.check("root", "Correct horse", "ssh 10.0.0.9") is None
    for place in ("api 10.0.0.9", "ssh 10.0.0.1", ""):
        assert accounts.check("root", "Correct horse", place)


def test_no_password_is_no_guess(accounts: Accounts) -> None:
    for _ in range(9):
        assert accounts.check("root", "") is None
    assert accounts.check("root", "Correct horse")


def test_places_are_bounded(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tepui.shell.hostd.accounts.PLACES_MAX", 3)
    for n in range(8):
        assert accounts.check("root", "wrong", f"api 10.0.0.{n}") is None
    assert len(accounts._failures) == 3


def test_missing_accounts_of_an_installed_host_let_nobody_in(tmp_path: Path) -> None:
    """Its own data is not mounted: root is not without a password then."""
    options = tmp_path / "cmdline"
    for text, installed in (("quiet bootbank=1234-5 x", True), ("xbootbank=1", False), ("", False)):
        options.write_text(text)
        assert booted_from_disk(options) is installed
    lost = Accounts(tmp_path / "none.json", installed=lambda: True)
    root = lost.all()["root"]
    assert root.key and lost.check("root", "") is None and lost.check("root", root.key) is None


@pytest.mark.parametrize("password", ["Abc-12", "abcdefg", "abcdef1", "ABCDEF1", "x" * 41 + "A1"])
def test_one_rule_for_passwords(password: str, accounts: Accounts) -> None:
    fault = password_fault(password)
    assert fault
    with pytest.raises(AccountError, match=fault):
        accounts.set_password("eve", password)
    with pytest.raises(KickstartError, match=fault):
        kickstart.parse(written(accounts, f"vmaccepteula\nrootpw {password}\n"))


def written(accounts: Accounts, text: str) -> Path:
    path = accounts._path.with_name("ks.cfg")
    path.write_text(text)
    return path


def test_what_is_made_at_the_same_time_is_there(tmp_path: Path) -> None:
    """By threads of hostd, or by hostd and the console: each opens the files by itself."""

    def make(name: str) -> None:
        Accounts(tmp_path / "a.json").add(name, Role.OPERATOR, "Correct horse")
        ApiTokens(tmp_path / "t.json").issue(name, name, Role.OPERATOR, 0)

    names = [f"a{n}" for n in range(16)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(make, names))
    assert set(ApiTokens(tmp_path / "t.json").all()) == set(names)
    assert set(Accounts(tmp_path / "a.json").all()) == {"root", *names}


def test_a_new_password_ends_the_lock(accounts: Accounts, tmp_path: Path) -> None:
    for _ in range(5):
        assert accounts.check("root", "wrong") is None
    assert accounts.locked("root")
    Accounts(tmp_path / "accounts.json").set_password("root", "Another horse")  # by the console
    assert not accounts.locked("root") and accounts.check("root", "Another horse")


def test_tokens_end() -> None:
    clock = Clock()
    tokens = Tokens(clock)
    token = tokens.issue("root", "salt")
    assert tokens.find(token) and tokens.find(token + "x") is None
    while clock.now < LIFE_SECONDS - IDLE_SECONDS:
        clock.now += IDLE_SECONDS - 1
        assert tokens.find(token)
    clock.now = LIFE_SECONDS
    assert tokens.find(token) is None
    first = tokens.issue("a", "")
    clock.now += IDLE_SECONDS
    assert tokens.find(first) is None
    many = [tokens.issue("a", "") for _ in range(SESSIONS_MAX + 1)]
    assert sum(tokens.find(t) is not None for t in many) == SESSIONS_MAX


class Host:
    """What a Context gives to commands here: nothing answers but the clock."""

    def info(self) -> None:
        raise FailedError("no clock")

    def close(self) -> None:
        pass


class Caller:
    """Calls the ASGI application as a server would."""

    def __init__(self, api: Api) -> None:
        self.api, self.app = api, application(api)
        self.token = ""

    def __call__(
        self, method: str, path: str, body: object = None, raw: bytes = b"", **headers: Any
    ) -> Any:
        sent = raw or (json.dumps(body).encode() if body is not None else b"")
        shown = {"host": "tepui", **{k.replace("_", "-"): v for k, v in headers.items()}}
        if self.token:
            shown["authorization"] = f"Bearer {self.token}"
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(k.encode(), v.encode()) for k, v in shown.items()],
            "client": ("192.0.2.7", 4321),
        }
        answer: dict[str, Any] = {"body": b""}

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": sent, "more_body": False}

        async def send(message: Any) -> None:
            answer["status"] = message.get("status", answer.get("status"))
            answer["body"] += message.get("body", b"")

        asyncio.run(self.app(scope, receive, send))
        return answer["status"], json.loads(answer["body"])

    def login(self, account: str, password: str) -> None:
        status, reply = self("POST", "/api/session", {"account": account, "password": password})
        assert status == 200
        self.token = reply["token"]

    def logged(self) -> str:
        """The audit log's last line, without its time."""
        return self.api.access.audit.path.read_text().splitlines()[-1].partition(" ")[2]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def call(
    accounts: Accounts, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Caller:
    monkeypatch.setenv("TEPUI_STATE", str(tmp_path))
    tokens = ApiTokens(tmp_path / "tokens.json", clock)
    access = Access(accounts, Tokens(clock), tokens, Audit(tmp_path / "audit.log"))
    return Caller(Api(access, lambda: Host()))  # type: ignore[arg-type,return-value]


def plain_api() -> Api:
    nothing = Path("/nonexistent/x")
    return Api(Access(Accounts(nothing), Tokens(), ApiTokens(nothing), Audit(nothing)))


COMMANDS = "/api/commands/"
TIME = COMMANDS + "system/time/get"
WRONG = {"account": "root", "password": "nonsense"}
FROM = 'source="192.0.2.7"'


def test_who_may_do_what(call: Caller) -> None:
    assert call("POST", TIME)[0] == 401
    call.login("eve", "Battery staple")
    assert call.logged() == f'login done user="eve" {FROM}'
    assert call("POST", COMMANDS + "no/such/command")[0] == 404
    assert call("POST", TIME, raw=b"[")[0] == 400
    assert call("POST", TIME, {"what": 1})[0] == 400
    assert call("POST", TIME, raw=b"{" + b" " * (1 << 20) + b"}")[0] == 413
    assert call("GET", TIME)[0] == 405 and call("GET", "/api/nothing")[0] == 404
    assert call("DELETE", "/api/session")[0] == 200
    assert call("POST", TIME)[0] == 401
    call.login("root", "Correct horse")
    assert call("POST", TIME) == (409, {"error": "no clock"})


def test_a_wrong_password_is_refused_and_logged(call: Caller) -> None:
    assert call("POST", "/api/session", WRONG)[0] == 401
    assert call.logged() == f'login refused user="root" {FROM} reason="wrong password"'


def test_a_locked_account_is_refused_and_logged(call: Caller, clock: Clock) -> None:
    for _ in range(5):
        call("POST", "/api/session", WRONG)
    right = WRONG | {"password": "Correct horse"}
    assert call("POST", "/api/session", right)[0] == 429
    assert call.logged() == f'login refused user="root" {FROM} reason="locked"'


def test_an_expired_token_is_refused_and_logged(call: Caller, clock: Clock) -> None:
    call.login("root", "Correct horse")
    clock.now += IDLE_SECONDS
    assert call("POST", TIME)[0] == 401
    assert call.logged() == f'session refused {FROM} reason="no valid token"'


def test_a_new_password_ends_sessions(call: Caller, accounts: Accounts) -> None:
    call.login("eve", "Battery staple")
    accounts.set_password("eve", "Stapled battery")
    assert call("POST", TIME)[0] == 401


def test_a_readers_write_is_refused_and_logged(call: Caller) -> None:
    call.login("eve", "Battery staple")
    for command in call.api.commands.values():
        if command.role is not Role.READ_ONLY:
            assert call("POST", COMMANDS + "/".join(command.path), {})[0] == 403
            line, reason = f'line="{command.name}"', f'reason="needs {command.role}"'
            assert call.logged() == f'command refused user="eve" {FROM} {line} {reason}'


@pytest.mark.parametrize(
    "headers", [{"origin": "https://evil.example"}, {"sec_fetch_site": "cross-site"}]
)
def test_a_cross_site_request_is_refused_and_logged(call: Caller, headers: dict[str, Any]) -> None:
    call.login("root", "Correct horse")
    assert call("POST", TIME, {}, **headers)[0] == 403
    site = next(iter(headers.values()))
    assert call.logged() == f'request refused {FROM} reason="cross-site: {site}"'
    assert call("GET", "/api/openapi.json", origin="https://tepui")[0] == 200


def test_api_tokens(call: Caller, clock: Clock) -> None:
    tokens = call.api.access.api_tokens
    call.token = tokens.issue("backup", "root", Role.READ_ONLY, 1)
    power = COMMANDS + "system/shutdown/poweroff"
    assert call("POST", power, {"reason": "x"})[0] == 403  # root's, but only for reading
    clock.now += 86400
    assert call("POST", power)[0] == 401
    call.token = tokens.issue("deploy", "eve", Role.ADMINISTRATOR, 0)
    assert call("POST", power)[0] == 403  # no more than eve herself may
    tokens.remove("deploy")
    assert call("POST", power)[0] == 401


def test_secrets_stay_out_of_the_log(call: Caller, tmp_path: Path) -> None:
    call.login("root", "Correct horse")
    body = {"name": "x\ny", "password": "new secret", "role": "operator"}
    assert call("POST", COMMANDS + "system/account/add", body)[0] == 409
    line = r"system account add --id=x\ny --password=*** --role=operator"
    assert call.logged() == f'command failed user="root" {FROM} line="{line}"'


def test_every_command_is_described(call: Caller) -> None:
    status, api = call("GET", "/api/openapi.json")
    assert status == 200 and api["openapi"].startswith("3.1")
    for path, item in api["paths"].items():
        for operation in item.values():
            good = "101" if "/consoles/" in path else "200"
            assert operation["operationId"] and good in operation["responses"], path
    assert COMMANDS + "system/version/get" in api["paths"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.data())
def test_any_body_is_taken_or_refused(data: st.DataObject) -> None:
    commands = list(plain_api().commands.values())
    command = data.draw(st.sampled_from(commands))
    names = st.sampled_from([p.name for p in command.params] or ["x"]) | st.text()
    body = data.draw(st.dictionaries(names, JSON, max_size=4))
    try:
        values = arguments(command, body)
    except UsageError:
        return
    assert set(values) == {p.name for p in command.params}


def test_a_full_log_begins_anew(tmp_path: Path) -> None:
    path, kept = tmp_path / "hostd.log", [os.dup(1), os.dup(2)]
    path.write_text("as init made it\n")
    try:
        with path.open("a") as log:
            os.dup2(log.fileno(), 1)
        main.bound_log(path, 16)
        os.write(1, b"full\n")
        main.bound_log(path, 16)
        os.write(1, b"out ")
        os.write(2, b"error")
        main.bound_log(tmp_path / "another", 0)
    finally:
        for number, descriptor in enumerate(kept, 1):
            os.dup2(descriptor, number)
            os.close(descriptor)
    assert path.read_text() == "out error"
    assert (tmp_path / "hostd.log.1").read_text() == "as init made it\nfull\n"
