# SPDX-License-Identifier: Apache-2.0
"""The API against its own description, by schemathesis: whatever is sent, each answer is one that
the description names, and no answer is a failure of the server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import given, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tepui.shell.audit import Audit
from tepui.shell.client import Client
from tepui.shell.command import Role
from tepui.shell.config import change
from tepui.shell.hostd.access import Access
from tepui.shell.hostd.accounts import Accounts
from tepui.shell.hostd.app import Api, application
from tepui.shell.hostd.tokens import ApiTokens, Tokens
from tepui.shell.link import RefusedError
from tepui.shell.vm import service
from tests.unit.test_hostd import plain_api

CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


class Refusing:
    """A link whose vmkernel refuses every operation: what is tested is the way there."""

    def request(self, operation: int, payload: bytes = b"") -> Any:
        raise RefusedError(1, "not here")

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("openapi")


@pytest.fixture(scope="module")
def served(state: Path) -> Iterator[tuple[Any, str]]:
    """The description, and a token of an administrator."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEPUI_STATE", str(state))
        patch.setenv("TEPUI_RUN", str(state))
        patch.setattr(change, "set_hostname", lambda name: None)
        patch.setattr(service, "WAIT", 0)  # nobody keeps VMs here
        accounts = Accounts(state / "accounts.json")
        accounts.set_password("root", "Correct horse")
        lasting = ApiTokens(state / "tokens.json")
        token = lasting.issue("fuzz", "root", Role.ADMINISTRATOR, 0)
        access = Access(accounts, Tokens(), lasting, Audit(state / "audit.log"))
        api = Api(access, lambda: Client(Refusing()))  # type: ignore[arg-type]
        yield schemathesis.openapi.from_asgi("/api/openapi.json", application(api)), token


OPERATIONS = sorted(
    (path, method)
    for path, item in plain_api().description["paths"].items()
    for method in item
    if method != "get"
)


@pytest.mark.slow
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_answers_are_as_described(served: tuple[Any, str], path: str, method: str) -> None:
    schema, token = served
    headers = {"Authorization": f"Bearer {token}"} if "/commands/" in path else {}

    @given(case=schema[path][method].as_strategy())
    @settings(max_examples=12)
    def check(case: Any) -> None:
        case.call_and_validate(headers=headers, checks=CHECKS)

    check()
