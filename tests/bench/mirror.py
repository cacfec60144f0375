# SPDX-License-Identifier: Apache-2.0
"""The far end of a NIC's cable: sends the small guest's frames back to where they came from.

    python -m tests.bench.mirror LISTENER PRIORITY

LISTENER is the number of a socket where QEMU will call, PRIORITY a real-time one (0: none).
"""

import os
import socket
import sys

from tests.system.peer import Peer

#: Of tests/guest/virtio.c: its frames' type.
ETHERTYPE = b"\x88\xb5"


def main(listener: int, priority: int) -> None:
    with Peer(listener=socket.socket(fileno=listener)) as peer:
        peer.accept(60)
        if priority:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
        while frame := peer.receive(900):
            if frame[12:14] == ETHERTYPE:
                peer.send(frame[6:12] + frame[:6] + frame[12:])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
