# SPDX-License-Identifier: GPL-2.0-or-later
"""The sending half: what is queued, what is under way, what is lost, and when to say it again.

A record stands for each segment under way. Bytes under way are those of records neither selectively acknowledged nor lost (unless
sent again since). Losses are found by three duplicates or SACK (RFC 6675), by partial acknowledgements (RFC 6582), or by the
timer (RFC 6298), after which everything counts as lost and SACKs are forgotten, since the peer may renege (RFC 2018).

While the peer's window holds nothing that may be sent and nothing is under way, the persist timer asks: with one byte beyond the
window, or, where the window is merely small, with what fits (RFC 9293 3.8.6).
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

from emu.units import PS_PER_S
from nic.tcp.config import TcpConfig
from nic.tcp.congestion import NewReno
from nic.tcp.receiver import NEVER_PS
from nic.tcp.rto import MAX_PS, Rto

_DUPLICATES = 3
_AFTER_LOST_SYN_PS = 3 * PS_PER_S


@dataclass(slots=True)
class Sent:
    """A segment under way: positions [start, end), SYN and FIN included."""

    start: int
    end: int
    sent_ps: int
    times: int = 1
    sacked: bool = False
    lost: bool = False


class Sender:
    """Positions are of our sequence space; our SYN is at `iss`. `una`: oldest unacknowledged; `nxt`: next to be sent first.

    `dead` is true once a segment was sent as often as it may be.
    """

    def __init__(self, iss: int, config: TcpConfig, counters: Counter[str]) -> None:
        self.una = self.nxt = self.iss = iss
        self.edge = iss + 1  # end of the peer's window: at first, our SYN
        self.dead = False
        self.rto = Rto(config.min_rto_ps)
        self.mss = config.mss
        self.congestion = NewReno(config.mss)
        self.sack = False
        self._config, self._counters = config, counters
        self._data = bytearray()
        self._base = iss + 1  # position of _data[0]
        self._fin_queued = False
        self._largest_window = 0
        self._records: deque[Sent] = deque()
        self._probed = iss  # the end of what probes have carried
        self._duplicates = 0
        self._recovery_end = iss  # recovery, or the way back from a timeout, lasts until `una` gets there
        self._recovering = False
        self._force = False  # the first retransmission of a recovery may exceed the window
        self._retries = 0
        self._rto_at_ps = self._persist_at_ps = NEVER_PS
        self._persists = 0
        self._last_sent_ps = 0

    def established(self, mss: int, sack: bool) -> None:
        """What the handshake settled: the largest payload of a segment of ours, and whether the peer sends SACK."""
        self.mss, self.sack = mss, sack
        self.congestion = NewReno(mss)
        if self._retries:  # the SYN was lost: RFC 5681 3.1 and RFC 6298 5.7
            self.congestion.cwnd = mss
            self.rto.base_ps = max(self.rto.base_ps, _AFTER_LOST_SYN_PS)

    # what is queued

    def write(self, data: bytes) -> None:
        """Queue bytes."""
        self._data += data

    def finish(self) -> None:
        """Queue a FIN after them."""
        self._fin_queued = True

    @property
    def queue_end(self) -> int:
        """The position after everything queued, the FIN included."""
        return self.data_end + self._fin_queued

    @property
    def data_end(self) -> int:
        """The position after the last byte queued."""
        return self._base + len(self._data)

    @property
    def limit(self) -> int:
        """The furthest position that the peer may acknowledge."""
        return max(self.nxt, self._probed)

    def far_behind(self, position: int) -> bool:
        """Whether an acknowledgement is older than any that can still be on its way (RFC 5961 5.2)."""
        return position < self.una - self._largest_window

    @property
    def fin_acknowledged(self) -> bool:
        return self._fin_queued and self.una == self.queue_end

    def bytes_of(self, start: int, end: int) -> bytes:
        """The payload of [start, end)."""
        return bytes(self._data[max(0, start - self._base) : end - self._base])

    def holds_fin(self, end: int) -> bool:
        return self._fin_queued and end == self.queue_end

    # what is under way

    @property
    def flight(self) -> int:
        """Bytes believed to be in the network."""
        under_way = sum(r.end - r.start for r in self._records if not (r.sacked or r.lost))
        return under_way if self.sack else max(0, under_way - self._duplicates * self.mss)

    @property
    def outstanding(self) -> bool:
        return bool(self._records)

    def sent_before(self, position: int) -> bool:
        """Whether the segment under way that holds `position` has been sent more than once."""
        return any(record.times > 1 for record in self._records if record.start <= position < record.end)

    def start(self, now_ps: int) -> None:
        """Send our SYN."""
        self._send(Sent(self.iss, self.iss + 1, now_ps), now_ps)
        self.nxt = self.iss + 1

    def transmit(self, now_ps: int) -> list[tuple[int, int]]:
        """The segments that may leave now, as positions; they count as sent."""
        out: list[tuple[int, int]] = []
        flight = self.flight
        if not self._records and now_ps - self._last_sent_ps > self.rto.timeout_ps:
            self.congestion.idled()
        for record in self._records:
            size = record.end - record.start
            if not record.lost or record.sacked:
                continue
            if flight + size > self.congestion.cwnd and flight and not self._force:
                return out
            self._force = False
            record.lost = False
            record.times += 1
            record.sent_ps = now_ps
            self._counters["retransmitted"] += 1
            flight += size
            out.append((record.start, record.end))
        if self.una > self.iss:  # not before the handshake
            while (end := self._next_end()) > self.nxt and flight + end - self.nxt <= self.congestion.cwnd:
                self._send(Sent(self.nxt, end, now_ps), now_ps)
                out.append((self.nxt, end))
                flight += end - self.nxt
                self.nxt = end
        if out:
            self._last_sent_ps = now_ps
            if self._rto_at_ps == NEVER_PS:
                self._rto_at_ps = now_ps + self.rto.timeout_ps
        self._arm_persist(now_ps)
        return out

    def _send(self, record: Sent, now_ps: int) -> None:
        self._records.append(record)
        if self._rto_at_ps == NEVER_PS:
            self._rto_at_ps = now_ps + self.rto.timeout_ps

    def _next_end(self, forced: bool = False) -> int:
        """Where the next new segment ends; `nxt` if none should be sent (RFC 9293 3.8.6.2.1)."""
        usable = self.edge - self.nxt
        data = self.data_end - self.nxt
        size = min(self.mss, data, usable)
        if size < 0 or usable <= 0:
            return self.nxt
        whole = size in (self.mss, data) or 2 * size >= self._largest_window
        if not whole and not forced:
            return self.nxt
        fin = self._fin_queued and size == data and usable > size and self.nxt < self.queue_end
        return self.nxt + size + fin

    def _arm_persist(self, now_ps: int) -> None:
        blocked = not self._records and self.una > self.iss and self.nxt < self.queue_end
        if not blocked:
            self._persist_at_ps = NEVER_PS
            self._persists = 0
        elif self._persist_at_ps == NEVER_PS:
            self._persist_at_ps = now_ps + min(MAX_PS, self.rto.base_ps << min(self._persists, 16))

    # acknowledgements

    def acknowledge(
        self, position: int, edge: int, sacks: tuple[tuple[int, int], ...], duplicate: bool, now_ps: int
    ) -> None:
        """`position` (at most `limit`) is acknowledged, the window ends at `edge`; `duplicate`: nothing else in it was new."""
        self._largest_window = max(self._largest_window, edge - position)
        if edge > self.edge:
            self._persists = 0
        self.edge = edge
        self._retries = 0 if position > self.una or edge == self.una or not self._records else self._retries
        flight = self.flight
        news = self._mark_sacked(sacks) if self.sack else False
        if position > self.una:
            self._advance(position, flight, now_ps)
        elif self._records and (news if self.sack else duplicate):
            self._duplicates += 1
            self._counters["duplicate_acks"] += 1
        self._find_losses()

    def _mark_sacked(self, sacks: tuple[tuple[int, int], ...]) -> bool:
        news = False
        for start, end in sacks:
            if not self.una <= start < end <= self.nxt:
                if end > self.nxt or start >= end:  # else of what is acknowledged already
                    self._counters["strange_sacks"] += 1
                continue
            for record in self._records:
                if start <= record.start and record.end <= end and not record.sacked:
                    record.sacked, record.lost, news = True, False, True
        return news

    def _advance(self, position: int, flight: int, now_ps: int) -> None:
        count = position - self.una
        limited = flight + self.mss > self.congestion.cwnd
        clean = True
        newest = -1
        while self._records and self._records[0].end <= position:
            record = self._records.popleft()
            clean = clean and record.times == 1
            newest = record.sent_ps
        if self._records and self._records[0].start < position:
            self._records[0].start = position
        if clean and newest >= 0:
            self.rto.sample(now_ps - newest)
        self.una = position
        self.nxt = max(self.nxt, position)
        drop = min(max(0, position - self._base), len(self._data))
        del self._data[:drop]
        self._base += drop
        self.rto.progress()
        self._duplicates = 0
        self._rto_at_ps = now_ps + self.rto.timeout_ps if self._records else NEVER_PS
        if position >= self._recovery_end:
            self._recovering = False
        if self._recovering:
            head = self._records[0] if self._records else None
            if head is not None and head.times == 1 and not head.sacked:
                head.lost = self._force = True  # a partial acknowledgement: the next one is missing too
        elif limited:
            self.congestion.acknowledged(count)

    def _find_losses(self) -> None:
        if not self._records or self.una == self.iss:
            return
        head = self._records[0]
        above = [r.end - r.start for r in self._records if r.sacked]
        found = self._duplicates >= _DUPLICATES or len(above) >= _DUPLICATES or sum(above) > 2 * self.mss
        if found and not self._recovering and self.una >= self._recovery_end and not head.sacked:
            self._counters["fast_retransmits"] += 1
            self._recovering, self._recovery_end = True, self.nxt
            self.congestion.recover(sum(r.end - r.start for r in self._records))
            if head.times == 1:
                head.lost = self._force = True
        if not self._recovering or not above:
            return
        segments = total = 0
        for record in reversed(self._records):
            if record.sacked:
                segments += 1
                total += record.end - record.start
            elif record.times == 1 and (segments >= _DUPLICATES or total > 2 * self.mss):
                record.lost = True

    # timers

    @property
    def deadline_ps(self) -> int:
        return min(self._rto_at_ps, self._persist_at_ps)

    def stop(self) -> None:
        """No more timers."""
        self._rto_at_ps = self._persist_at_ps = NEVER_PS

    def on_time(self, now_ps: int) -> tuple[int, int] | None:
        """The deadline has come. Returns the positions of a probe to send at once, or None; then call `transmit`."""
        if now_ps >= self._rto_at_ps:
            self._timed_out(now_ps)
        if now_ps < self._persist_at_ps:
            return None
        self._persist_at_ps = NEVER_PS
        self._persists += 1
        self._strike()
        end = self._next_end(forced=True)
        if end > self.nxt:
            start, self.nxt = self.nxt, end
            self._send(Sent(start, end, now_ps), now_ps)
            return start, end
        self._counters["window_probes"] += 1
        self._probed = max(self._probed, self.nxt + 1)
        self._arm_persist(now_ps)
        return self.nxt, self.nxt + 1

    def _strike(self) -> None:
        self._retries += 1
        most = self._config.syn_retries if self.una == self.iss else self._config.retries
        self.dead = self._retries > most

    def _timed_out(self, now_ps: int) -> None:
        self._counters["timeouts"] += 1
        self._strike()
        self.rto.back_off()
        self._rto_at_ps = now_ps + self.rto.timeout_ps
        if not self._records:
            self._rto_at_ps = NEVER_PS
            return
        self.congestion.timed_out(sum(r.end - r.start for r in self._records), self._records[0].times == 1)
        self._recovering, self._recovery_end, self._duplicates = False, self.nxt, 0
        self._force = True
        for record in self._records:
            record.lost, record.sacked = True, False
