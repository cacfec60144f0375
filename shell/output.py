# SPDX-License-Identifier: Apache-2.0
"""What a command answers, and how it is shown: ESXi's plain shapes, JSON, CSV, XML, key=value.

An Output is plain data, so hostd sends it as JSON and the workstation shows it exactly as the
host would.
"""

import re
import time
from dataclasses import Field, dataclass, field, fields
from enum import StrEnum
from typing import Any

Value = str | int | bool | list[str] | dict[str, str]


class Style(StrEnum):
    """How records are shown without --formatter."""

    TABLE = "table"
    BLOCKS = "blocks"


class Formatter(StrEnum):
    """--formatter's values; the default is the command's own style."""

    JSON = "json"
    CSV = "csv"
    XML = "xml"
    KEYVALUE = "keyvalue"


@dataclass(frozen=True, slots=True)
class Output:
    """Records under column names, or text.

    header is the unindented line above each block; {Name} stands for a column's value. status is
    the exit status of the command.
    """

    style: Style = Style.BLOCKS
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Value, ...], ...] = ()
    header: str = ""
    text: str | None = None
    status: int = 0

    def to_plain(self) -> dict[str, Any]:
        return {
            "style": str(self.style),
            "columns": list(self.columns),
            "rows": [list(r) for r in self.rows],
            "header": self.header,
            "text": self.text,
            "status": self.status,
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "Output":
        """Raises KeyError or ValueError for what no host sends."""
        return cls(
            Style(plain["style"]),
            tuple(plain["columns"]),
            tuple(tuple(r) for r in plain["rows"]),
            plain["header"],
            plain["text"],
            plain.get("status", 0),
        )


def named(name: str) -> Any:
    """A dataclass field whose column name is not its own name in title case."""
    return field(metadata={"name": name})


def column(f: "Field[Any]") -> str:
    given: str | None = f.metadata.get("name")
    return given or f.name.replace("_", " ").title()


def records(kind: type, rows: list[Any], style: Style, header: str = "", status: int = 0) -> Output:
    """An Output of dataclass instances."""
    parts = fields(kind)
    return Output(
        style,
        tuple(column(f) for f in parts),
        tuple(tuple(getattr(r, f.name) for f in parts) for r in rows),
        header,
        status=status,
    )


def _plain(v: Value) -> str:
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, list):
        return ", ".join(v)
    if isinstance(v, dict):
        return ", ".join(f"{k}={x}" for k, x in v.items())
    return str(v)


def _table(o: Output) -> str:
    cells = [[_plain(v) for v in row] for row in o.rows]
    widths = [max([len(c), *(len(r[i]) for r in cells)]) for i, c in enumerate(o.columns)]
    right = [
        bool(o.rows) and all(isinstance(r[i], int) for r in o.rows) for i in range(len(widths))
    ]

    def line(parts: list[str]) -> str:
        out = [
            p.rjust(w) if r else p.ljust(w) for p, w, r in zip(parts, widths, right, strict=True)
        ]
        return "  ".join(out).rstrip()

    head = [line(list(o.columns)), "  ".join("-" * w for w in widths)]
    return "\n".join(head + [line(r) for r in cells])


def _block(o: Output, row: tuple[Value, ...]) -> str:
    named_values = dict(zip(o.columns, row, strict=True))
    lines = [o.header.format_map(named_values)] if o.header else []
    for name, v in named_values.items():
        if isinstance(v, dict):
            lines.append(f"   {name}:")
            lines += [f"         {k}: {x}" for k, x in v.items()]
        else:
            lines.append(f"   {name}: {_plain(v)}".rstrip())
    return "\n".join(lines)


def _key(name: str) -> str:
    return re.sub(r"[^0-9A-Za-z]", "", name)


def _json(o: Output) -> str:
    import json

    keys = [_key(c) for c in o.columns]
    rows = [dict(zip(keys, row, strict=True)) for row in o.rows]
    plain: Any = o.text if o.text is not None else rows
    return json.dumps(plain, indent=2, ensure_ascii=False)


def _csv(o: Output) -> str:
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([_key(c) for c in o.columns])
    writer.writerows([_plain(v) for v in row] for row in o.rows)
    return out.getvalue().rstrip("\n")


def escape(text: str) -> str:
    """As xml.sax.saxutils has it, whose import takes a slow machine half a second."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def iso_time(ns: int) -> str:
    """ESXi's form of a point in time, ns since 1970."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ns // 10**9))


def _xml(o: Output) -> str:
    rows = []
    for row in o.rows:
        cells = "".join(
            f'<field name="{escape(_key(c))}"><string>{escape(_plain(v))}</string></field>'
            for c, v in zip(o.columns, row, strict=True)
        )
        rows.append(f"<structure>{cells}</structure>")
    body = f"<string>{escape(o.text)}</string>" if o.text is not None else "".join(rows)
    return f'<?xml version="1.0" encoding="utf-8"?><output><list>{body}</list></output>'


def _keyvalue(o: Output) -> str:
    if o.text is not None:
        return o.text
    return "\n".join(
        f"{'' if len(o.rows) == 1 else f'[{i}].'}{_key(c)}={_plain(v)}"
        for i, row in enumerate(o.rows)
        for c, v in zip(o.columns, row, strict=True)
    )


def render(o: Output, formatter: Formatter | None = None) -> str:
    """The text to print, without a final newline; "" for nothing."""
    if formatter is Formatter.JSON:
        return _json(o)
    if formatter is Formatter.XML:
        return _xml(o)
    if formatter is Formatter.CSV:
        return o.text if o.text is not None else _csv(o)
    if formatter is Formatter.KEYVALUE:
        return _keyvalue(o)
    if o.text is not None:
        return o.text
    if o.style is Style.TABLE:
        return _table(o)
    return "\n\n".join(_block(o, row) for row in o.rows)
