# SPDX-License-Identifier: GPL-2.0-or-later
"""memcached over UDP, as an Application: nic/memcached_udp.py has the framing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nic.exchanges import Exchange, Paired
from nic.memcached_udp import DEFAULT_PORT, FRAME_BYTES, Recorded, pair_exchanges


class Memcached:
    """Answers of several datagrams, several messages even. Implements Application."""

    name = "memcached"
    port = DEFAULT_PORT
    may_differ = ""

    def pair(self, frames: Iterable[tuple[int, bytes]], port: int) -> Paired:
        """As in Application; bare headers and other datagrams that are no part of an answer are not counted."""
        return Paired(list(pair_exchanges(frames, port)), 0)

    def matcher(self, exchanges: Sequence[Exchange]) -> Recorded:
        """As in Application."""
        return Recorded((exchange.key, exchange.answer) for exchange in exchanges)

    def comparable(self, answer: bytes) -> bytes:
        """The answer itself: all of it is the server's to give."""
        return answer

    def text(self, payload: bytes) -> bytes:
        """The command, without its frame header."""
        return payload[FRAME_BYTES:]
