# SPDX-License-Identifier: GPL-2.0-or-later
"""An output-queued Ethernet switch: learn, forward, queue at the output, drop at the tail.

A frame is forwarded `forwarding_ps` after its last bit arrived, to the port its destination was learnt at, or to all others.
Each output port queues first in, first out; a frame that would take the queue (frames not yet begun, in bytes) past the limit is
dropped and counted. Waiting is charged as `wait.switch`, forwarding as `run.switch`.

Cross traffic, if asked for, is other people's frames through the same output port. They are generated when a real frame
needs to know about them, from a seeded generator of the port's own, so they cost no events and end with the run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from msgspec import Meta

from emu.errors import ConfigError
from emu.state import Count, Data, State, Time, checked, need, plain
from emu.units import PS_PER_S
from nic.link import Port, wire_bytes
from nic.ports import Frame, Requests

#: (time of the last bit [ps], "rx": the switch takes it in, or "tx", frame)
Mirror = Callable[[int, str, Frame], None]

_CHUNK = 1024
_Word = Annotated[bytes, Meta(min_length=16, max_length=16)]  # 128 bits of PCG64's
_LEARNT_MAX = 8192  # addresses; later ones are flooded, as where a switch's table is full


@dataclass(frozen=True, slots=True)
class SwitchConfig:
    """Defaults: forwarding 300 ns after the last bit (assumed: the class of a data-centre switch), 512 KiB a port (assumed)."""

    forwarding_ps: int = 300_000
    queue_limit_bytes: int = 512 * 1024

    def __post_init__(self) -> None:
        if self.forwarding_ps < 0 or self.queue_limit_bytes < 1518:
            raise ConfigError("a switch needs a forwarding latency of at least 0 and a queue of at least 1518 bytes")


@dataclass(frozen=True, slots=True)
class CrossTraffic:
    """Poisson bursts of `burst` back-to-back frames of `frame_bytes`, on average `load` (0..0.95) of the port's rate."""

    load: float
    frame_bytes: int = 1514
    burst: int = 1
    seed: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.load <= 0.95 or not 60 <= self.frame_bytes <= 9018 or self.burst < 1:
            raise ConfigError(
                "cross traffic needs a load of 0 to 0.95, frames of 60 to 9018 bytes and bursts of at least 1"
            )


class CrossingState(State):
    """Bursts worked out and not yet due, and the generator of the next."""

    generator: tuple[_Word, _Word]
    last_ps: Time
    next_ps: Time
    times: Annotated[list[Time], Meta(max_length=_CHUNK)]


class SwitchPortState(State):
    """An output's queue and counts."""

    queued: list[tuple[Time, Count]]
    drops: Count
    cross_frames: Count
    cross_drops: Count
    deepest_bytes: Count
    crossing: CrossingState | None


class SwitchState(State):
    """What was learnt, and the ports."""

    learnt: Annotated[list[tuple[Annotated[bytes, Meta(min_length=6, max_length=6)], Count]], Meta(max_length=_LEARNT_MAX)]
    flooded: Count
    runts: Count
    ports: list[SwitchPortState]


class _Crossing:
    """The cross traffic of one output port: burst times, worked out a chunk at a time."""

    def __init__(self, traffic: CrossTraffic, bits_per_s: int) -> None:
        self.traffic = traffic
        burst_ps = wire_bytes(traffic.frame_bytes) * 8 * PS_PER_S / bits_per_s * traffic.burst
        self._mean_gap_ps = burst_ps / traffic.load
        self._rng = np.random.Generator(np.random.PCG64(traffic.seed))
        self._last_ps = 0
        self._times: deque[int] = deque()
        self.next_ps = 0
        self.advance()

    def state(self) -> CrossingState:
        """For saving."""
        words: dict[str, int] = self._rng.bit_generator.state["state"]
        generator = (words["state"].to_bytes(16, "little"), words["inc"].to_bytes(16, "little"))
        return CrossingState(generator, self._last_ps, self.next_ps, list(self._times))

    def take(self, state: CrossingState) -> None:
        """The opposite. Raises BadSnapshot."""
        times = [state.next_ps, *state.times, state.last_ps]
        need(times == sorted(times), "cross traffic", "bursts that go back in time")
        word, increment = (int.from_bytes(each, "little") for each in state.generator)
        self._rng.bit_generator.state = {
            **self._rng.bit_generator.state, "state": {"state": word, "inc": increment | 1}  # PCG64's is odd
        }  # fmt: skip
        self._last_ps, self.next_ps, self._times = state.last_ps, state.next_ps, deque(state.times)

    def advance(self) -> None:
        """Go on to the next burst."""
        if not self._times:
            gaps = np.rint(self._rng.exponential(self._mean_gap_ps, _CHUNK)).astype(np.int64)
            times = (self._last_ps + np.cumsum(gaps)).tolist()
            self._last_ps = times[-1]
            self._times.extend(times)
        self.next_ps = self._times.popleft()


