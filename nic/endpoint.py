# SPDX-License-Identifier: GPL-2.0-or-later
"""The client: hangs on a link, sends request frames by a schedule, and matches the answers to them.

Open loop: request i leaves at its scheduled time, come what may. Closed loop: N requests are outstanding; an answer lets the
next go.
A request's life starts at its scheduled time and ends with the last bit of its answer's last datagram; what stays unanswered
for the timeout is lost. The client costs no time of its own: it is the observer.

The endpoint answers ARP requests for its address, and asks for the guest's MAC address unless told. Frames get their MAC
addresses here.

Events of this device: `send` (the next scheduled requests are due), `watch` (the oldest outstanding request may be too old),
`ask` (no ARP reply yet).
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Required, TypedDict

from emu.errors import ConfigError
from emu.state import Count, Data, FrameBytes, State, Time, Token, checked, need, plain
from nic.arp import Neighbours
from nic.checksum import transport_checksum_ok
from nic.frames import parse_ip, parse_mac, parse_udp
from nic.matching import EndpointConfig, Matcher
from nic.memcached_udp import Reassembler
from nic.ports import Clock, Frame, Payload, Requests, Sender, shaped


class EndpointState(State):
    """Requests sent and answered, and where in its load the client is; the load's frames and times are its owner's."""

    neighbours: list[Data]
    parked: list[tuple[FrameBytes, Token]]
    starts_ps: list[Time]
    ends_ps: list[Time]
    outstanding: list[tuple[Count, Count]]
    exhausted: bool
    open_loop: bool
    first: Count
    phase: Count
    think_ps: Time
    watching: bool
    lost: Count
    answered: Count
    done: bool
    counters: dict[str, Count]
    matcher: Data | None  # None: nothing was sent, any will do


class Wiring(TypedDict, total=False):
    """What any client is wired to: Endpoint's keywords, for those that derive from it."""

    clock: Required[Clock]
    requests: Required[Requests]
    sender: Required[Sender]
    on_answer: Callable[[int, bytes, int], None] | None
    on_done: Callable[[int], None] | None


