# SPDX-License-Identifier: Apache-2.0
"""esxcli hcl ...: what this image supports, and whether this host fits it."""

from dataclasses import dataclass

from tepui.hcl.model import BY_PCI_ID
from tepui.hcl.precheck import packaged, precheck
from tepui.shell.command import command
from tepui.shell.output import Output, Style, named, records
from tepui.shell.run import Context


@dataclass(frozen=True, slots=True)
class Line:
    level: str
    subject: str
    finding: str
    driver: str
    evidence: str
    code: str


@command("hcl check", "Hold this host against the compatibility list.", style=Style.TABLE, own=True)
def hcl_check(ctx: Context) -> Output:
    """Exit status: 0 fits, 3 with warnings, 1 does not, 4 cannot tell."""
    v = precheck()
    lines = [Line("VERDICT", "this host", v.words, "", "", "")]
    lines += [Line(f.level, f.subject, f.text, f.driver, f.evidence, f.code) for f in v.findings]
    return records(Line, lines, Style.TABLE, status=v.status)


@dataclass(frozen=True, slots=True)
class Entry:
    hcl_class: str = named("Class")
    driver: str = named("Driver")
    level: str = named("Level")
    match: str = named("Match")
    name: str = named("Name")


@command("hcl list", "List what this image supports.", style=Style.TABLE, own=True)
def hcl_list(ctx: Context) -> list[Entry]:
    hcl = packaged()
    rows = [Entry("cpu", b.name, b.level, b.vendor, b.desc) for b in hcl.backends]
    for d in hcl.drivers:
        for r in d.rows:
            ids = f"{r.vendor:04x}:{r.device:04x}"
            shape = ids if r.kind == BY_PCI_ID else f"class {r.class_code:06x}"
            rows.append(Entry(d.kind, d.name, r.level, shape, r.name))
    return rows