class SwitchPort:
    """One port: the receiver at its link's end, and the queue of what goes out there."""

    def __init__(self, switch: Switch, index: int, port: Port, traffic: CrossTraffic | None) -> None:
        self._switch = switch
        self.index = index
        self.link_end = port
        self._limit = switch.config.queue_limit_bytes
        self._queued: deque[tuple[int, int]] = deque()  # (when its first bit leaves, bytes)
        self._queued_bytes = 0
        self._crossing: _Crossing | None = None
        if traffic is not None and traffic.load > 0:
            self._crossing = _Crossing(traffic, port.link.config.bits_per_s)
        self.drops = 0
        self.cross_frames = 0
        self.cross_drops = 0
        self.deepest_bytes = 0
        self.mirror: Mirror | None = None  # is shown every frame that comes or goes here
        port.attach(self)

    def receive(self, frame: Frame, time_ps: int) -> None:
        """A frame came in here."""
        if self.mirror is not None:
            self.mirror(time_ps, "rx", frame)
        self._switch.forward(self.index, frame, time_ps)

    def state(self) -> SwitchPortState:
        """For saving."""
        crossing = self._crossing.state() if self._crossing is not None else None
        return SwitchPortState(
            list(self._queued), self.drops, self.cross_frames, self.cross_drops, self.deepest_bytes, crossing
        )

    def take(self, state: SwitchPortState) -> None:
        """The opposite. Raises BadSnapshot."""
        where = f"switch port {self.index}"
        need((state.crossing is None) == (self._crossing is None), where, "cross traffic")
        queued = sum(size for _, size in state.queued)
        need(queued <= self._limit and state.queued == sorted(state.queued, key=lambda entry: entry[0]), where, "a queue")
        self._queued, self._queued_bytes = deque(state.queued), queued
        self.drops, self.cross_frames, self.cross_drops = state.drops, state.cross_frames, state.cross_drops
        self.deepest_bytes = state.deepest_bytes
        if self._crossing is not None and state.crossing is not None:
            self._crossing.take(state.crossing)

    def _room(self, size: int, time_ps: int) -> bool:
        """Whether the queue, as it will be at `time_ps`, has room for `size` more bytes."""
        queued = self._queued
        while queued and queued[0][0] <= time_ps:
            self._queued_bytes -= queued.popleft()[1]
        return self._queued_bytes + size <= self._limit

    def _entered(self, size: int, time_ps: int, end_ps: int) -> None:
        start = end_ps - self.link_end.link.serialization_ps(size)
        if start > time_ps:
            self._queued.append((start, size))
            self._queued_bytes += size
            if self._queued_bytes > self.deepest_bytes:
                self.deepest_bytes = self._queued_bytes

    def output(self, frame: Frame, time_ps: int) -> None:
        """Queue a frame that was forwarded at `time_ps` (never earlier than the last one). Full: drop."""
        if self._crossing is not None:
            self._cross_until(self._crossing, time_ps)
        elif not self._queued and self.link_end.busy_until_ps <= time_ps:
            self._send(frame, time_ps)
            return
        size = len(frame.data)
        if not self._room(size, time_ps):
            self.drops += 1
            return
        self._entered(size, time_ps, self._send(frame, time_ps))

    def _send(self, frame: Frame, time_ps: int) -> int:
        end_ps = self.link_end.send(frame, time_ps, "wait.switch")
        if self.mirror is not None:
            self.mirror(end_ps, "tx", frame)
        return end_ps

    def _cross_until(self, crossing: _Crossing, time_ps: int) -> None:
        size = crossing.traffic.frame_bytes
        while crossing.next_ps <= time_ps:
            now = crossing.next_ps
            for _ in range(crossing.traffic.burst):
                if self._room(size, now):
                    self._entered(size, now, self.link_end.occupy(size, now))
                    self.cross_frames += 1
                else:
                    self.cross_drops += 1
            crossing.advance()


class Switch:
    """Connect one end of each link; what hangs on the other ends can talk."""

    def __init__(self, requests: Requests, config: SwitchConfig | None = None) -> None:
        self._requests = requests
        self.config = config or SwitchConfig()
        self.ports: list[SwitchPort] = []
        self._learnt: dict[bytes, SwitchPort] = {}
        self.flooded = 0
        self.runts = 0

    def connect(self, port: Port, cross_traffic: CrossTraffic | None = None) -> SwitchPort:
        """Add a port at this end of a link; `cross_traffic` shares its output."""
        added = SwitchPort(self, len(self.ports), port, cross_traffic)
        self.ports.append(added)
        # With two ports each output has one input, in order: no other frame can come between, so no event is needed.
        for each in self.ports:
            each.link_end.early = len(self.ports) == 2
        return added

    def save(self) -> Data:
        """What was learnt, and the queues."""
        learnt = [(address, port.index) for address, port in self._learnt.items()]
        return plain(SwitchState(learnt, self.flooded, self.runts, [port.state() for port in self.ports]))

    def restore(self, data: Data) -> None:
        """Take it. Raises BadSnapshot."""
        state = checked(SwitchState, data, "the switch")
        need(len(state.ports) == len(self.ports), "the switch", f"{len(state.ports)} ports")
        need(all(port < len(self.ports) for _, port in state.learnt), "the switch", "an address behind no port")
        self._learnt = {address: self.ports[port] for address, port in state.learnt}
        self.flooded, self.runts = state.flooded, state.runts
        for port, saved in zip(self.ports, state.ports, strict=True):
            port.take(saved)

    def forward(self, came_in: int, frame: Frame, time_ps: int) -> None:
        """Forward a frame whose last bit arrived at `time_ps`."""
        data, token = frame
        if len(data) < 14:
            self.runts += 1
            return
        source = data[6:12]
        if not source[0] & 1 and (len(self._learnt) < _LEARNT_MAX or source in self._learnt):
            self._learnt[source] = self.ports[came_in]
        ready = time_ps + self.config.forwarding_ps
        if token:
            self._requests.mark(token, "run.switch", ready)
        out = None if data[0] & 1 else self._learnt.get(data[:6])
        if out is not None:
            if out.index != came_in:
                out.output(frame, ready)
            return
        self.flooded += 1
        if token and len(self.ports) > 2:
            frame = Frame(data)  # what goes to everybody is nobody's request
        for port in self.ports:
            if port.index != came_in:
                port.output(frame, ready)

    @property
    def drops(self) -> int:
        """Frames dropped at all outputs, cross traffic not counted."""
        return sum(port.drops for port in self.ports)
