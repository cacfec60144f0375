# SPDX-License-Identifier: Apache-2.0
"""Dataclasses from and to plain JSON values, strictly: known keys, and each value of its type.

Types: str, int, bool, a StrEnum, X | None, tuple[X, ...], and dataclasses of these. A field may
carry metadata {"check": function(value) -> None, raising ValueError}.
"""

import types
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


class ShapeError(Exception):
    """A value does not fit; the message begins with its place in the document."""


def build(kind: type[T], value: Any, place: str = "") -> T:
    """Raises ShapeError."""
    result: T = _build(kind, value, place or kind.__name__)
    return result


def _build(kind: Any, value: Any, place: str) -> Any:
    if get_origin(kind) is types.UnionType:
        inner = next(k for k in get_args(kind) if k is not type(None))
        return None if value is None else _build(inner, value, place)
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise ShapeError(f"{place}: a list is needed")
        return tuple(_build(get_args(kind)[0], v, f"{place}[{i}]") for i, v in enumerate(value))
    if is_dataclass(kind):
        return _record(kind, value, place)
    wanted = str if issubclass(kind, StrEnum) else kind
    if type(value) is not wanted:
        raise ShapeError(f"{place}: {wanted.__name__} is needed")
    try:
        return kind(value)
    except ValueError:
        raise ShapeError(f"{place}: one of {', '.join(kind)} is needed") from None


def _record(kind: Any, value: Any, place: str) -> Any:
    if not isinstance(value, dict):
        raise ShapeError(f"{place}: an object is needed")
    hints = get_type_hints(kind)
    if unknown := value.keys() - hints.keys():
        raise ShapeError(f"{place}: unknown key {min(unknown)}")
    given = {}
    for f in fields(kind):
        where = f"{place}.{f.name}"
        if f.name in value:
            given[f.name] = _build(hints[f.name], value[f.name], where)
            try:
                f.metadata.get("check", lambda _: None)(given[f.name])
            except ValueError as e:
                raise ShapeError(f"{where}: {e}") from None
        elif f.default is MISSING and f.default_factory is MISSING:
            raise ShapeError(f"{where} is missing")
    return kind(**given)


def plain(value: Any) -> Any:
    """The JSON value of what `build` made."""
    if is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple):
        return [plain(v) for v in value]
    return str(value) if isinstance(value, StrEnum) else value


def schema(kind: Any) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a type."""
    if get_origin(kind) is types.UnionType:
        inner = next(k for k in get_args(kind) if k is not type(None))
        return {"anyOf": [schema(inner), {"type": "null"}]}
    if get_origin(kind) is tuple:
        return {"type": "array", "items": schema(get_args(kind)[0])}
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        required = [
            f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING
        ]
        return {
            "type": "object",
            "additionalProperties": False,
            "required": required,
            "properties": {f.name: schema(hints[f.name]) for f in fields(kind)},
        }
    if issubclass(kind, StrEnum):
        return {"enum": list(kind)}
    return {"type": {str: "string", int: "integer", bool: "boolean"}[kind]}
