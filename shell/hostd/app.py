# SPDX-License-Identifier: Apache-2.0
"""The JSON API, made from the command tree (Starlette).

    POST   /api/session            {"account", "password"} -> {"token", "role"}
    DELETE /api/session            the token ends
    POST   /api/commands/A/B/C     {argument: value} -> an Output as plain data
    GET    /api/openapi.json       this API, described

A token travels as `Authorization: Bearer`, never in a cookie, so other sites' pages cannot use it.
Errors are {"error": text}: 400 wrong arguments, 401 no valid token, 403 role too low, 404 no such
command, 409 the host refused, 429 locked out, 503 the vmkernel does not answer.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tepui.shell import tree
from tepui.shell.command import Command, FailedError, Param, Role, UsageError
from tepui.shell.hostd.accounts import Account, Accounts
from tepui.shell.hostd.openapi import describe_api
from tepui.shell.hostd.tokens import Tokens
from tepui.shell.link import LinkError, RefusedError
from tepui.shell.run import Context

BODY_MAX = 1 << 20
audit = logging.getLogger("tepui.audit")


class RequestError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def argument(p: Param, value: Any) -> Any:
    """A JSON value as the command's parameter wants it; raises UsageError."""
    if p.many:
        if not isinstance(value, list):
            raise UsageError(f"{p.name}: a list is needed")
        return tuple(_scalar(p, v) for v in value)
    return _scalar(p, value)


def _scalar(p: Param, value: Any) -> Any:
    kind = str if issubclass(p.kind, StrEnum) else p.kind
    if type(value) is not kind:
        raise UsageError(f"{p.name}: {kind.__name__} is needed")
    return p.convert(value) if isinstance(value, str) else value


def arguments(command: Command, body: dict[str, Any]) -> dict[str, Any]:
    """All parameters of a command from a request's body."""
    known = {p.name: p for p in command.params}
    if unknown := body.keys() - known.keys():
        raise UsageError(f"unknown argument {min(unknown)}")
    if missing := [p.name for p in command.params if p.required and p.name not in body]:
        raise UsageError(f"missing argument {missing[0]}")
    given = {name: argument(known[name], value) for name, value in body.items()}
    return {p.name: p.default for p in command.params if not p.required} | given


class Api:
    """The application's state: accounts, sessions, and how a command reaches the host."""

    def __init__(
        self,
        accounts: Accounts,
        tokens: Tokens,
        context: Callable[[], Context] = Context,
    ) -> None:
        self.accounts, self.tokens, self.context = accounts, tokens, context
        self.commands = {"/".join(c.path): c for c in tree.every() if not c.interactive}
        self.description = describe_api(list(self.commands.values()))

    async def body(self, request: Request) -> dict[str, Any]:
        raw = b""
        async for chunk in request.stream():
            raw += chunk
            if len(raw) > BODY_MAX:
                raise RequestError(413, "the request is too long")
        try:
            value = json.loads(raw or b"{}")
        except (ValueError, RecursionError):
            raise RequestError(400, "the body is no JSON") from None
        if not isinstance(value, dict):
            raise RequestError(400, "the body is no JSON object")
        return value

    def token(self, request: Request) -> str:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise RequestError(401, "log in first")
        return token

    def who(self, request: Request) -> Account:
        name = self.tokens.account(self.token(request))
        account = self.accounts.all().get(name) if name else None
        if account is None:
            raise RequestError(401, "the session has ended")
        return account

    async def login(self, request: Request) -> Response:
        body = await self.body(request)
        name, password = body.get("account"), body.get("password")
        if not isinstance(name, str) or not isinstance(password, str):
            raise RequestError(400, "account and password are needed")
        account = await asyncio.to_thread(self.accounts.check, name, password)
        if account is None:
            locked = self.accounts.locked(name)
            audit.warning("login of %r refused%s", name, ": locked" if locked else "")
            if locked:
                raise RequestError(429, "locked after too many failures: wait 15 minutes")
            raise RequestError(401, "wrong account or password")
        audit.info("login of %r", name)
        return JSONResponse({"token": self.tokens.issue(name), "role": account.role})

    async def logout(self, request: Request) -> Response:
        self.who(request)
        self.tokens.revoke(self.token(request))
        return JSONResponse({})

    async def run(self, request: Request) -> Response:
        account = self.who(request)
        command = self.commands.get(request.path_params["path"])
        if command is None:
            raise RequestError(404, "no such command")
        if not account.allows(command.role):
            audit.warning("%r may not %s", account.name, command.name)
            raise RequestError(403, f"{command.name} needs the role {command.role}")
        values = arguments(command, await self.body(request))
        if command.role is not Role.READ_ONLY:
            audit.info("%r: %s", account.name, command.name)
        # Commands wait for the vmkernel: each has its own link, so that none waits for others.
        result = await asyncio.to_thread(self._call, command, values)
        return JSONResponse(result)

    def _call(self, command: Command, values: dict[str, Any]) -> dict[str, Any]:
        return command.output(command.function(self.context(), **values)).to_plain()

    async def openapi(self, _request: Request) -> Response:
        return JSONResponse(self.description)


def _status(e: Exception) -> int:
    if isinstance(e, RequestError):
        return e.status
    return {UsageError: 400, FailedError: 409, RefusedError: 409}.get(type(e), 503)


async def failed(_request: Request, e: Exception) -> Response:
    return JSONResponse({"error": str(e)}, _status(e))


def application(api: Api) -> Starlette:
    kinds = (RequestError, UsageError, FailedError, RefusedError, LinkError)
    return Starlette(
        routes=[
            Route("/api/session", api.login, methods=["POST"]),
            Route("/api/session", api.logout, methods=["DELETE"]),
            Route("/api/commands/{path:path}", api.run, methods=["POST"]),
            Route("/api/openapi.json", api.openapi, methods=["GET"]),
        ],
        exception_handlers=dict.fromkeys(kinds, failed),
    )
