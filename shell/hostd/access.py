# SPDX-License-Identifier: Apache-2.0
"""Who asks: passwords, session tokens, API tokens, and pages of other sites. Each refusal is in the
audit log with its reason."""

from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from tepui.shell.audit import Audit
from tepui.shell.command import Command
from tepui.shell.hostd.accounts import ORDER, Account, Accounts
from tepui.shell.hostd.gate import Connection
from tepui.shell.hostd.tokens import ApiTokens, Tokens


class RequestError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def plain_address(text: str) -> str:
    """IPv4 as such, where a socket of both families shows it mapped (RFC 4291, 2.5.5.2)."""
    return text.removeprefix("::ffff:")


@dataclass(frozen=True, slots=True)
class Requester:
    """Where a request comes from, what it shows, and its connection, where the gate made one."""

    source: str
    token: str
    connection: Connection | None = None

    @classmethod
    def of(cls, scope: Scope) -> "Requester":
        scheme, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
        client = scope.get("client")
        return cls(
            plain_address(client[0]) if client else "",
            token if scheme.lower() == "bearer" else "",
            scope.get("state", {}).get("connection"),
        )

    def known_as(self, account: Account) -> None:
        """From now on its connection is one of a client that has logged in."""
        if self.connection:
            self.connection.account = account.name


class Access:
    """The accounts and all that stands for one."""

    def __init__(
        self, accounts: Accounts, sessions: Tokens, api_tokens: ApiTokens, audit: Audit
    ) -> None:
        self.accounts, self.sessions, self.api_tokens = accounts, sessions, api_tokens
        self.audit = audit

    def login(self, name: str, password: str, source: str) -> Account:
        """Slow, as scrypt is. Raises RequestError."""
        account = self.accounts.check(name, password)
        if account:
            self.audit.record("login", "done", user=name, source=source)
            return account
        locked = self.accounts.locked(name)
        reason = "locked" if locked else "wrong password"
        self.audit.record("login", "refused", user=name, source=source, reason=reason)
        if locked:
            raise RequestError(429, "locked after too many failures: wait 15 minutes")
        raise RequestError(401, "wrong account or password")

    def who(self, requester: Requester) -> Account:
        """The account that a token stands for, with the token's role. Raises RequestError."""
        if not requester.token:
            raise RequestError(401, "log in first")
        token = requester.token
        session, lasting = self.sessions.find(token), self.api_tokens.find(token)
        found = session or lasting
        account = self.accounts.all().get(found.account) if found else None
        if account is None or (session and session.mark != account.salt):
            reason = "no valid token"
            self.audit.record("session", "refused", source=requester.source, reason=reason)
            raise RequestError(401, "the session has ended")
        requester.known_as(account)
        limit = lasting.role if lasting else account.role
        return replace(account, role=min(account.role, limit, key=ORDER.index))

    def allow(self, account: Account, command: Command, source: str) -> None:
        if not account.allows(command.role):
            who = {"user": account.name, "source": source, "line": command.name}
            self.audit.record("command", "refused", **who, reason=f"needs {command.role}")
            raise RequestError(403, f"{command.name} needs the role {command.role}")


def foreign(headers: Headers) -> str:
    """The site whose page sends a request, when it is not ours; browsers say it (Fetch, 3.1)."""
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != headers.get("host"):
        return origin
    site = headers.get("sec-fetch-site", "none")
    return "" if site in ("none", "same-origin") else site


class OwnPagesOnly:
    """Refuses what pages of other sites send, before anything looks at it."""

    def __init__(self, app: ASGIApp, audit: Audit) -> None:
        self.app, self.audit = app, audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and (site := foreign(Headers(scope=scope))):
            source = Requester.of(scope).source
            self.audit.record("request", "refused", source=source, reason=f"cross-site: {site}")
            answer = JSONResponse({"error": "a request from another site's page"}, 403)
            if scope["type"] == "websocket":
                await WebSocket(scope, receive, send).send_denial_response(answer)
            else:
                await answer(scope, receive, send)
            return
        await self.app(scope, receive, send)
