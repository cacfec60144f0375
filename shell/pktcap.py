# SPDX-License-Identifier: Apache-2.0
"""pktcap-uw: the frames of a NIC, a port or a vmk NIC as a pcap file (nanosecond stamps).

    pktcap-uw --uplink vmnic0 | --switchport ID | --vmk vmk0  [-o FILE] [-c COUNT] [-s BYTES]

Without -o the stream goes to standard output, so `ssh HOST pktcap-uw ... | tshark -r -` works.
"""

import argparse
import os
import struct
import sys
from collections.abc import Iterator, Sequence

from tepui.shell.client import Client
from tepui.shell.link import LinkError, RefusedError
from tepui.shell.netclient import Network
from tepui.shell.run import die

HEADER, RECORD = 24, struct.Struct("<4I")


def records(descriptor: int) -> Iterator[bytes]:
    """The file header, then one frame at a time with its record header."""
    buffer, need = b"", HEADER
    head = False
    while True:
        while len(buffer) < need:
            data = os.read(descriptor, 65536)
            if not data:
                return
            buffer += data
        if head:  # a record's length is known only from its header
            need, head = RECORD.size + RECORD.unpack_from(buffer)[2], False
            continue
        yield buffer[:need]
        buffer, need, head = buffer[need:], RECORD.size, True


def port_of(net: Network, args: argparse.Namespace) -> str:
    """What the vmkernel calls the place; raises LookupError."""
    if args.uplink:
        return str(args.uplink)
    if args.switchport is not None:
        return f"port:{args.switchport}"
    for nic in net.vmknics():
        if nic.name == args.vmk:
            return f"port:{nic.port}"
    raise LookupError(f"{args.vmk}: no such vmk NIC")


def capture(args: argparse.Namespace) -> None:
    client = Client()
    net = Network(client)
    source = net.capture(port_of(net, args), args.snaplen)
    out = os.open(args.outfile, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600) if args.outfile else 1
    left = args.count
    stream = records(source)
    os.write(out, next(stream))
    if args.outfile:
        print(f"writing to {args.outfile}", flush=True)
    while left is None or left > 0:
        record = next(stream, None)
        if record is None:
            return
        while record:
            record = record[os.write(out, record) :]
        left = None if left is None else left - 1


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="pktcap-uw")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--uplink", help="a NIC")
    where.add_argument("--switchport", type=int, help="a port's number")
    where.add_argument("--vmk", help="a vmk NIC")
    parser.add_argument("-o", "--outfile", help="where to; default: standard output")
    parser.add_argument("-c", "--count", type=int, help="frames until it ends")
    parser.add_argument("-s", "--snaplen", type=int, default=0, help="bytes of a frame; 0: all")
    args = parser.parse_args(argv)
    try:
        capture(args)
    except (LookupError, LinkError, RefusedError) as e:
        return die(str(e))
    except (KeyboardInterrupt, BrokenPipeError):
        return 0
    except OSError as e:
        return die(f"{e.filename or 'capture'}: {e.strerror}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
