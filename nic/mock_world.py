# SPDX-License-Identifier: GPL-2.0-or-later
"""A clock and a request log for tests of the NIC without machines: the smallest that keep the contracts of `nic.ports`."""

from __future__ import annotations

from collections import defaultdict

from emu.clock import EventQueue
from nic.ports import Fits, Handler, Payload


class MockClock:
    """An event loop: `run` until the queue is empty, or a time."""

    def __init__(self) -> None:
        self.now_ps = 0
        self.events = 0
        self._queue = EventQueue()
        self._handlers: dict[str, Handler] = {}

    def register(self, device: str, handler: Handler, fits: Fits | None = None) -> None:
        """Give events of `device` to `handler`."""
        assert device not in self._handlers, device
        self._handlers[device] = handler

    def schedule(self, time_ps: int, device: str, tag: str, payload: Payload) -> int:
        """Queue an event; never in the past."""
        assert time_ps >= self.now_ps, f"{device} scheduled {tag} in the past"
        assert isinstance(time_ps, int), f"{device} scheduled {tag} at {time_ps!r}"
        self._queue.push(time_ps, device, tag, payload)
        self.events += 1
        return self.events

    def run(self, until_ps: int | None = None, most: int = 10_000_000) -> None:
        """Handle events in order, up to and including `until_ps`; fails if that takes more than `most`."""
        queue, handlers = self._queue, self._handlers
        while len(queue) and (until_ps is None or queue.next_ps <= until_ps):
            most -= 1
            assert most >= 0, "the events do not end"
            time_ps, _, device, tag, payload = queue.pop()
            self.now_ps = time_ps
            handlers[device](time_ps, tag, payload)
        if until_ps is not None:
            self.now_ps = max(self.now_ps, until_ps)


class MockRequests:
    """A request log that keeps every part, and counts requests whose parts do not sum to their latency exactly."""

    def __init__(self) -> None:
        self.parts: dict[int, dict[str, int]] = {}
        self.trail: dict[int, list[tuple[str, int]]] = defaultdict(list)
        self.latency: dict[int, int] = {}
        self.lying: dict[int, int] = {}
        self.late_marks = 0
        self.uneven = 0
        self._last: dict[int, int] = {}
        self._start: dict[int, int] = {}
        self._waits: dict[int, str] = {}

    def open(self, token: int, start_ps: int) -> None:
        """A request's life begins."""
        assert token > 0
        assert token not in self.parts
        self.parts[token] = defaultdict(int)
        self._start[token] = self._last[token] = start_ps

    def mark(self, token: int, part: str, until_ps: int) -> None:
        """Charge the life since the last mark."""
        self._waits.pop(token, None)
        self.trail[token].append((part, until_ps))
        if until_ps < self._last[token]:
            self.late_marks += 1
            return
        self.parts[token][part] += until_ps - self._last[token]
        self._last[token] = until_ps

    def wait(self, token: int, reason: str, now_ps: int) -> None:
        """From now on it waits."""
        self._settle(token, now_ps)
        self._waits[token] = reason

    def join(self, token: int, lead: int, now_ps: int) -> None:
        """It shares a segment with `lead`; what happens to that one is not followed."""
        self.trail[token].append((f"join {lead}", now_ps))

    def bind(self, token: int, now_ps: int) -> None:
        """What a guest's probe does: somebody runs for the request from now on."""
        self._settle(token, now_ps)

    def _settle(self, token: int, now_ps: int) -> None:
        reason = self._waits.pop(token, None)
        if reason is not None:
            self.mark(token, f"wait.{reason}", now_ps)

    def tag(self, machine_gpa: int, token: int) -> None:
        """Lay a token on a buffer."""
        self.lying[machine_gpa] = token

    def take(self, machine_gpa: int) -> int:
        """Take the token lying there."""
        return self.lying.pop(machine_gpa, 0)

    def abandon(self, token: int, now_ps: int) -> None:
        """The request's life is nobody's business any more."""
        self._waits.pop(token, None)

    def close(self, token: int, end_ps: int) -> None:
        """The request's life ends. `uneven` counts lives whose parts did not sum by themselves."""
        if sum(self.parts[token].values()) != end_ps - self._start[token]:
            self.uneven += 1
        self.latency[token] = end_ps - self._start[token]
