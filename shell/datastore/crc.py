# SPDX-License-Identifier: Apache-2.0
"""CRC-32C (Castagnoli). Source: RFC 3720, appendix B.4."""

from functools import cache, lru_cache


@cache
def _tables() -> tuple[tuple[int, ...], ...]:
    first = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        first.append(n)
    tables = [first]
    for _ in range(7):
        tables.append([first[v & 0xFF] ^ v >> 8 for v in tables[-1]])
    return tuple(tuple(t) for t in tables)


@lru_cache(maxsize=2048)  # the checker meets the same pages again and again
def crc32c(data: bytes, crc: int = 0) -> int:
    """Continues crc over data, eight bytes a step."""
    t0, t1, t2, t3, t4, t5, t6, t7 = _tables()
    crc ^= 0xFFFFFFFF
    whole = len(data) & ~7
    words = memoryview(data)[:whole].cast("Q") if whole else ()
    for w in words:
        w ^= crc
        crc = (
            t7[w & 255] ^ t6[w >> 8 & 255] ^ t5[w >> 16 & 255] ^ t4[w >> 24 & 255]
            ^ t3[w >> 32 & 255] ^ t2[w >> 40 & 255] ^ t1[w >> 48 & 255] ^ t0[w >> 56]
        )  # fmt: skip
    for b in data[whole:]:
        crc = t0[(crc ^ b) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF
