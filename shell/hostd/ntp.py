# SPDX-License-Identifier: Apache-2.0
"""The NTP client (RFC 5905 in the client form of RFC 4330): asks each server, sets the clock."""

import asyncio
import secrets
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tepui.shell.client import Client

EPOCH = 2_208_988_800  # from 1900, NTP's, to 1970
PORT, WAIT, INTERVAL = 123, 5.0, 64.0
STEP_NS = 10_000_000  # smaller differences are the network's
#: Greater ones are not believed unless a person has just switched NTP on (ntpd's panic threshold):
#: certificates, sessions and logs hang on the time, and NTP without keys can be forged.
STEP_MAX_NS = 1000 * 10**9
PACKET = struct.Struct("!BBbb11I")


@dataclass(frozen=True, slots=True)
class Answer:
    """What one server says. offset and delay in ns."""

    stratum: int
    offset: int
    delay: int


def stamp(ns: int) -> tuple[int, int]:
    """A time since 1970 as NTP's seconds and fraction."""
    seconds, rest = divmod(ns, 10**9)
    return (seconds + EPOCH) & 0xFFFFFFFF, (rest << 32) // 10**9


def time_of(seconds: int, fraction: int) -> int:
    """ns since 1970; seconds below 2^31 are of the era that begins in 2036."""
    era = 1 << 32 if seconds < 1 << 31 else 0
    return (seconds + era - EPOCH) * 10**9 + (fraction * 10**9 >> 32)


def evaluate(data: bytes, nonce: tuple[int, int], sent: int, received: int) -> Answer | None:
    """An answer to the request that carried `nonce`, None for anything else."""
    if len(data) < PACKET.size:
        return None
    first, stratum, _, _, *words = PACKET.unpack_from(data)
    # Mode 4, a synchronized server, and our own nonce in the originate field.
    if first & 7 != 4 or first >> 6 == 3 or not 0 < stratum < 16 or tuple(words[5:7]) != nonce:
        return None
    there, back = time_of(*words[7:9]), time_of(*words[9:11])
    offset = ((there - sent) + (back - received)) // 2
    return Answer(stratum, offset, (received - sent) - (back - there))


async def ask(server: str, port: int = PORT) -> Answer | None:
    """One exchange with a server; None when it does not answer in time."""
    loop = asyncio.get_running_loop()
    try:
        found = await asyncio.wait_for(loop.getaddrinfo(server, port, type=socket.SOCK_DGRAM), WAIT)
        family, kind, _, _, where = found[0]
        with socket.socket(family, kind) as s:
            s.setblocking(False)
            await loop.sock_connect(s, where)
            # The client's own time is nobody's business: a nonce serves as well (RFC 9109).
            nonce = secrets.randbits(32), secrets.randbits(32)
            sent, begun = time.time_ns(), time.monotonic_ns()
            await loop.sock_sendall(s, PACKET.pack(0x23, 0, 6, -20, *[0] * 9, *nonce))
            async with asyncio.timeout(WAIT):
                while True:
                    data = await loop.sock_recv(s, 512)
                    received = sent + time.monotonic_ns() - begun
                    if answer := evaluate(data, nonce, sent, received):
                        return answer
    except (OSError, TimeoutError):
        return None


class Clock:
    """Keeps the host's clock by the servers that the configuration names."""

    def __init__(self, port: int = PORT) -> None:
        self.port = port
        self.servers: tuple[str, ...] = ()
        self.asked = False
        self.changed = asyncio.Event()

    def set(self, servers: Sequence[str], *, asked: bool = False) -> None:
        """asked: a person changed the configuration, not the host's start; then the first answer
        may be any distance away."""
        self.asked = asked and tuple(servers) != self.servers
        self.servers = tuple(servers)
        self.changed.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            if self.servers:
                await self.once()
            try:
                async with asyncio.timeout(INTERVAL if self.servers else None):
                    await self.changed.wait()
            except TimeoutError:
                continue
            self.changed.clear()

    async def once(self) -> None:
        answers = await asyncio.gather(*(ask(s, self.port) for s in self.servers))
        good = sorted(a.offset for a in answers if a)
        if not good:
            print("hostd: NTP: no server answers", flush=True)
            return
        offset = good[len(good) // 2]  # one false server of three is outvoted
        if abs(offset) > STEP_MAX_NS and not self.asked:
            far = f"{offset / 1e9:+.0f} s from ours: switch NTP off and on to accept that"
            print(f"hostd: NTP: the servers' time is {far}", flush=True)
            return
        self.asked = False
        if abs(offset) > STEP_NS:
            await asyncio.to_thread(step, offset)
            print(f"hostd: NTP: the clock was {-offset / 1e9:+.3f} s off", flush=True)


def step(offset: int) -> None:
    client = Client()
    try:
        client.set_time(time.time_ns() + offset)
    finally:
        client.close()
