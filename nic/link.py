# SPDX-License-Identifier: GPL-2.0-or-later
"""A full-duplex Ethernet link: two independent directions, each first in, first out.

A frame occupies the wire for its bytes, padded to the minimum (60 without FCS), plus 24: preamble and start delimiter 8, FCS 4,
inter-frame gap 12 (IEEE 802.3, published). The last bit, gap included, leaves after `serialization`, and arrives
`propagation_ps` later; the receiver is told of whole frames only (store and forward).

Every direction is worked out when a frame is sent: one event a frame, its arrival; or none, where the receiver is `early`: it can
be told at once what will arrive when. A direction may have `fates` (nic/faults.py). Charged to the frame's request: the wait
for the wire (`wait.link`, or what the sender says), `run.serialization`, `run.wire`.
"""

from __future__ import annotations

from dataclasses import dataclass

from emu.errors import ConfigError
from emu.state import Count, Data, State, Time, checked, plain
from emu.units import PS_PER_S
from nic.faults import Fates
from nic.ports import Clock, Frame, Payload, Receiver, Requests, shaped

MIN_FRAME_BYTES = 60
#: Preamble 7, start delimiter 1, FCS 4, inter-frame gap 12.
OVERHEAD_BYTES = 24


@dataclass(frozen=True, slots=True)
class LinkConfig:
    """Rate in bits a second; propagation in picoseconds (5 ns a metre: glass or copper at 2/3 c; the default is 2 m)."""

    bits_per_s: int = 10_000_000_000
    propagation_ps: int = 10_000

    def __post_init__(self) -> None:
        if self.bits_per_s < 1_000_000 or self.propagation_ps < 0:
            raise ConfigError("a link needs a rate of at least 1 Mbit/s and a propagation delay of at least 0")


def wire_bytes(frame_bytes: int) -> int:
    """Bytes of wire time that a frame of `frame_bytes` (without FCS) takes."""
    return max(frame_bytes, MIN_FRAME_BYTES) + OVERHEAD_BYTES


class PortState(State):
    """One direction."""

    busy_until_ps: Time
    frames: Count
    bytes: Count


class LinkState(State):
    """Both directions."""

    ends: tuple[PortState, PortState]


class Port:
    """One end of a link. Send into it; `attach` what receives what the other end sends."""

    def __init__(self, link: Link, side: int) -> None:
        self.link = link
        self._side = side
        self._propagation_ps = link.config.propagation_ps
        self.far: Port = self  # the other end; the link sets it
        self.early = (
            False  # whether the receiver here wants to be told of a frame when it is sent, with the time it will arrive
        )
        self.busy_until_ps = 0  # when the last bit queued so far will have left
        self.fates: Fates | None = None  # of what is sent here
        self.receiver: Receiver | None = None
        self.frames = 0
        self.bytes = 0

    def attach(self, receiver: Receiver) -> None:
        """Give frames that arrive at this end to `receiver`."""
        self.receiver = receiver
        self.early = bool(getattr(receiver, "early", False))

    def occupy(self, frame_bytes: int, time_ps: int) -> int:
        """Keep the wire busy with a frame ready at `time_ps`, delivering nothing. Returns when its last bit leaves."""
        start = max(time_ps, self.busy_until_ps)
        self.busy_until_ps = start + self.link.serialization_ps(frame_bytes)
        return self.busy_until_ps

    def send(self, frame: Frame, time_ps: int, wait: str = "wait.link") -> int:
        """Queue a frame that is ready at `time_ps`. Returns when its last bit leaves this end."""
        data, token = frame
        link = self.link
        start = self.busy_until_ps
        if start < time_ps:
            start = time_ps
        size = len(data)
        end = self.busy_until_ps = start + (link.known_ps.get(size) or link.serialization_ps(size))
        arrival = end + self._propagation_ps
        self.frames += 1
        self.bytes += size
        if token:
            mark = link.requests.mark
            if start > time_ps:
                mark(token, wait, start)
            mark(token, "run.serialization", end)
            mark(token, "run.wire", arrival)
        far = self.far
        if self.fates is not None:
            self._deliver_by_fate(self.fates, frame, arrival)
        elif far.early and far.receiver is not None:
            far.receiver.receive(frame, arrival)
        else:
            link.clock.schedule(arrival, link.name, "arrive", (1 - self._side, token, data))
        return end


    def _deliver_by_fate(self, fates: Fates, frame: Frame, arrival: int) -> None:
        link = self.link
        for time_ps in fates.arrivals(arrival):
            if frame.token and time_ps > arrival:
                link.requests.mark(frame.token, "wait.link", time_ps)
            link.clock.schedule(time_ps, link.name, "arrive", (1 - self._side, frame.token, frame.data))


class Link:
    """The two ends are `a` and `b`. `name` is the link's in the event queue, unique in its world."""

    def __init__(self, clock: Clock, requests: Requests, name: str, config: LinkConfig | None = None) -> None:
        self.clock = clock
        self.requests = requests
        self.name = name
        self.config = config or LinkConfig()
        self.known_ps: dict[int, int] = {}  # serialization by frame size
        self.a = Port(self, 0)
        self.b = Port(self, 1)
        self._ends = (self.a, self.b)
        self.a.far, self.b.far = self.b, self.a
        clock.register(name, self._arrive, self._event_fits)

    def save(self) -> Data:
        """What is on the wires; frames under way are events. Raises ConfigError where there are faults."""
        if any(end.fates is not None for end in self._ends):
            raise ConfigError("a link with faults cannot be in a snapshot: take it without them")
        a, b = (PortState(end.busy_until_ps, end.frames, end.bytes) for end in self._ends)
        return plain(LinkState((a, b)))

    def restore(self, data: Data) -> None:
        """Take it. Raises BadSnapshot."""
        for end, saved in zip(self._ends, checked(LinkState, data, self.name).ends, strict=True):
            end.busy_until_ps, end.frames, end.bytes = saved.busy_until_ps, saved.frames, saved.bytes

    def _event_fits(self, tag: str, payload: Payload) -> bool:
        return tag == "arrive" and shaped(payload, int, int, bytes) and payload[0] <= 1

    def serialization_ps(self, frame_bytes: int) -> int:
        """Wire time of a frame of `frame_bytes` without FCS [ps], rounded up."""
        known = self.known_ps.get(frame_bytes)
        if known is None:
            known = -(-wire_bytes(frame_bytes) * 8 * PS_PER_S // self.config.bits_per_s)
            self.known_ps[frame_bytes] = known
        return known

    def _arrive(self, time_ps: int, tag: str, payload: Payload) -> None:
        side, token, data = payload
        receiver = self._ends[side].receiver
        if receiver is not None:
            receiver.receive(Frame(data, token), time_ps)
