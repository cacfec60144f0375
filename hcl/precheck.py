# SPDX-License-Identifier: Apache-2.0
"""The check for those who call it: the installer and the host's own console."""

from __future__ import annotations

import json
import pkgutil
from pathlib import Path

from tepui.hcl import linux
from tepui.hcl.check import Verdict, check
from tepui.hcl.model import HclList

LIST = "hcl.json"


def packaged() -> HclList:
    """The list that was built with this package; OSError, ValueError, KeyError or TypeError."""
    data = pkgutil.get_data("tepui.hcl", LIST)
    return HclList.from_plain(json.loads(data or b""))


def precheck(root: Path = Path("/"), allow_legacy_cpu: bool = False) -> Verdict:
    """Judges the machine that this runs on, Linux or the vmkernel, by the packaged list.

    `status` is check.WILL_INSTALL, WARNINGS, WILL_NOT or CANNOT_TELL; `blocking` what keeps it from
    installing, `findings` everything. Raises what packaged() raises."""
    return check(packaged(), linux.collect(root), allow_legacy_cpu)
