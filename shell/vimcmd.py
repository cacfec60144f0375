# SPDX-License-Identifier: Apache-2.0
"""vim-cmd: ESXi's older names for commands of the tree."""

import sys
from collections.abc import Sequence

from tepui.shell.run import USAGE, Context, execute, local_runner

#: vim-cmd's name -> the words of the command.
NAMES = {
    "hostsvc/disable_ssh": "system ssh server set -e false",
    "hostsvc/enable_ssh": "system ssh server set -e true",
    "hostsvc/start_ssh": "system ssh server set -e true",
    "hostsvc/stop_ssh": "system ssh server set -e false",
}


def main(argv: Sequence[str] | None = None) -> int:
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] not in NAMES:
        print("usage: vim-cmd NAME [ARGUMENT...]\n\n" + "\n".join(NAMES), file=sys.stderr)
        return USAGE
    return execute([*NAMES[args[0]].split(), *args[1:]], local_runner(Context()), "vim-cmd")
