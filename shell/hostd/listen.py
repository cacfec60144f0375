# SPDX-License-Identifier: Apache-2.0
"""Listening sockets of the host's services."""

import socket


def listen(address: str, port: int) -> socket.socket:
    """A listening socket; "::" takes IPv4 as well, which asyncio's own would not."""
    if address == "::":
        where = ("::", port)
        return socket.create_server(where, family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server((address, port))
