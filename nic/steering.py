# SPDX-License-Identifier: GPL-2.0-or-later
"""Which receive queue a frame goes to: Toeplitz over IPv4 addresses and ports, then an indirection table.

The driver turns it on by VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET (our default: Microsoft's key, 128 entries, entry i is pair i modulo the
pairs in use) or sets everything by VIRTIO_NET_CTRL_MQ_RSS_CONFIG. Until then, all frames go to pair 0 (virtio 1.2 section 5.1.6.5).
"""

from __future__ import annotations

import struct

from emu.state import U8, U16, Data, State, checked, need, plain
from nic.toeplitz import Toeplitz, rss_input

HASH_IPV4, HASH_TCPV4, HASH_UDPV4 = 1, 2, 4
HASH_TYPES = HASH_IPV4 | HASH_TCPV4 | HASH_UDPV4
TABLE_ENTRIES = 128
MAX_KEY_BYTES = 40
MIN_KEY_BYTES = 16  # what the longest input we hash needs


class SteeringState(State):
    """What the driver asked for."""

    pairs: U8
    types: U8
    key: bytes
    unclassified: U16
    table: list[U16]


class Steering:
    """Steering state of a device with `max_pairs` queue pairs."""

    def __init__(self, max_pairs: int) -> None:
        self._max_pairs = max_pairs
        self.reset()

    def reset(self) -> None:
        """Everything to pair 0."""
        self.pairs = 1
        self._types = HASH_TYPES
        self._toeplitz = Toeplitz()
        self._unclassified = 0
        self._table = [0]

    def set_pairs(self, pairs: int) -> bool:
        """Use the first `pairs` pairs, under the default key and table. False, and no change, if there are not so many."""
        if not 1 <= pairs <= self._max_pairs:
            return False
        self.reset()
        self.pairs = pairs
        self._table = [entry % pairs for entry in range(TABLE_ENTRIES)]
        return True

    def set_rss(self, data: bytes) -> bool:
        """Take a struct virtio_net_rss_config. False, and no change, if it is malformed or out of range."""
        if len(data) < 8:
            return False
        types, mask, unclassified = struct.unpack_from("<IHH", data)
        entries = mask + 1
        if types & ~HASH_TYPES or entries & mask or entries > TABLE_ENTRIES or len(data) < 8 + 2 * entries + 3:
            return False
        table = list(struct.unpack_from(f"<{entries}H", data, 8))
        pairs, key_bytes = struct.unpack_from("<HB", data, 8 + 2 * entries)
        key = data[11 + 2 * entries : 11 + 2 * entries + key_bytes]
        if (
            not MIN_KEY_BYTES <= key_bytes <= MAX_KEY_BYTES
            or len(key) != key_bytes
            or not 1 <= pairs <= self._max_pairs
        ):
            return False
        if unclassified >= self._max_pairs or max(table) >= self._max_pairs:
            return False
        self.pairs, self._types, self._unclassified, self._table = pairs, types, unclassified, table
        self._toeplitz = Toeplitz(key)
        return True

    def save(self) -> Data:
        """What the driver asked for."""
        return plain(SteeringState(self.pairs, self._types, self._toeplitz.key, self._unclassified, self._table))

    def restore(self, data: Data) -> None:
        """Take it. Raises BadSnapshot."""
        state = checked(SteeringState, data, "receive steering")
        entries = len(state.table)
        need(1 <= state.pairs <= self._max_pairs and not state.types & ~HASH_TYPES, "receive steering", f"{state.pairs} pairs")
        need(MIN_KEY_BYTES <= len(state.key) <= MAX_KEY_BYTES, "receive steering", f"a key of {len(state.key)} bytes")
        fits = 1 <= entries <= TABLE_ENTRIES and not entries & (entries - 1)
        need(fits and max(state.table) < self._max_pairs > state.unclassified, "receive steering", "an indirection table")
        self.pairs, self._types, self._unclassified, self._table = state.pairs, state.types, state.unclassified, state.table
        self._toeplitz = Toeplitz(state.key)

    def pair_of(self, frame: bytes) -> int:
        """The queue pair that receives `frame`."""
        table = self._table
        if len(table) == 1 and not self._unclassified:
            return table[0]
        types = self._types
        if types == HASH_TYPES:
            data = rss_input(frame)
        else:
            data = rss_input(frame, ports_of_udp=bool(types & HASH_UDPV4), ports_of_tcp=bool(types & HASH_TCPV4))
            if data is not None and len(data) == 8 and not types & HASH_IPV4:
                data = None
        if data is None:
            return self._unclassified
        return table[self._toeplitz.hash(data) & (len(table) - 1)]
