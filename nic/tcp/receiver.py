# SPDX-License-Identifier: GPL-2.0-or-later
"""The receiving half: what is in the window, what is in order, what is announced, and when an acknowledgement is due."""

from __future__ import annotations

from nic.tcp.config import TcpConfig
from nic.tcp.reassembly import Reassembly
from nic.tcp.segment import MAX_SACKS

NEVER_PS = 1 << 62


class Receiver:
    """Positions are of the peer's sequence space; its SYN is at `irs`.

    `next` is the next position expected, `edge` the end of the window announced so far: it never moves back.
    """

    def __init__(self, irs: int, config: TcpConfig, scale: int) -> None:
        self.next = irs + 1
        self.edge = self.next + self.first_window(config)
        self.ended = False  # the peer's FIN is in order: nothing more will come
        self.ready = bytearray()
        self.ack_deadline_ps = NEVER_PS
        self.ack_now = False
        self._capacity = config.receive_buffer
        self._mss = config.mss
        self._delay_ps = config.delayed_ack_ps
        self._scale = scale
        self._reassembly = Reassembly(self.next)
        self._fin_at: int | None = None
        self._since_ack = 0

    @staticmethod
    def first_window(config: TcpConfig) -> int:
        """What a SYN announces: no scale counts there."""
        return min(config.receive_buffer, 0xFFFF)

    def acceptable(self, start: int, length: int) -> bool:
        """Does any of it lie in the window? RFC 9293's four cases; empty segments may lie right behind it too, where a peer that
        has filled the window acknowledges from."""
        if length == 0:
            return self.next <= start <= self.edge
        end = start + length - 1
        return self.edge > self.next and (self.next <= start < self.edge or self.next <= end < self.edge)

    def take(self, start: int, data: bytes, fin: bool, now_ps: int) -> int:
        """Take an acceptable segment's bytes (its SYN is not among them). Returns how many bytes became readable."""
        end = start + len(data)
        if end > self.edge:
            data, fin = data[: self.edge - start], False
            self.ack_now = True
        expected = start <= self.next
        filled_gap = bool(self._reassembly.held)
        if fin and self._fin_at is None and end >= self._furthest():
            self._fin_at = end
        if self._fin_at is not None:
            data = data[: max(0, self._fin_at - start)]
        fresh = self._reassembly.add(start, data)
        self.ready += fresh
        self.next += len(fresh)
        if self.next == self._fin_at:
            self.next += 1
            self.edge = max(self.edge, self.next)
            self.ended = self.ack_now = True
        self._since_ack += len(fresh)
        if not expected or filled_gap or not fresh or self._since_ack > self._mss:
            self.ack_now = True
        elif self.ack_deadline_ps == NEVER_PS:
            self.ack_deadline_ps = now_ps + self._delay_ps
        return len(fresh)

    def _furthest(self) -> int:
        """The end of the furthest data that has come: a FIN before it is a lie."""
        blocks = self._reassembly.blocks(1 << 20)
        return max([self.next, *(end for _, end in blocks)])

    def read(self, most: int) -> bytes:
        """Up to `most` bytes in order. Asks for an acknowledgement when that opens the window by enough to be worth one."""
        out = bytes(self.ready[:most])
        del self.ready[:most]
        worth = min(2 * self._mss, max(1, self._capacity // 2))
        known, free = self.edge - self.next, self._capacity - len(self.ready)
        if out and not self.ended and free - known >= worth and free >= 3 * known:
            self.ack_now = True
        return out

    def _free_edge(self) -> int:
        return self.next + self._capacity - len(self.ready)

    def window(self) -> int:
        """The window field of a segment that leaves now; the edge moves only by enough (no silly windows)."""
        worth = min(self._mss, max(1, self._capacity // 2))
        offered = self.edge - self.next
        if self._free_edge() - self.edge >= worth:
            offered = self._free_edge() - self.next
        field = min(offered >> self._scale, 0xFFFF)
        self.edge = max(self.edge, self.next + (field << self._scale))
        return field

    def acknowledged(self) -> None:
        """A segment left that acknowledges everything so far."""
        self.ack_now = False
        self.ack_deadline_ps = NEVER_PS
        self._since_ack = 0

    def sacks(self) -> tuple[tuple[int, int], ...]:
        """What came out of order, as positions."""
        return self._reassembly.blocks(MAX_SACKS)
