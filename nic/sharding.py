# SPDX-License-Identifier: GPL-2.0-or-later
"""Which of several servers has a key, as memcached's clients decide it.

`modulo`: the key's hash modulo the number of servers; the hash is FNV-1a, 32 bits (published: draft-eastlake-fnv), as kvd_router's.
`consistent`: the ring of Karger et al., STOC 1997 (published): each server stands at POINTS places of a circle of hashes, and a key
belongs to the first server behind its own; a server more or less moves only its share of the keys. The hash there is the first 64
bits of SHA-256 (our choice; clients differ in it).
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Sequence

from emu.errors import ConfigError

POINTS = 160


def fnv1a(data: bytes) -> int:
    """32 bits."""
    value = 2166136261
    for byte in data:
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return value


def _place(data: bytes) -> int:
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big")


def sharding(kind: str, servers: Sequence[str]) -> Callable[[bytes], int]:
    """A function from a key to its server's place in `servers`. Raises ConfigError for a `kind` there is not."""
    if kind == "modulo":
        return lambda key: fnv1a(key) % len(servers)
    if kind != "consistent":
        raise ConfigError(f"keys cannot be spread {kind!r}: give modulo or consistent")
    ring = sorted((_place(f"{name}-{point}".encode()), index) for index, name in enumerate(servers) for point in range(POINTS))
    places = [place for place, _ in ring]
    return lambda key: ring[bisect_right(places, _place(key)) % len(ring)][1]
