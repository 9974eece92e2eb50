# SPDX-License-Identifier: GPL-2.0-or-later
"""A node's other end in Python, written from docs/messages.md: for tests that say what no library OS would say."""

import select
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

HEAD, DATA = struct.Struct("<HBBHHIIII"), struct.Struct("<IIIHH")
MAGIC, VERSION, BODY, WINDOW = 0x4D4C, 1, 1400, 32
WITH_DATA, LAST, ANSWER = 1, 2, 0x80000000


@dataclass(frozen=True)
class Message:
    ebb: int
    call: int
    type: int
    body: bytes


class Peer:
    """Node `own` as node `other` at a port of this host sees it. `on_message` runs for each message that comes."""

    def __init__(
        self, sock: socket.socket, own: int, other: int, port: int, on_message: Callable[[Message], None], session: int = 1
    ) -> None:
        self.sock, self.own, self.other, self.there = sock, own, other, ("127.0.0.1", port)
        self.on_message, self.session = on_message, session << 16
        self.their_session = 0
        self.expected = 0  # in
        self.body = b""
        self.sequence = 0  # out: of the next segment that was never sent
        self.unacknowledged: deque[bytes] = deque()
        self.waiting: deque[tuple[int, bytes]] = deque()
        self.sent_at = 0.0

    def send(self, ebb: int, type_: int, body: bytes, call: int = 0) -> None:
        """Whole, in order, once the window has room."""
        parts = [body[at : at + BODY] for at in range(0, len(body), BODY)] or [b""]
        for number, part in enumerate(parts):
            flags = WITH_DATA | (LAST if number == len(parts) - 1 else 0)
            self.waiting.append((flags, DATA.pack(ebb, call, len(body), type_, len(part)) + part))

    def answer(self, question: Message, type_: int, body: bytes) -> None:
        self.send(question.ebb, type_, body, question.call | ANSWER)

    def run(self, seconds: float, done: Callable[[], bool] = lambda: False) -> bool:
        """Until `done`, whose value is returned, or so long."""
        end = time.monotonic() + seconds
        while not done() and time.monotonic() < end:
            self._push()
            if select.select([self.sock], [], [], 0.002)[0]:
                while self._take():
                    pass
            if self.unacknowledged and time.monotonic() - self.sent_at > 0.05:
                self._put(*self._oldest())
        return done()

    @property
    def quiet(self) -> bool:
        """All that was sent is acknowledged."""
        return not self.waiting and not self.unacknowledged

    def _oldest(self) -> tuple[int, bytes, int]:
        flags, data = self.unacknowledged[0][0], self.unacknowledged[0][1:]
        return flags, data, self.sequence - len(self.unacknowledged)

    def _put(self, flags: int, data: bytes, sequence: int) -> None:
        head = HEAD.pack(
            MAGIC, VERSION, flags, self.own, self.other, self.session, self.their_session, sequence, self.expected
        )
        self.sent_at = time.monotonic()
        self.sock.sendto(head + data, self.there)

    def _push(self) -> None:
        if not self.their_session:
            self._put(0, b"", self.sequence)
        while self.their_session and self.waiting and len(self.unacknowledged) < WINDOW:
            flags, data = self.waiting.popleft()
            self.unacknowledged.append(bytes([flags]) + data)
            self._put(flags, data, self.sequence)
            self.sequence += 1

    def _take(self) -> bool:
        try:
            datagram = self.sock.recv(2048, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        fields = HEAD.unpack_from(datagram)
        flags, session, ours, sequence, expected = fields[2], *fields[5:9]
        if session > self.their_session:
            self.their_session, self.expected, self.body = session, 0, b""
        if ours != self.session or session != self.their_session:
            self._put(0, b"", self.sequence)
            return True
        while self.unacknowledged and self.sequence - len(self.unacknowledged) < expected:
            self.unacknowledged.popleft()
        if flags & WITH_DATA:
            if sequence == self.expected:
                self._data(flags, datagram[HEAD.size :])
            self._put(0, b"", self.sequence)
        return True

    def _data(self, flags: int, data: bytes) -> None:
        ebb, call, _, type_, _ = DATA.unpack_from(data)
        self.expected += 1
        self.body += data[DATA.size :]
        if flags & LAST:
            body, self.body = self.body, b""
            self.on_message(Message(ebb, call, type_, body))
