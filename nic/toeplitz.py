# SPDX-License-Identifier: GPL-2.0-or-later
"""The Toeplitz hash of receive-side scaling.

Each set bit of the input, from the left, exclusive-ors in the 32 bits of the key that start at its place. One table of 256
values per input byte turns that into a lookup a byte; flows are few, so results are remembered too.

Source: Microsoft, "RSS hashing types" and "Verifying the RSS hash calculation" (published): the 40-byte key and its test values.
"""

from __future__ import annotations

#: The key of Microsoft's verification suite: our device's default.
MICROSOFT_KEY = bytes.fromhex("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa")

#: Input bytes of the longest input we hash: IPv4 addresses and ports.
_INPUT_BYTES = 12
_REMEMBERED_FLOWS = 4096


class Toeplitz:
    """The hash under one key of at least 16 bytes (input bytes + 4)."""

    def __init__(self, key: bytes = MICROSOFT_KEY) -> None:
        if len(key) < _INPUT_BYTES + 4:
            raise ValueError(f"a Toeplitz key for {_INPUT_BYTES} bytes needs {_INPUT_BYTES + 4} bytes, not {len(key)}")
        self.key = key
        number = int.from_bytes(key, "big")
        bits = len(key) * 8
        self._tables: list[list[int]] = []
        for position in range(_INPUT_BYTES):
            windows = [(number >> (bits - 32 - (position * 8 + bit))) & 0xFFFFFFFF for bit in range(8)]
            table = [0] * 256
            for value in range(1, 256):
                low = value & -value  # the table for value without its lowest set bit is known already
                table[value] = table[value ^ low] ^ windows[8 - low.bit_length()]
            self._tables.append(table)
        self._known: dict[bytes, int] = {}

    def hash(self, data: bytes) -> int:
        """The 32-bit hash of up to 12 bytes."""
        known = self._known.get(data)
        if known is not None:
            return known
        if len(data) > _INPUT_BYTES:
            raise ValueError(f"Toeplitz input is at most {_INPUT_BYTES} bytes, not {len(data)}")
        value = 0
        for table, byte in zip(self._tables, data, strict=False):
            value ^= table[byte]
        if len(self._known) >= _REMEMBERED_FLOWS:
            self._known.clear()
        self._known[data] = value
        return value


def rss_input(frame: bytes | memoryview, *, ports_of_udp: bool = True, ports_of_tcp: bool = True) -> bytes | None:
    """What RSS hashes of an Ethernet frame: IPv4 addresses, and ports of an unfragmented UDP or TCP packet; None if not IPv4."""
    if len(frame) < 34 or frame[12] != 8 or frame[13] != 0 or frame[14] >> 4 != 4:
        return None
    protocol = frame[23]
    if (protocol == 17 and ports_of_udp) or (protocol == 6 and ports_of_tcp):
        if frame[14] == 0x45 and not (frame[20] & 0x3F or frame[21]) and len(frame) >= 38:
            return bytes(frame[26:38])  # no options: addresses and ports lie side by side
        start = 14 + (frame[14] & 15) * 4
        if not (frame[20] & 0x3F or frame[21]) and start >= 34 and len(frame) >= start + 4:
            return bytes(frame[26:34]) + bytes(frame[start : start + 4])
    return bytes(frame[26:34])
