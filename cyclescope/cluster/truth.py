# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether answers are true: a store may forget and a network may lose, but no key has a value that nobody stored under it.

UDP promises no order and no uniqueness, so a GET may see any value whose SET was sent by then. A value is told by its size and its
first letter, which is all that the load's values differ in.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

from nic.memcached_udp import FRAME_BYTES

_SET = re.compile(rb"set (\S+) 0 0 (\d+)\r\n(.*)\r\n", re.DOTALL)
_GET = re.compile(rb"get (\S+)\r\n")
_VALUE = re.compile(rb"VALUE (\S+) 0 (\d+)\r\n(.*)\r\nEND\r\n", re.DOTALL)


class Request(NamedTuple):
    """What was asked: a key, and the value to store, or None for a GET."""

    key: bytes
    value: bytes | None


def request_of(datagram: bytes) -> Request:
    """The load's request in a UDP payload. Raises ValueError for what is none of it."""
    body = datagram[FRAME_BYTES:]
    if match := _GET.fullmatch(body):
        return Request(match[1], None)
    if match := _SET.fullmatch(body):
        return Request(match[1], match[3])
    raise ValueError(f"not a request of the load: {body[:40]!r}")


class Truth:
    """Tell it each request in the order sent, then each answer by the request's place.

    counts: `stored`, `hit`, `miss`, `refused` (an error in the server's words), `wrong`; `first_wrong` is the first of those.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.first_wrong = ""
        self.kinds: dict[int, str] = {}  # by the request's place
        self._asked: list[Request] = []
        self._stored: dict[bytes, set[bytes]] = {}

    def ask(self, request: Request) -> None:
        """The next request."""
        self._asked.append(request)
        if request.value is not None:
            self._stored.setdefault(request.key, set()).add(request.value)

    def answer(self, index: int, answer: bytes, time_ps: int) -> None:
        """What came back for request `index`."""
        kind = self._judge(self._asked[index], answer)
        self.counts[kind] += 1
        self.kinds[index] = kind
        if kind == "wrong" and not self.first_wrong:
            self.first_wrong = f"request {index + 1} ({self._asked[index].key.decode(errors='replace')}): {answer[:80]!r}"

    def _judge(self, request: Request, answer: bytes) -> str:
        if answer.startswith((b"SERVER_ERROR", b"CLIENT_ERROR", b"ERROR")):
            return "refused"
        if request.value is not None:
            return "stored" if answer == b"STORED\r\n" else "wrong"
        if answer == b"END\r\n":
            return "miss"
        match = _VALUE.fullmatch(answer)
        true = match and match[1] == request.key and len(match[3]) == int(match[2])
        return "hit" if match and true and match[3] in self._stored.get(request.key, ()) else "wrong"
