# SPDX-License-Identifier: GPL-2.0-or-later
"""Wrappers that look like the end of a link: put them between a link's port and what would hang on it.

`VirtioNet(..., sender=Tracer(link.a, sink))` traces a NIC; taps stack. Neither device nor link knows of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from emu.errors import ConfigError
from nic.ports import Clock, Frame, Payload, Receiver, Sender

#: (time_ps, "rx" or "tx" from the wrapped device's side, frame)
TraceSink = Callable[[int, str, Frame], None]


class Tap:
    """Passes everything on; the base of the others."""

    def __init__(self, inner: Sender) -> None:
        self._inner = inner
        self._receiver: Receiver | None = None
        inner.attach(self)

    def attach(self, receiver: Receiver) -> None:
        """Give what arrives to `receiver`."""
        self._receiver = receiver

    def send(self, frame: Frame, time_ps: int, wait: str = "wait.link") -> int:
        """Send into the link."""
        return self._inner.send(frame, time_ps, wait)

    def receive(self, frame: Frame, time_ps: int) -> None:
        """A frame came from the link."""
        if self._receiver is not None:
            self._receiver.receive(frame, time_ps)


class Tracer(Tap):
    """Shows each frame to a sink, in the order of the wire: before the link, or the device, has it."""

    def __init__(self, inner: Sender, sink: TraceSink) -> None:
        super().__init__(inner)
        self._sink = sink

    def send(self, frame: Frame, time_ps: int, wait: str = "wait.link") -> int:
        """Trace, then send."""
        self._sink(time_ps, "tx", frame)
        return super().send(frame, time_ps, wait)

    def receive(self, frame: Frame, time_ps: int) -> None:
        """Trace, then pass on: what it is answered with comes after it."""
        self._sink(time_ps, "rx", frame)
        super().receive(frame, time_ps)


@dataclass(frozen=True, slots=True)
class Faults:
    """Probabilities, 0..1, for each frame that arrives: of loss, of an extra delay up to `delay_ps`, of duplication."""

    loss: float = 0.0
    delay: float = 0.0
    delay_ps: int = 0
    duplicate: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        if not all(0 <= chance <= 1 for chance in (self.loss, self.delay, self.duplicate)) or self.delay_ps < 0:
            raise ConfigError("a fault's probability is from 0 to 1, and its delay at least 0")


class FaultInjector(Tap):
    """Loses, delays (so reorders) and duplicates frames that arrive from the link, by a seeded generator."""

    def __init__(self, inner: Sender, faults: Faults, clock: Clock, name: str) -> None:
        super().__init__(inner)
        self.faults = faults
        self.counters: Counter[str] = Counter()
        self._clock = clock
        self._name = name
        self._rng = np.random.Generator(np.random.PCG64(faults.seed))
        clock.register(name, self._late)

    def receive(self, frame: Frame, time_ps: int) -> None:
        """Draw the frame's fate. Four draws a frame, whatever happens, so that one fault's rate does not move the others'."""
        lose, delay, duplicate, how_long = self._rng.random(4).tolist()
        faults = self.faults
        if lose < faults.loss:
            self.counters["lost"] += 1
            return
        if delay < faults.delay:
            self.counters["delayed"] += 1
            at = time_ps + int(how_long * faults.delay_ps)
            self._clock.schedule(at, self._name, "late", (frame.token, frame.data))
        else:
            super().receive(frame, time_ps)
        if duplicate < faults.duplicate:
            self.counters["duplicated"] += 1
            super().receive(frame, time_ps)

    def _late(self, time_ps: int, tag: str, payload: Payload) -> None:
        token, data = payload
        super().receive(Frame(data, token), time_ps)
