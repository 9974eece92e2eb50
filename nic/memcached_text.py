# SPDX-License-Identifier: GPL-2.0-or-later
"""memcached's text protocol as a stream: where one answer ends and the next begins (memcached doc/protocol.txt, published).

An answer is one line (STORED, NOT_FOUND, a number, SERVER_ERROR ...), or items (VALUE with as many bytes as it says) or
statistics (STAT) up to END. Answers come in the order of the commands, so which one a server answers need not be known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nic.memcached_udp import FRAME_BYTES

MAX_LINE_BYTES = 2048  # memcached's own lines end long before
MAX_VALUE_BYTES = 128 << 20  # and its items, at the largest -I
_LISTED = (b"VALUE ", b"STAT ")


class StreamError(Exception):
    """The server's bytes are no answer; the text is the end of a sentence about them."""


class Answers:
    """Cuts a byte stream into answers. `feed` takes bytes as they come, split or merged anyhow."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._at = 0  # where in them the next line of the answer begins

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The answers that are complete now, in order. Raises StreamError."""
        self._bytes += data
        while True:
            end = self._bytes.find(b"\r\n", self._at)
            if (len(self._bytes) if end < 0 else end) - self._at > MAX_LINE_BYTES:
                raise StreamError(f"a line of over {MAX_LINE_BYTES} bytes")
            if end < 0:
                return
            line = bytes(self._bytes[self._at : end])
            if not line:
                raise StreamError("an empty line")
            after = end + 2
            if line.startswith(b"VALUE "):
                after += self._item_bytes(line) + 2
                if len(self._bytes) < after:
                    return
                if self._bytes[after - 2 : after] != b"\r\n":
                    raise StreamError("an item longer than it says")
            if line.startswith(_LISTED):
                self._at = after
                continue
            answer = bytes(self._bytes[:after])
            del self._bytes[:after]
            self._at = 0
            yield answer

    @staticmethod
    def _item_bytes(line: bytes) -> int:
        words = line.split(b" ")
        if len(words) not in (4, 5) or not words[3].isdigit() or len(words[3]) > 9 or int(words[3]) > MAX_VALUE_BYTES:
            raise StreamError(f"the line {line[:60].decode('ascii', 'backslashreplace')!r}")
        return int(words[3])


def commands(datagrams: Iterable[bytes]) -> Iterator[bytes]:
    """The same commands without UDP's frame headers."""
    return (datagram[FRAME_BYTES:] for datagram in datagrams)
