# SPDX-License-Identifier: GPL-2.0-or-later
"""The client over TCP: the endpoint's loads, spread over connections, answers matched in order.

Requests are commands (bytes), not frames. All connections are opened when a load begins. In an open loop requests go to the
connections in turn; a request that is not yet answered does not hold back the next on its connection (pipelining). In a closed
loop the next request goes where an answer has just come, or, with fewer outstanding than connections, to the next idle one in turn.

A connection that ends early takes its unanswered requests with it (`cut_off`), and is opened anew by the next request
that wants it (`reconnects`). Bytes that are no answer, or the answer to nothing, end the connection with a reset. `failure`
is the last reason, in one sentence.

The time until a request's first byte leaves (handshake, windows) is charged as `wait.link`, that until a segment is sent again as
`wait.retransmission`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, Unpack

from emu.errors import ConfigError
from emu.state import Data, State, checked, plain
from emu.units import PS_PER_S
from nic.endpoint import Endpoint, Wiring
from nic.frames import Udp
from nic.matching import EndpointConfig
from nic.memcached_text import Answers, StreamError
from nic.memcached_udp import DEFAULT_PORT
from nic.tcp.config import TcpConfig
from nic.tcp.host import TcpHost

TIMEOUT_PS = 30 * PS_PER_S
"""When an unanswered request counts as lost: far above the retransmission timeouts that a lost frame costs."""
MAX_CONNECTIONS = 10_000


class AnswerStream(Protocol):
    """How a protocol's answers are cut from a connection's bytes."""

    def feed(self, data: bytes) -> Iterator[bytes]: ...


class _Numbers:
    """The endpoint's matcher: requests are numbered, answers find them by their place."""

    def __init__(self) -> None:
        self.latest = -1

    def request_key(self, frame: bytes) -> int:
        self.latest += 1
        return self.latest

    def answer_key(self, datagram: Udp) -> int:
        return -1

    def feed(self, key: int, datagram: Udp) -> bytes | None:
        return None

    def forget(self, key: int) -> None:
        """Nothing is kept."""

    def save(self) -> Data:
        """Raises ConfigError once a request was sent: connections are in no snapshot."""
        if self.latest >= 0:
            raise ConfigError("a client over TCP that has sent requests cannot be in a snapshot: take it before")
        return plain(State())

    def restore(self, data: Data) -> None:
        """Nothing is kept. Raises BadSnapshot when there is something."""
        checked(State, data, "the client's matcher")


class _Lane:
    """A connection of ours, or where one was: what it is waiting for."""

    __slots__ = ("number", "pending", "stream")

    def __init__(self, stream: AnswerStream) -> None:
        self.number = -1  # the host's; -1: not connected
        self.pending: deque[int] = deque()
        self.stream = stream


class TcpClient(Endpoint):
    """An Endpoint over `connections` connections to the guest's `port`. `config.timeout_ps` should be TIMEOUT_PS or so."""

    def __init__(
        self,
        name: str,
        config: EndpointConfig,
        *,
        connections: int = 1,
        port: int = DEFAULT_PORT,
        tcp: TcpConfig | None = None,
        stream: Callable[[], AnswerStream] = Answers,
        **wired: Unpack[Wiring],
    ) -> None:
        if not 1 <= connections <= MAX_CONNECTIONS:
            raise ConfigError(f"the client has {connections} connections: give 1 to {MAX_CONNECTIONS}")
        if not 1 <= port <= 65_535:
            raise ConfigError(f"the server's port is {port}: give 1 to 65535")
        self._numbers = _Numbers()
        super().__init__(name, config, matcher=self._numbers, **wired)
        self.failure = ""
        self.host = TcpHost(
            f"{name}.tcp", config.mac, config.ip, config.guest_ip, config.guest_mac,
            service=self, clock=wired["clock"], sender=wired["sender"], requests=wired["requests"], config=tcp,
        )  # fmt: skip
        self._port, self._stream = port, stream
        self._lanes = [_Lane(stream()) for _ in range(connections)]
        self._by_number: dict[int, _Lane] = {}
        self._turn = 0
        self._answering: _Lane | None = None
        self._depth = 0  # requests outstanding, in a closed loop

    def closed_loop(self, outstanding: int, frames: Iterable[bytes], start_ps: int, think_ps: int = 0) -> None:
        """As the endpoint's, with commands."""
        self._depth = outstanding
        super().closed_loop(outstanding, frames, start_ps, think_ps)

    def close(self, time_ps: int) -> None:
        """Close every connection; unanswered requests may still be answered."""
        for number in list(self._by_number):
            self.host.close(number, time_ps)

    def _begin(self, frames: Iterable[bytes]) -> None:
        super()._begin(frames)
        for lane in self._lanes:
            if lane.number < 0:
                self._connect(lane, self._clock.now_ps)

    def _connect(self, lane: _Lane, time_ps: int) -> None:
        lane.number = self.host.connect(self._port, time_ps)
        lane.stream = self._stream()
        self._by_number[lane.number] = lane

    def _transmit(self, frame: bytes, token: int, time_ps: int) -> None:
        lane = self._choose()
        if lane.number < 0:
            self.counters["reconnects"] += 1
            self._connect(lane, time_ps)
        lane.pending.append(self._numbers.latest)
        self.host.write(lane.number, frame, time_ps, token)

    def _choose(self) -> _Lane:
        closed, lanes = self._times is None, self._lanes
        if closed and self._answering is not None and self._depth >= len(lanes):
            return self._answering
        for _ in lanes:
            lane = lanes[self._turn]
            self._turn = (self._turn + 1) % len(lanes)
            if not closed or not lane.pending:
                return lane
        lane = lanes[self._turn]  # each is busy
        self._turn = (self._turn + 1) % len(lanes)
        return lane

    # what the host says

    def ready(self, number: int, time_ps: int) -> None:
        """A connection is open: what was written to it leaves by itself."""

    def arrived(self, number: int, data: bytes, time_ps: int) -> None:
        """Bytes of answers."""
        lane = self._by_number.get(number)
        if lane is None:
            return
        try:
            for answer in lane.stream.feed(data):
                if not lane.pending:
                    self.counters["unexpected"] += 1
                    raise StreamError("an answer to nothing")
                key = lane.pending.popleft()
                if key not in self._outstanding:
                    self.counters["late"] += 1
                    continue
                self._answering = lane
                self._complete(key, answer, time_ps)
                self._answering = None
        except StreamError as error:
            self.counters["malformed"] += 1
            self.host.abort(number, f"sent what is no answer: {error}", time_ps)

    def half_closed(self, number: int, time_ps: int) -> None:
        """The server closes: nothing more will come. Unless we have closed, it does so early."""
        if self._by_number[number].pending:
            self.failure = self._sentence("closed a connection with requests unanswered")
        self._leave(number, time_ps)
        self.host.close(number, time_ps)

    def ended(self, number: int, error: str, time_ps: int) -> None:
        """The connection is over."""
        if error:
            self.counters["connection_errors"] += 1
            self.failure = self._sentence(error)
        self._leave(number, time_ps)

    def _sentence(self, error: str) -> str:
        return f"{self.config.guest_ip}, port {self._port}, {error}"

    def _leave(self, number: int, time_ps: int) -> None:
        """Its requests are lost."""
        lane = self._by_number.pop(number, None)
        if lane is None:
            return
        lane.number = -1
        pending, lane.pending = lane.pending, deque()
        for key in pending:
            index = self._outstanding.pop(key, None)
            if index is not None:
                self.counters["cut_off"] += 1
                self._give_up(key, index, time_ps)
        if pending:
            self._maybe_done(time_ps)
