# SPDX-License-Identifier: GPL-2.0-or-later
"""Wrappers that look like the end of a link: put them between a link's port and what would hang on it.

`VirtioNet(..., sender=Tracer(link.a, sink))` traces a NIC; taps stack. Neither device nor link knows of them.
"""

from __future__ import annotations

from collections.abc import Callable

from nic.ports import Frame, Receiver, Sender

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