class Endpoint:
    """One client. `on_answer(index, answer, time_ps)` is called for each answered request; `on_done(time_ps)` once, at the end."""

    def __init__(
        self,
        name: str,
        config: EndpointConfig,
        *,
        clock: Clock,
        requests: Requests,
        sender: Sender,
        matcher: Matcher | None = None,
        on_answer: Callable[[int, bytes, int], None] | None = None,
        on_done: Callable[[int], None] | None = None,
    ) -> None:
        self.name = name
        self.config = config
        self.counters: Counter[str] = Counter()
        self._clock, self._requests, self._sender = clock, requests, sender
        self._matcher: Matcher = matcher or Reassembler()
        self._on_answer, self._on_done = on_answer, on_done
        self._mac, self._ip = parse_mac(config.mac), parse_ip(config.ip)
        guest_mac = parse_mac(config.guest_mac) if config.guest_mac else b""
        guest_ip = parse_ip(config.guest_ip)
        self._neighbours = Neighbours(
            name, self._mac, self._ip, guest_ip, guest_mac, clock, sender, self._found, self.counters
        )
        self._others: dict[bytes, Neighbours] = {}
        for address in config.other_ips:
            each = f"{name}.{address}"
            other = Neighbours(each, self._mac, self._ip, parse_ip(address), b"", clock, sender, self._found, self.counters)
            self._others[parse_ip(address)] = other
            clock.register(each, partial(_ask, other), lambda tag, payload: tag == "ask" and payload == ())
        self._parked: list[tuple[bytes, int]] = []
        #: Scheduled start and end of each request sent, by index; an end of 0 means not answered (yet).
        self.starts_ps = array("q")
        self.ends_ps = array("q")
        self._outstanding: dict[int, int] = {}  # key -> index, oldest first
        self._frames: Iterator[bytes] = iter(())
        self._times: Sequence[int] | None = None  # None: closed loop
        self._exhausted = True
        self._phase = self._first = 0
        self._think_ps = 0
        self._watching = False
        self.lost = 0
        self.answered = 0
        self.done = False
        clock.register(name, self._event, self._event_fits)
        sender.attach(self)

    # starting

    def open_loop(self, times_ps: Sequence[int], frames: Iterable[bytes]) -> None:
        """Send frame i at times_ps[i] (absolute, ascending, not before now). Frames may be fewer than times, not more."""
        if not len(times_ps):
            raise ConfigError("the load has no requests: give at least one arrival time")
        self._begin(frames)
        self._times = times_ps
        self._clock.schedule(int(times_ps[0]), self.name, "send", (self._phase,))

    def closed_loop(self, outstanding: int, frames: Iterable[bytes], start_ps: int, think_ps: int = 0) -> None:
        """Keep `outstanding` requests under way from `start_ps` on; the next follows an answer by `think_ps`."""
        if outstanding < 1 or think_ps < 0:
            raise ConfigError("a closed loop needs at least 1 request outstanding and a think time of at least 0")
        self._begin(frames)
        self._times = None
        self._think_ps = think_ps
        for _ in range(outstanding):
            self._clock.schedule(start_ps, self.name, "send", (self._phase,))

    def _begin(self, frames: Iterable[bytes]) -> None:
        if not self._exhausted:
            raise ConfigError("this client has a load already")
        self._frames, self._exhausted, self.done = iter(frames), False, False
        self._phase += 1
        self._first = len(self.starts_ps)

    # snapshots

    def save(self) -> Data:
        """Requests so far. A load that is not at its end goes on by `resume`."""
        state = EndpointState(
            [each.save() for each in (self._neighbours, *self._others.values())],
            self._parked, list(self.starts_ps), list(self.ends_ps),
            list(self._outstanding.items()), self._exhausted, self._times is not None, self._first, self._phase,
            self._think_ps, self._watching, self.lost, self.answered, self.done, dict(sorted(self.counters.items())),
            self._matcher.save() if self.starts_ps else None,
        )  # fmt: skip
        return plain(state)

    def restore(self, data: Data) -> None:
        """Take them. Raises BadSnapshot."""
        state = checked(EndpointState, data, self.name)
        sent = len(state.starts_ps)
        need(len(state.ends_ps) == sent and state.first <= sent, self.name, f"{len(state.ends_ps)} answers to {sent} requests")
        need(all(index < sent for _, index in state.outstanding), self.name, "a request that was never sent")
        need(len({key for key, _ in state.outstanding}) == len(state.outstanding), self.name, "two requests of one key")
        need(len(state.neighbours) == 1 + len(self._others), self.name, f"{len(state.neighbours)} guests")
        for each, saved in zip((self._neighbours, *self._others.values()), state.neighbours, strict=True):
            each.restore(saved)
        self._parked = state.parked
        self.starts_ps, self.ends_ps = array("q", state.starts_ps), array("q", state.ends_ps)
        self._outstanding = dict(state.outstanding)
        self._exhausted, self._times, self._frames = state.exhausted, () if state.open_loop else None, iter(())
        self._first, self._phase, self._think_ps, self._watching = state.first, state.phase, state.think_ps, state.watching
        self.lost, self.answered, self.done = state.lost, state.answered, state.done
        self.counters.clear()
        self.counters.update(state.counters)
        if state.matcher is not None:
            self._matcher.restore(state.matcher)

    @property
    def unfinished(self) -> bool:
        """Whether a load is under way: after `restore` it needs `resume`."""
        return not self._exhausted

    def resume(self, frames: Iterable[bytes], times_ps: Sequence[int] | None = None) -> None:
        """Give the whole load of an unfinished phase again, as it was given first; what was sent is passed over."""
        if self._exhausted or (times_ps is None) != (self._times is None):
            raise ConfigError("the snapshot's client has no such load under way")
        sent = len(self.starts_ps) - self._first
        if times_ps is not None and len(times_ps) < sent:
            raise ConfigError(f"the snapshot's client has sent {sent} requests of its load: give all of it again")
        self._times = times_ps
        self._frames = islice(frames, sent, None)

    def _event_fits(self, tag: str, payload: Payload) -> bool:
        return shaped(payload, int) if tag == "send" else tag in ("watch", "ask") and payload == ()

    # sending

    def _event(self, time_ps: int, tag: str, payload: Payload) -> None:
        if tag == "send":
            if payload[0] == self._phase:  # else left over from an earlier load
                self._send_due(time_ps)
        elif tag == "watch":
            self._watch(time_ps)
        else:
            self._neighbours.ask(time_ps)

    def _send_due(self, time_ps: int) -> None:
        if self._times is None:
            self._send_next(time_ps)
            return
        times = self._times
        while True:
            self._send_next(time_ps)
            place = len(self.starts_ps) - self._first
            if self._exhausted or place >= len(times):
                self._exhausted = True
                self._maybe_done(time_ps)
                return
            following = int(times[place])
            if following > time_ps:
                self._clock.schedule(following, self.name, "send", (self._phase,))
                return

    def _send_next(self, time_ps: int) -> None:
        frame = None if self._exhausted else next(self._frames, None)
        if frame is None:
            self._exhausted = True
            self._maybe_done(time_ps)
            return
        key = self._matcher.request_key(frame)
        index = len(self.starts_ps)
        token = self.config.first_token + index
        self.starts_ps.append(time_ps)
        self.ends_ps.append(0)
        self._requests.open(token, time_ps)
        self._transmit(frame, token, time_ps)
        if key < 0:  # nothing can answer it: malformed on purpose, or not UDP
            self.counters["unanswerable"] += 1
            self.lost += 1
            if self._times is None:
                self._clock.schedule(time_ps + self.config.timeout_ps, self.name, "send", (self._phase,))
            return
        older = self._outstanding.pop(key, None)
        if older is not None:
            self.counters["key_reused"] += 1
            self._give_up(key, older, time_ps)
        self._outstanding[key] = index
        if not self._watching:
            self._watching = True
            self._clock.schedule(time_ps + self.config.timeout_ps, self.name, "watch", ())

    def _transmit(self, frame: bytes, token: int, time_ps: int) -> None:
        neighbours = self._others.get(frame[30:34], self._neighbours) if self._others else self._neighbours
        guest_mac = neighbours.mac
        if guest_mac:
            self._sender.send(Frame(guest_mac + self._mac + frame[12:], token), time_ps)
            return
        self._parked.append((frame, token))
        neighbours.start(time_ps)

    # receiving

    def receive(self, frame: Frame, time_ps: int) -> None:
        """A frame's last bit has arrived."""
        data, token = frame
        udp = parse_udp(data)
        if udp is None:
            arp = self._neighbours.receive(data, time_ps)
            if arp is None:
                self.counters["ignored"] += 1
            elif arp.sender_ip in self._others:
                self._others[arp.sender_ip].learn(arp, time_ps)
            return
        if udp.dst_ip != self._ip or data[:6] != self._mac:
            self.counters["not_for_us"] += 1
            return
        start = 14 + (data[14] & 15) * 4
        if (data[start + 6] or data[start + 7]) and not transport_checksum_ok(data):
            self.counters["bad_checksum"] += 1
            return
        key = self._matcher.answer_key(udp)
        index = self._outstanding.get(key)
        if index is None:
            if key >= 0:
                self.counters["unexpected"] += 1
            return
        expected = self.config.first_token + index
        if token != expected:
            self.counters["token_other" if token else "token_missing"] += 1
        answer = self._matcher.feed(key, udp)
        if answer is not None:
            self._complete(key, answer, time_ps)

    def _complete(self, key: int, answer: bytes, time_ps: int) -> None:
        """The whole answer to an outstanding request has come."""
        index = self._outstanding.pop(key)
        self.ends_ps[index] = time_ps
        self.answered += 1
        self._requests.close(self.config.first_token + index, time_ps)
        if self._on_answer is not None:
            self._on_answer(index, answer, time_ps)
        self._next_or_done(time_ps)

    def _next_or_done(self, time_ps: int) -> None:
        """A request ended: in a closed loop the next follows."""
        if self._times is None and not self._exhausted:
            if self._think_ps:
                self._clock.schedule(time_ps + self._think_ps, self.name, "send", (self._phase,))
            else:
                self._send_next(time_ps)
        else:
            self._maybe_done(time_ps)

    def _maybe_done(self, time_ps: int) -> None:
        if self._exhausted and not self._outstanding and not self.done:
            self.done = True
            if self._on_done is not None:
                self._on_done(time_ps)

    # losses

    def _give_up(self, key: int, index: int, time_ps: int) -> None:
        self._matcher.forget(key)
        self._requests.abandon(self.config.first_token + index, time_ps)
        self.lost += 1
        if self._times is None and not self._exhausted:
            self._clock.schedule(time_ps, self.name, "send", (self._phase,))

    def _watch(self, time_ps: int) -> None:
        timeout = self.config.timeout_ps
        while self._outstanding:
            key, index = next(iter(self._outstanding.items()))
            due = self.starts_ps[index] + timeout
            if due > time_ps:
                self._clock.schedule(due, self.name, "watch", ())
                return
            del self._outstanding[key]
            self.counters["timeouts"] += 1
            self._give_up(key, index, time_ps)
        self._watching = False
        self._maybe_done(time_ps)

    def _found(self, time_ps: int) -> None:
        parked, self._parked = self._parked, []  # those for others wait on
        for frame, token in parked:
            self._requests.mark(token, "wait.link", time_ps)
            self._transmit(frame, token, time_ps)


def _ask(neighbours: Neighbours, time_ps: int, tag: str, payload: Payload) -> None:
    neighbours.ask(time_ps)
