# SPDX-License-Identifier: Apache-2.0
"""QEMU's machine protocol (docs/interop/qmp-spec): commands and their results, in order."""

import json
import socket
from typing import Any


class QmpError(AssertionError):
    """QEMU refused a command."""


class Qmp:
    def __init__(self, stream: socket.socket) -> None:
        stream.settimeout(60)
        self.socket = stream
        self.stream = stream.makefile("rwb")
        self.events: list[dict[str, Any]] = []
        self.receive()  # the greeting
        self.execute("qmp_capabilities")

    def receive(self) -> dict[str, Any]:
        line = self.stream.readline()
        if not line:
            raise QmpError("QEMU has closed the connection")
        message: dict[str, Any] = json.loads(line)
        return message

    def await_event(self, name: str) -> None:
        """Waits for an event that has not been kept yet; TimeoutError after a minute."""
        while name not in {event["event"] for event in self.events}:
            self.events.append(self.receive())

    def execute(self, command: str, **arguments: object) -> Any:
        """The command's result; events that come before it are kept in `events`."""
        names = {name.replace("_", "-"): value for name, value in arguments.items()}
        request = {"execute": command, "arguments": names}
        self.stream.write(json.dumps(request).encode() + b"\n")
        self.stream.flush()
        while True:
            message = self.receive()
            if "error" in message:
                raise QmpError(f"{command}: {message['error']['desc']}")
            if "return" in message:
                return message["return"]
            self.events.append(message)

    def close(self) -> None:
        self.stream.close()
        self.socket.close()
