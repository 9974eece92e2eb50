# SPDX-License-Identifier: GPL-2.0-or-later
"""memcached's UDP framing, and matching of answers to requests by it.

Each datagram starts with 8 bytes, big-endian: request id, sequence number, number of datagrams in the message, reserved (memcached
doc/protocol.txt, published). memcached sends bare headers (8 bytes, nothing after, as a rule with 0 datagrams announced) in
some versions; they are no part of an answer and are ignored.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Iterator

from emu.errors import ConfigError
from emu.state import Count, Data, FrameBytes, State, checked, need, plain
from nic.exchanges import Exchange
from nic.frames import PROTO_UDP, Udp, parse_udp

FRAME = struct.Struct(">HHHH")
FRAME_BYTES = FRAME.size
DEFAULT_PORT = 11211
#: Datagrams of one answer we put together: 64 times 1400 bytes; memcached's largest item is 1 MiB.
MAX_DATAGRAMS = 1024


class ReassemblerState(State):
    """Datagrams by key and place, and how many there will be."""

    parts: dict[int, dict[Count, FrameBytes]]
    totals: dict[int, Count]
    malformed: Count
    bare_headers: Count


class Reassembler:
    """Puts answers together. Keys are (client port << 16) + request id."""

    def __init__(self) -> None:
        self._parts: dict[int, dict[int, bytes]] = {}
        self._totals: dict[int, int] = {}
        self.bare_headers = 0
        self.malformed = 0

    def request_key(self, frame: bytes) -> int:
        """The key of a request's Ethernet frame; -1 if it is none (not UDP, too short)."""
        if len(frame) >= 50 and frame[14] == 0x45 and frame[12:14] == b"\x08\x00" and frame[23] == PROTO_UDP:
            return int.from_bytes(frame[34:36], "big") << 16 | frame[42] << 8 | frame[43]
        udp = parse_udp(frame)
        if udp is None or len(udp.payload) < FRAME_BYTES:
            return -1
        return udp.src_port << 16 | udp.payload[0] << 8 | udp.payload[1]

    def answer_key(self, datagram: Udp) -> int:
        """The key of the request that a datagram from the server belongs to; -1 if it is not one."""
        payload = datagram.payload
        if len(payload) < FRAME_BYTES:
            self.malformed += 1
            return -1
        if len(payload) == FRAME_BYTES:
            self.bare_headers += 1
            return -1
        return datagram.dst_port << 16 | payload[0] << 8 | payload[1]

    def feed(self, key: int, datagram: Udp) -> bytes | None:
        """Take a datagram of the answer to `key`. Returns the answer without frame headers, once it is complete."""
        payload = datagram.payload
        _, sequence, total, _ = FRAME.unpack_from(payload)
        if total == 1 and sequence == 0:
            if self._parts:
                self.forget(key)
            return payload[FRAME_BYTES:]
        if sequence >= total or total > MAX_DATAGRAMS or self._totals.setdefault(key, total) != total:
            self.malformed += 1
            return None
        parts = self._parts.setdefault(key, {})
        parts.setdefault(sequence, payload[FRAME_BYTES:])
        if len(parts) < total:
            return None
        self.forget(key)
        return b"".join(parts[place] for place in range(total))

    def save(self) -> Data:
        """Answers that have come in part."""
        return plain(ReassemblerState(self._parts, self._totals, self.malformed, self.bare_headers))

    def restore(self, data: Data) -> None:
        """Take them. Raises BadSnapshot."""
        state = checked(ReassemblerState, data, "answers that came in part")
        for key, parts in state.parts.items():
            total = state.totals.get(key, 0)
            fits = 2 <= total <= MAX_DATAGRAMS and len(parts) < total and all(place < total for place in parts)
            need(fits, "answers that came in part", f"{len(parts)} of {total} datagrams")
        self._parts, self._totals = state.parts, state.totals
        self.malformed, self.bare_headers = state.malformed, state.bare_headers

    def forget(self, key: int) -> None:
        """Drop what has come of an answer."""
        self._parts.pop(key, None)
        self._totals.pop(key, None)


class Recorded(Reassembler):
    """Puts together answers of which a recording exists: one is complete when it is as long, or is no longer its beginning.

    A server may answer one request with several messages (a value, then END), and only the recording knows how many.

    Args:
        answers: key and recorded answer (None: there is none) of each request, in the order in which they are sent.
    """

    def __init__(self, answers: Iterable[tuple[int, bytes | None]]) -> None:
        super().__init__()
        self._to_come: dict[int, deque[bytes]] = {}
        for key, answer in answers:
            self._to_come.setdefault(key, deque()).append(answer or b"")
        self._recorded: dict[int, bytes] = {}
        self._so_far: dict[int, bytes] = {}

    def save(self) -> Data:
        """As the base's, before the first request. Raises ConfigError behind it: what is to come is the load's."""
        if self._recorded:
            raise ConfigError("no snapshot can be taken while a recording is replayed: take it before")
        return super().save()

    def request_key(self, frame: bytes) -> int:
        """As the base's; the next recorded answer of that key is waited for from now on."""
        key = super().request_key(frame)
        waiting = self._to_come.get(key)
        self._recorded[key] = waiting.popleft() if waiting else b""
        self._so_far.pop(key, None)
        return key

    def feed(self, key: int, datagram: Udp) -> bytes | None:
        """Take a datagram of the answer to `key`. Returns all messages joined, without frame headers, at the end."""
        so_far, recorded = self._so_far.pop(key, b""), self._recorded.get(key, b"")
        message = super().feed(key, datagram)
        whole = so_far + (message or b"")
        if message is None or (len(whole) < len(recorded) and recorded.startswith(whole)):
            self._so_far[key] = whole
            return None
        return whole

    def forget(self, key: int) -> None:
        """Drop what has come of an answer."""
        super().forget(key)
        self._so_far.pop(key, None)


def datagram(ident: int, body: bytes) -> bytes:
    """A request's datagram: one frame header, then the text."""
    return FRAME.pack(ident & 0xFFFF, 0, 1, 0) + body


def pair_exchanges(frames: Iterable[tuple[int, bytes]], server_port: int = DEFAULT_PORT) -> Iterator[Exchange]:
    """Pair requests to UDP port `server_port` with their answers, out of (time_ns, Ethernet frame).

    memcached may answer one request with several messages (a value, then END): they are joined, in the capture's order. A key
    used again closes the exchange before it. Exchanges come in the order of their requests.
    """
    exchanges: list[Exchange] = []
    latest: dict[int, int] = {}
    reassembler = Reassembler()
    for time_ns, frame in frames:
        udp = parse_udp(frame)
        if udp is None:
            continue
        if udp.dst_port == server_port:
            key = reassembler.request_key(frame)
            if key >= 0:
                reassembler.forget(key)
                latest[key] = len(exchanges)
                exchanges.append(Exchange(time_ns, frame, key, None))
        elif udp.src_port == server_port:
            key = reassembler.answer_key(udp)
            place = latest.get(key)
            if place is None:
                continue
            answer = reassembler.feed(key, udp)
            if answer is not None:
                whole = (exchanges[place].answer or b"") + answer
                exchanges[place] = exchanges[place]._replace(answer=whole)
    yield from exchanges
