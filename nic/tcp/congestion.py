# SPDX-License-Identifier: GPL-2.0-or-later
"""How much may be under way: slow start, congestion avoidance, recovery (RFC 5681, 6582, 6928, published). In bytes."""

from __future__ import annotations


class NewReno:
    """The congestion window. What is lost, and when recovery begins and ends, is the sender's to say."""

    __slots__ = ("_acked", "_mss", "cwnd", "ssthresh")

    def __init__(self, mss: int) -> None:
        self._mss = mss
        self.cwnd = self.initial
        self.ssthresh = 1 << 40
        self._acked = 0

    @property
    def initial(self) -> int:
        """The initial window: ten segments, within RFC 6928's bounds."""
        return min(10 * self._mss, max(2 * self._mss, 14_600))

    def acknowledged(self, count: int) -> None:
        """`count` new bytes were acknowledged while the window was the limit."""
        if self.cwnd < self.ssthresh:
            self.cwnd += min(count, self._mss)
            return
        self._acked += count
        if self._acked >= self.cwnd:
            self._acked -= self.cwnd
            self.cwnd += self._mss

    def recover(self, flight: int) -> None:
        """A segment was lost, found by duplicates."""
        self.ssthresh = max(flight // 2, 2 * self._mss)
        self.cwnd = self.ssthresh
        self._acked = 0

    def timed_out(self, flight: int, first_time: bool) -> None:
        """The timer found the loss. The threshold is lowered once a segment, however often that is sent again."""
        if first_time:
            self.ssthresh = max(flight // 2, 2 * self._mss)
        self.cwnd = self._mss
        self._acked = 0

    def idled(self) -> None:
        """Nothing was sent for longer than a timeout."""
        self.cwnd = min(self.cwnd, self.initial)
