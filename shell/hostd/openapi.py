# SPDX-License-Identifier: Apache-2.0
"""The API's description (OpenAPI 3.1) from the commands' own."""

from enum import StrEnum
from typing import Any

from tepui.shell.command import Command, Param, is_secret

ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}},
}
VALUE = {"anyOf": [{"type": k} for k in ("string", "integer", "boolean", "array", "object")]}
OUTPUT = {
    "type": "object",
    "required": ["style", "columns", "rows", "header", "text"],
    "properties": {
        "style": {"enum": ["table", "blocks"]},
        "columns": {"type": "array", "items": {"type": "string"}},
        "rows": {"type": "array", "items": {"type": "array", "items": VALUE}},
        "header": {"type": "string"},
        "text": {"type": ["string", "null"]},
    },
}
LOGIN = {
    "type": "object",
    "required": ["account", "password"],
    "additionalProperties": False,
    "properties": {"account": {"type": "string"}, "password": {"type": "string"}},
}
TOKEN = {
    "type": "object",
    "required": ["token", "role"],
    "properties": {"token": {"type": "string"}, "role": {"type": "string"}},
}


FORMATS = {
    "IPv4Address": {"format": "ipv4"},
    "IPv6Address": {"format": "ipv6"},
    "Mac": {"pattern": "^[0-9a-fA-F][02468aceACE]:([0-9a-fA-F]{2}:){4}[0-9a-fA-F]{2}$"},
}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}


def _schema(p: Param) -> dict[str, Any]:
    if issubclass(p.kind, StrEnum):
        one: dict[str, Any] = {"enum": list(p.kind)}
    else:
        one = {"type": {int: "integer", bool: "boolean"}.get(p.kind, "string")}
        one |= {"format": "password"} if is_secret(p) else FORMATS.get(p.kind.__name__, {})
    whole = {"type": "array", "items": one} if p.many else one
    return {**whole, "description": p.spec.help}


def _responses(schema: dict[str, Any], *errors: int) -> dict[str, Any]:
    good = {"200": {"description": "Done.", **_json(schema)}}
    return good | {str(e): {"description": "Refused.", **_json(ERROR)} for e in errors}


def _operation(c: Command) -> dict[str, Any]:
    body = {
        "type": "object",
        "properties": {p.name: _schema(p) for p in c.params},
        "required": [p.name for p in c.params if p.required],
        "additionalProperties": False,
    }
    return {
        "operationId": "_".join(c.path),
        "summary": c.help,
        "description": f"Role: {c.role}.",
        "security": [{"token": []}],
        "requestBody": {"required": bool(body["required"]), **_json(body)},
        "responses": _responses(OUTPUT, 400, 401, 403, 409, 413, 503),
    }


def _console(c: Command) -> dict[str, Any]:
    """A WebSocket's handshake, as far as OpenAPI has words for it."""
    where = [
        {"name": p.name, "in": "query", "required": p.required, "schema": _schema(p)}
        for p in c.params
    ]
    errors = {str(e): {"description": "Refused.", **_json(ERROR)} for e in (400, 401, 403, 409)}
    return {
        "operationId": "_".join(c.path),
        "summary": c.help,
        "description": f"Role: {c.role}. Binary messages are the console's bytes.",
        "security": [{"token": []}],
        "parameters": where,
        "responses": {"101": {"description": "The console as a WebSocket."}, **errors},
    }


def describe_api(commands: list[Command], consoles: list[Command]) -> dict[str, Any]:
    session = {
        "post": {
            "operationId": "login",
            "summary": "Log in.",
            "requestBody": {"required": True, **_json(LOGIN)},
            "responses": _responses(TOKEN, 400, 401, 403, 413, 429),
        },
        "delete": {
            "operationId": "logout",
            "summary": "Log out.",
            "security": [{"token": []}],
            "responses": _responses({"type": "object"}, 401, 403),
        },
    }
    paths = {f"/api/commands/{'/'.join(c.path)}": {"post": _operation(c)} for c in commands}
    paths |= {f"/api/consoles/{'/'.join(c.path)}": {"get": _console(c)} for c in consoles}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tepui host", "version": "1"},
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "paths": {"/api/session": session, **paths},
    }
