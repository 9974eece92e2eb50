# SPDX-License-Identifier: GPL-2.0-or-later
"""Bytes that came before their turn, kept until the gap before them is filled."""

from __future__ import annotations

from nic.tcp.sequence import Ranges


class Reassembly:
    """Out-of-order bytes above `next`. Of bytes that came twice the first are kept. The caller bounds what may come."""

    __slots__ = ("_bytes", "_have", "_newest", "next")

    def __init__(self, following: int) -> None:
        self.next = following
        self._have = Ranges()
        self._bytes = bytearray()  # the byte at position p is _bytes[p - next]
        self._newest: list[int] = []  # a position in each range that is held, newest first

    def add(self, start: int, data: bytes) -> bytes:
        """Take `data` at `start`. Returns the bytes that are now in order, `next` moving past them."""
        if start < self.next:
            data, start = data[self.next - start :], self.next
        if not data:
            return b""
        if not self._have.pairs and start == self.next:
            self.next += len(data)
            return data
        for first, last in self._have.add(start, start + len(data)):
            missing = last - self.next - len(self._bytes)
            if missing > 0:
                self._bytes += bytes(missing)
            self._bytes[first - self.next : last - self.next] = data[first - start : last - start]
        self._newest.insert(0, start)
        ready = self._have.holding(self.next)
        if ready is None:
            self._tidy()
            return b""
        size = ready[1] - self.next
        out = bytes(self._bytes[:size])
        del self._bytes[:size]
        self.next += size
        self._have.drop_below(self.next)
        self._tidy()
        return out

    def _tidy(self) -> None:
        """One position a range, the newest first."""
        seen: dict[tuple[int, int], int] = {}
        for position in self._newest:
            pair = self._have.holding(position)
            if pair is not None:
                seen.setdefault(pair, position)
        self._newest = list(seen.values())

    def blocks(self, most: int) -> tuple[tuple[int, int], ...]:
        """Up to `most` ranges that are held, the one that changed last first (RFC 2018)."""
        held = (self._have.holding(position) for position in self._newest[:most])
        return tuple(pair for pair in held if pair is not None)

    @property
    def held(self) -> int:
        """Bytes kept out of order."""
        return sum(end - start for start, end in self._have.pairs)
