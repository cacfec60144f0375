# SPDX-License-Identifier: Apache-2.0
"""The JSON API, made from the command tree (Starlette).

    POST   /api/session            {"account", "password"} -> {"token", "role"}
    DELETE /api/session            the token ends
    POST   /api/commands/A/B/C     {argument: value} -> an Output as plain data
    GET    /api/consoles/A/B?x=y   WebSocket of an interactive command (consoles.py)
    GET    /api/openapi.json       this API, described

A token travels as `Authorization: Bearer`, never in a cookie, so other sites' pages cannot use it.
Errors are {"error": text}: 400 wrong arguments, 401 no valid token, 403 role too low or another
site's page, 404 no such command, 409 the host refused, 429 locked out, 503 the vmkernel does not
answer.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute

from tepui.shell import tree
from tepui.shell.client import Client
from tepui.shell.command import Command, FailedError, Param, UsageError
from tepui.shell.hostd.access import Access, OwnPagesOnly, Requester, RequestError
from tepui.shell.hostd.accounts import Account
from tepui.shell.hostd.consoles import Consoles
from tepui.shell.hostd.logins import Logins
from tepui.shell.hostd.openapi import describe_api
from tepui.shell.link import LinkError, RefusedError
from tepui.shell.run import Context, invoke

#: Bytes of a request's body: of a command, and of a login, which anybody may send.
BODY_MAX, LOGIN_MAX = 1 << 20, 4 << 10


def argument(p: Param, value: Any) -> Any:
    """A JSON value as the command's parameter wants it; raises UsageError."""
    if p.many:
        if not isinstance(value, list):
            raise UsageError(f"{p.name}: a list is needed")
        return tuple(_scalar(p, v) for v in value)
    return _scalar(p, value)


def _scalar(p: Param, value: Any) -> Any:
    kind = p.kind if p.kind in (int, bool) else str
    if type(value) is not kind:
        raise UsageError(f"{p.name}: {kind.__name__} is needed")
    if not isinstance(value, str):
        return value
    if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
        raise UsageError(f"{p.name}: a character that no text has")
    return p.convert(value)


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
    """The application's state: who may come in, and how a command reaches the host."""

    def __init__(self, access: Access, client: Callable[[], Client] = Client) -> None:
        self.access, self.client = access, client
        self.logins = Logins(access)
        self.commands = {"/".join(c.path): c for c in tree.every() if not c.interactive}
        interactive = [c for c in tree.every() if c.interactive]
        self.consoles = Consoles(access, self.context, interactive)
        self.description = describe_api(list(self.commands.values()), interactive)

    def context(self, account: Account, source: str) -> Context:
        return Context(self.client(), account.name, source, self.access.audit)

    async def body(self, request: Request, most: int = BODY_MAX) -> dict[str, Any]:
        raw = b""
        async for chunk in request.stream():
            raw += chunk
            if len(raw) > most:
                raise RequestError(413, "the request is too long")
        try:
            value = json.loads(raw or b"{}")
        except (ValueError, RecursionError):
            raise RequestError(400, "the body is no JSON") from None
        if not isinstance(value, dict):
            raise RequestError(400, "the body is no JSON object")
        return value

    async def login(self, request: Request) -> Response:
        body = await self.body(request, LOGIN_MAX)
        name, password = body.get("account"), body.get("password")
        if not isinstance(name, str) or not isinstance(password, str) or len(body) != 2:
            raise RequestError(400, "account and password are needed, as text")
        requester = Requester.of(request.scope)
        account = await self.logins.login(name, password, requester.source)
        requester.known_as(account)
        token = self.access.sessions.issue(account.name, account.salt)
        return JSONResponse({"token": token, "role": account.role})

    async def logout(self, request: Request) -> Response:
        requester = Requester.of(request.scope)
        account = self.access.who(requester)
        self.access.sessions.revoke(requester.token)
        self.access.audit.record("logout", "done", user=account.name, source=requester.source)
        return JSONResponse({})

    async def run(self, request: Request) -> Response:
        requester = Requester.of(request.scope)
        account = self.access.who(requester)
        command = self.commands.get(request.path_params["path"])
        if command is None:
            raise RequestError(404, "no such command")
        self.access.allow(account, command, requester.source)
        values = arguments(command, await self.body(request))
        context = self.context(account, requester.source)
        # Commands wait for the vmkernel: each has its own link, so that none waits for others.
        result = await asyncio.to_thread(call, command, context, values)
        return JSONResponse(result)

    async def openapi(self, _request: Request) -> Response:
        return JSONResponse(self.description)


def call(command: Command, context: Context, values: dict[str, Any]) -> dict[str, Any]:
    try:
        return command.output(invoke(command, context, values)).to_plain()
    finally:
        context.close()


def _status(e: Exception) -> int:
    if isinstance(e, RequestError):
        return e.status
    return {UsageError: 400, FailedError: 409, RefusedError: 409}.get(type(e), 503)


async def failed(_request: Request, e: Exception) -> Response:
    return JSONResponse({"error": str(e)}, _status(e))


async def no_route(_request: Request, e: Exception) -> Response:
    assert isinstance(e, HTTPException)
    return JSONResponse({"error": e.detail}, e.status_code, e.headers)


def application(api: Api) -> Starlette:
    kinds = (RequestError, UsageError, FailedError, RefusedError, LinkError)
    return Starlette(
        routes=[
            Route("/api/session", api.login, methods=["POST"]),
            Route("/api/session", api.logout, methods=["DELETE"]),
            Route("/api/commands/{path:path}", api.run, methods=["POST"]),
            WebSocketRoute("/api/consoles/{path:path}", api.consoles.serve),
            Route("/api/openapi.json", api.openapi, methods=["GET"]),
        ],
        middleware=[Middleware(OwnPagesOnly, api.access.audit)],
        exception_handlers={HTTPException: no_route, **dict.fromkeys(kinds, failed)},
    )
