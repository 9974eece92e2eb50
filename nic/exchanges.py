# SPDX-License-Identifier: GPL-2.0-or-later
"""A recording's requests with their answers, and what the replaying client has to know of a protocol over UDP."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from nic.matching import Matcher


class Exchange(NamedTuple):
    """A request of a capture and what answered it; `answer` is None if the capture has no complete one."""

    time_ns: int
    frame: bytes
    key: int
    answer: bytes | None


class Paired(NamedTuple):
    """Exchanges in the order of their requests, and how many of the server's datagrams answer none of them."""

    exchanges: list[Exchange]
    strays: int


class Application(Protocol):
    """A protocol of requests and answers, each in UDP datagrams. Nothing here raises, whatever the datagrams hold.

    Attributes:
        port: the server's usual one; 0: none.
        may_differ: what of an answer may differ from the recorded one and still be right, in words; empty: nothing.
    """

    @property
    def name(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def may_differ(self) -> str: ...
    def pair(self, frames: Iterable[tuple[int, bytes]], port: int) -> Paired:
        """Pair requests to UDP `port` with their answers, out of (time_ns, Ethernet frame)."""

    def matcher(self, exchanges: Sequence[Exchange]) -> Matcher:
        """For a client that sends just these requests, in this order."""

    def comparable(self, answer: bytes) -> bytes:
        """The answer with what may differ set to zero."""

    def text(self, payload: bytes) -> bytes:
        """A request's datagram as a person would want to see it in a message."""
