# SPDX-License-Identifier: GPL-2.0-or-later
"""Protocols in which one datagram asks and one answers: found by the flow and, where there is one, a transaction identifier.

Requests of one flow with one identifier (or none) are answered in their order: the oldest that waits gets the answer. Where a
protocol has no identifier and an answer is lost, later answers of that flow go to the wrong requests: nothing can tell.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from emu.errors import ConfigError
from emu.state import Count, Data, State, checked, plain
from nic.exchanges import Exchange, Paired
from nic.frames import Udp, parse_udp

Identifier = Callable[[bytes], bytes]


def _none(payload: bytes) -> bytes:
    return b""


def _as_it_is(payload: bytes) -> bytes:
    return payload


@dataclass(frozen=True)
class Datagrams:
    """Such a protocol. `asked` and `answered` find the identifier in a request and in an answer; as in Application else."""

    name: str
    port: int = 0
    asked: Identifier = _none
    answered: Identifier = _none
    may_differ: str = ""
    masked: Callable[[bytes], bytes] = _as_it_is
    shown: Callable[[bytes], bytes] = _as_it_is

    def pair(self, frames: Iterable[tuple[int, bytes]], port: int) -> Paired:
        """As in Application. A datagram from `port` to `port` is an answer where a request waits for it, else a request."""
        exchanges: list[Exchange] = []
        waiting: dict[tuple[bytes, int, bytes, bytes], deque[int]] = {}
        strays = 0
        for time_ns, frame in frames:
            udp = parse_udp(frame)
            if udp is None or port not in (udp.src_port, udp.dst_port):
                continue
            if udp.src_port == port:
                queue = waiting.get((udp.dst_ip, udp.dst_port, udp.src_ip, self.answered(udp.payload)))
                if queue:
                    place = queue.popleft()
                    exchanges[place] = exchanges[place]._replace(answer=udp.payload)
                    continue
            if udp.dst_port == port:
                flow = (udp.src_ip, udp.src_port, udp.dst_ip, self.asked(udp.payload))
                waiting.setdefault(flow, deque()).append(len(exchanges))
                exchanges.append(Exchange(time_ns, frame, len(exchanges), None))
            else:
                strays += 1
        return Paired(exchanges, strays)

    def matcher(self, exchanges: Sequence[Exchange]) -> DatagramMatcher:
        """As in Application."""
        return DatagramMatcher(self)

    def comparable(self, answer: bytes) -> bytes:
        """As in Application."""
        return self.masked(answer)

    def text(self, payload: bytes) -> bytes:
        """As in Application."""
        return self.shown(payload)


class DatagramMatcherState(State):
    """Datagrams from the server that no request waited for."""

    unexpected: Count


class DatagramMatcher:
    """Keys are the requests' numbers, so that any number of one flow can be under way. Implements Matcher."""

    def __init__(self, protocol: Datagrams) -> None:
        self._protocol = protocol
        self._sent = 0
        self._waiting: dict[tuple[int, bytes], deque[int]] = {}
        self._flows: dict[int, tuple[int, bytes]] = {}
        self.unexpected = 0

    def request_key(self, frame: bytes) -> int:
        """The next number; -1 for a frame that is no UDP datagram."""
        udp = parse_udp(frame)
        if udp is None:
            return -1
        key, flow = self._sent, (udp.src_port, self._protocol.asked(udp.payload))
        self._sent += 1
        self._flows[key] = flow
        self._waiting.setdefault(flow, deque()).append(key)
        return key

    def answer_key(self, datagram: Udp) -> int:
        """The oldest request of that flow and identifier that waits; -1: none does."""
        queue = self._waiting.get((datagram.dst_port, self._protocol.answered(datagram.payload)))
        if not queue:
            self.unexpected += 1
            return -1
        return queue[0]

    def feed(self, key: int, datagram: Udp) -> bytes | None:
        """The datagram is the answer."""
        self.forget(key)
        return datagram.payload

    def forget(self, key: int) -> None:
        """The request waits no more."""
        flow = self._flows.pop(key, None)
        if flow is None:
            return
        queue = self._waiting[flow]
        queue.remove(key)
        if not queue:
            del self._waiting[flow]

    def save(self) -> Data:
        """Between loads. Raises ConfigError while a request waits."""
        if self._flows:
            raise ConfigError("no snapshot can be taken while a recording is replayed: take it before")
        return plain(DatagramMatcherState(self.unexpected))

    def restore(self, data: Data) -> None:
        """Take it. Raises BadSnapshot."""
        self.unexpected = checked(DatagramMatcherState, data, "the client's matcher").unexpected
