# SPDX-License-Identifier: Apache-2.0
"""The verdict for people and programs: text, JSON, CSV, HTML."""

from __future__ import annotations

import csv
import html
import io
import json
from dataclasses import asdict

from tepui.hcl.check import Verdict

MARKS = {"OK": "+", "INFO": " ", "WARNING": "!", "ERROR": "x"}
COLORS = {"OK": "32", "WARNING": "33", "ERROR": "31"}


def text(v: Verdict, color: bool = False) -> str:
    """Verdict first, then every finding."""
    lines = [v.words, ""]
    width = min(60, max((len(f.subject) for f in v.findings), default=0))
    for f in v.findings:
        driver = f"  [{f.driver}{', ' if f.evidence else ''}{f.evidence}]" if f.driver else ""
        line = f" {MARKS[f.level]} {f.subject:{width}}  {f.text}{driver}"
        if f.code not in ("DEVICE", "NOTE") and f.level != "OK":
            line += f"  ({f.code})"
        if color and f.level in COLORS:
            line = f"\033[{COLORS[f.level]}m{line}\033[0m"
        lines.append(line)
    return "\n".join(lines)


def as_json(v: Verdict) -> str:
    return json.dumps(
        {"verdict": v.words, "status": v.status, "findings": [asdict(f) for f in v.findings]},
        indent=2,
    )


def as_csv(v: Verdict) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["verdict", "code", "level", "subject", "text", "driver", "evidence"])
    for f in v.findings:
        writer.writerow([v.words, f.code, f.level, f.subject, f.text, f.driver, f.evidence])
    return out.getvalue().rstrip("\n")


def as_html(v: Verdict) -> str:
    rows = "".join(
        f"<tr class={f.level.lower()}><td>{f.level}<td>"
        + "<td>".join(html.escape(x) for x in (f.subject, f.text, f.driver, f.evidence, f.code))
        for f in v.findings
    )
    style = "td{padding:.2em .8em}.error{background:#fbb}.warning{background:#fea}"
    head = "<tr><th>Level<th>Subject<th>Finding<th>Driver<th>Evidence<th>Code"
    return (
        f"<!doctype html><meta charset=utf-8><title>{v.words}</title><style>{style}</style>"
        f"<h1>{v.words}</h1><table>{head}{rows}</table>"
    )


FORMATS = {"text": text, "json": as_json, "csv": as_csv, "html": as_html}
