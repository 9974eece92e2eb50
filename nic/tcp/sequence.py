# SPDX-License-Identifier: GPL-2.0-or-later
"""Sequence numbers: 32 bits on the wire, integers without end inside.

A position is a sequence number that never wraps. Segments carry `position & MASK`; a received number becomes the position
nearest to one that is known to be close (the next expected byte, the oldest unacknowledged one). So nothing but these two lines
computes modulo 2^32.
"""

from __future__ import annotations

MASK = 0xFFFF_FFFF
_HALF = 1 << 31


def unwrap(wire: int, near: int) -> int:
    """The position nearest to `near` whose low 32 bits are `wire`; of two equally near ones, the lower."""
    return near + ((wire - near + _HALF) & MASK) - _HALF


class Ranges:
    """A set of positions as sorted, disjoint, non-adjacent [start, end) pairs."""

    __slots__ = ("pairs",)

    def __init__(self) -> None:
        self.pairs: list[tuple[int, int]] = []

    def add(self, start: int, end: int) -> list[tuple[int, int]]:
        """Add [start, end). Returns what of it was new, in order."""
        new: list[tuple[int, int]] = []
        kept: list[tuple[int, int]] = []
        low, high, at = start, end, start
        for first, last in self.pairs:
            if last < start or first > end:
                kept.append((first, last))
                continue
            low, high = min(low, first), max(high, last)
            if first > at:
                new.append((at, first))
            at = max(at, last)
        if at < end:
            new.append((at, end))
        if low < high:
            kept.append((low, high))
            kept.sort()
        self.pairs = kept
        return new

    def drop_below(self, position: int) -> None:
        """Forget everything below `position`."""
        self.pairs = [(max(start, position), end) for start, end in self.pairs if end > position]

    def holding(self, position: int) -> tuple[int, int] | None:
        """The pair that holds `position`."""
        return next((pair for pair in self.pairs if pair[0] <= position < pair[1]), None)
