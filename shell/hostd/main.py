# SPDX-License-Identifier: Apache-2.0
"""hostd: serves the API over HTTPS until it is told to stop.

usage: python3 -m tepui.shell.hostd.main [--state DIR] [--port N] [--name NAME]...
"""

import argparse
import logging
import socket
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from tepui.shell.hostd import certificate
from tepui.shell.hostd.accounts import Accounts
from tepui.shell.hostd.app import Api, application
from tepui.shell.hostd.tokens import Tokens


def listen(address: str, port: int) -> socket.socket:
    """A listening socket; "::" takes IPv4 as well, which asyncio's own would not."""
    if address == "::":
        where = ("::", port)
        return socket.create_server(where, family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server((address, port))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="hostd", description=__doc__)
    parser.add_argument("--state", type=Path, default=Path("/var/lib/tepui"))
    parser.add_argument("--address", default="::")
    parser.add_argument("--port", type=int, default=443)
    parser.add_argument("--name", action="append", help="a name or address of this host")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    names = args.name or [socket.gethostname()]
    cert, key = certificate.ensure(args.state / "ssl", names)
    print(f"hostd: certificate SHA-256 {certificate.fingerprint(cert)}", flush=True)
    api = Api(Accounts(args.state / "accounts.json"), Tokens())
    config = uvicorn.Config(
        application(api),
        ssl_certfile=str(cert),
        ssl_keyfile=str(key),
        http="h11",
        loop="asyncio",
        lifespan="off",
        access_log=False,
        server_header=False,
        limit_concurrency=256,
        timeout_keep_alive=30,
    )
    sock = listen(args.address, args.port)
    print(f"hostd: listening on port {args.port}", flush=True)
    uvicorn.Server(config).run(sockets=[sock])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
