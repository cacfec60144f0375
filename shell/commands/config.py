# SPDX-License-Identifier: Apache-2.0
"""esxcli config ...: the configuration as one document, its history, and the way back."""

import json
from dataclasses import dataclass, replace
from typing import Annotated, Any

from tepui.shell.command import FailedError, Opt, Pos, Role, UsageError, command
from tepui.shell.config import change, network, plain
from tepui.shell.config.document import Document
from tepui.shell.config.store import Store
from tepui.shell.netclient import Network
from tepui.shell.output import Style, iso_time
from tepui.shell.run import Context

ADMIN = Role.ADMINISTRATOR
Path = Annotated[str, Pos("Where: names between dots, as network.vswitches.vSwitch0.mtu.")]


def _current(ctx: Context) -> Document:
    """The document; a host that was never configured shows what runs."""
    document = Store().current().document
    return document if document.network else _running(ctx, document)


def _running(ctx: Context, document: Document) -> Document:
    return replace(document, network=network.capture(Network(ctx.host)))


def step(value: Any, word: str) -> tuple[Any, Any]:
    """(container, key) of what `word` names below a value; raises UsageError."""
    if isinstance(value, dict) and word in value:
        return value, word
    if isinstance(value, list):
        names = [v.get("name") if isinstance(v, dict) else v for v in value]
        if word in names:
            return value, names.index(word)
        if word.isdigit() and int(word) < len(value):
            return value, int(word)
    raise UsageError(f"{word}: not in the document")


@command("config get", "Show the configuration, or the part at a path, as JSON.", own=True)
def get(ctx: Context, path: Path = "") -> str:
    value = plain.plain(_current(ctx))
    for word in filter(None, path.split(".")):
        container, key = step(value, word)
        value = container[key]
    return json.dumps(value, indent=2)


@command("config schema", "Show the document's JSON Schema.", own=True)
def schema(ctx: Context) -> str:
    return json.dumps(plain.schema(Document), indent=2)


@command("config set", "Change a part of the configuration, on the host too.", role=ADMIN, own=True)
def set_(
    ctx: Context,
    path: Path,
    value: Annotated[str, Pos("The new value as JSON; a bare word is text.")],
) -> str:
    words = path.split(".")
    whole = {"document": plain.plain(_current(ctx))}
    container, key = whole, "document"
    for word in words:
        container, key = step(container[key], word)
    try:
        container[key] = json.loads(value)
    except ValueError:
        container[key] = value
    try:
        document = plain.build(Document, whole["document"], "config")
    except plain.ShapeError as e:
        raise UsageError(str(e)) from e
    return _become(ctx, document, f"config set {path}")


def _become(ctx: Context, document: Document, reason: str) -> str:
    """The host first; what it then runs is what the document says, where all went well."""
    store = Store()
    with store.locked():
        problems = change.apply(ctx.host, document)
        if document.network and not problems:
            document = _running(ctx, document)
        revision = store.save(document, ctx.user, reason)
    change.tell_hostd()
    if problems:
        raise FailedError("; ".join(problems), f"revision {revision.number} is applied at boot")
    return f"Revision {revision.number}"


@dataclass(frozen=True, slots=True)
class Change:
    path: str
    before: str
    after: str


def flat(value: Any, place: str = "") -> dict[str, str]:
    """Leaves by their path; list members by their name where they have one."""
    if isinstance(value, dict) and value:
        rows = [(k, v) for k, v in value.items() if k != "name"] or [("", "")]
    elif isinstance(value, list) and value:
        rows = [(v["name"] if isinstance(v, dict) and "name" in v else str(i), v)
                for i, v in enumerate(value)]  # fmt: skip
    else:
        return {place: json.dumps(value)}
    dot = "." if place else ""
    return {k: text for name, v in rows for k, text in flat(v, f"{place}{dot}{name}").items()}


@command(
    "config diff", "Compare the document with the running host, or with an older revision.",
    style=Style.TABLE, own=True,
)  # fmt: skip
def diff(
    ctx: Context, revision: Annotated[int | None, Opt("-r", "An older revision.")] = None
) -> list[Change]:
    current = _current(ctx)
    if revision is None:
        before, after = current, _running(ctx, current)
    else:
        old = Store().find(revision)
        if old is None:
            raise FailedError(f"no revision {revision}", "`config history` lists them")
        before, after = old.document, current
    a, b = flat(plain.plain(before)), flat(plain.plain(after))
    paths = sorted(a.keys() | b.keys())
    return [Change(p, a.get(p, "-"), b.get(p, "-")) for p in paths if a.get(p) != b.get(p)]


@dataclass(frozen=True, slots=True)
class Row:
    revision: int
    time: str
    user: str
    reason: str


@command("config history", "List the revisions of the configuration.", style=Style.TABLE, own=True)
def history(ctx: Context) -> list[Row]:
    rows = Store().revisions()
    return [Row(r.number, iso_time(r.time * 10**9), r.user, r.reason) for r in rows if r.number]


@command("config rollback", "Go back to an older revision.", role=ADMIN, own=True)
def rollback(ctx: Context, revision: Annotated[int, Pos("Its number.")]) -> str:
    old = Store().find(revision)
    if old is None or not revision:
        raise FailedError(f"no revision {revision}", "`config history` lists them")
    return _become(ctx, old.document, f"config rollback {revision}")
