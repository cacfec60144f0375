# SPDX-License-Identifier: Apache-2.0
"""The API's description (OpenAPI 3.1) from the commands' own."""

from enum import StrEnum
from typing import Any

from tepui.shell.command import Command, Param

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
    "properties": {"account": {"type": "string"}, "password": {"type": "string"}},
}
TOKEN = {
    "type": "object",
    "required": ["token", "role"],
    "properties": {"token": {"type": "string"}, "role": {"type": "string"}},
}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}


def _schema(p: Param) -> dict[str, Any]:
    if issubclass(p.kind, StrEnum):
        one: dict[str, Any] = {"enum": list(p.kind)}
    else:
        one = {"type": {str: "string", int: "integer", bool: "boolean"}[p.kind]}
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


def describe_api(commands: list[Command]) -> dict[str, Any]:
    session = {
        "post": {
            "operationId": "login",
            "summary": "Log in.",
            "requestBody": {"required": True, **_json(LOGIN)},
            "responses": _responses(TOKEN, 400, 401, 413, 429),
        },
        "delete": {
            "operationId": "logout",
            "summary": "Log out.",
            "security": [{"token": []}],
            "responses": _responses({"type": "object"}, 401),
        },
    }
    paths = {f"/api/commands/{'/'.join(c.path)}": {"post": _operation(c)} for c in commands}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tepui host", "version": "1"},
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "paths": {"/api/session": session, **paths},
    }
