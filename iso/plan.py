# SPDX-License-Identifier: Apache-2.0
"""What an installation is to do, whoever decided it: a kickstart file or a person."""

from dataclasses import dataclass, field

from tepui.hcl.check import CANNOT_TELL, WILL_NOT, Verdict
from tepui.iso.kickstart import Network, Vmfs
from tepui.iso.targets import Target


@dataclass(frozen=True, slots=True)
class Plan:
    """All that an installation needs to know."""

    target: Target
    vmfs: Vmfs = Vmfs.OVERWRITE
    password: str = ""
    encrypted: bool = False
    network: Network = field(default_factory=Network)


def refused(verdict: Verdict) -> bool:
    return verdict.status in (WILL_NOT, CANNOT_TELL)
