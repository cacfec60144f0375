# SPDX-License-Identifier: Apache-2.0
"""What a host holds, as a line of JSON: pages by owner and of hostd, its threads and
descriptors, other worlds. Of some looks the least each: what comes and goes, as
a thread that ends does, is not held.

usage: held.py PID    (hostd's)
"""

import json
import sys
from pathlib import Path

from tepui.shell.client import Client

LOOKS = 20
PAGE = 4096


def look(host: Client, pid: str) -> dict[str, int]:
    owners = host.memory().owners
    # Logs are files in memory; what a user may take again is not held.
    owners["objects"] -= sum(-(-f.stat().st_size // PAGE) for f in Path("/var/log").iterdir())
    del owners["free"], owners["cpu caches"]
    resident = Path(f"/proc/{pid}/statm").read_text().split()[1]
    threads, descriptors = (len(list(Path(f"/proc/{pid}/{d}").iterdir())) for d in ("task", "fd"))
    worlds = len(host.worlds()) - threads
    counts = {"worlds": worlds, "threads": threads, "descriptors": descriptors}
    return {**owners, **counts, "hostd": int(resident)}


HOST = Client()
looks = [look(HOST, sys.argv[1]) for _ in range(LOOKS)]
print(json.dumps({name: min(row[name] for row in looks) for name in looks[0]}))
