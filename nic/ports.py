# SPDX-License-Identifier: GPL-2.0-or-later
"""What the NIC package needs from the world around it, and what its parts need from each other.

Everything here is a Protocol or a plain record: the NIC knows no machine. The machine's clock, DMA engine, interrupt controller
and request log match these by shape. Times are simulated, integers, in picoseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

#: What an event carries: integers, bytes and strings only, so that a world can be saved.
Payload = tuple[Any, ...]
#: A device's event handler: (time_ps, tag, payload).
Handler = Callable[[int, str, Payload], None]


#: Whether a handler can take such an event, when it comes from a snapshot: (tag, payload).
Fits = Callable[[str, Payload], bool]


def shaped(payload: Payload, *kinds: type) -> bool:
    """Whether an event carries just these; its integers are not negative."""
    fits = tuple(type(value) for value in payload) == kinds
    return fits and all(value >= 0 for value in payload if type(value) is int)


class Frame(NamedTuple):
    """An Ethernet frame on its way, without FCS, and the request it belongs to (0 = none)."""

    data: bytes
    token: int = 0


class Clock(Protocol):
    """The world's ordered event queue. Ties are broken by the order of scheduling."""

    @property
    def now_ps(self) -> int: ...
    def schedule(self, time_ps: int, device: str, tag: str, payload: Payload) -> int: ...
    def register(self, device: str, handler: Handler, fits: Fits | None = None) -> None: ...


class GuestMemory(Protocol):
    """Guest RAM as a device reaches it: `emu`'s DMA engine. Outside RAM both raise `emu.errors.DmaFault` and touch nothing."""

    def read(self, gpa: int, n: int) -> bytes: ...
    def write(self, gpa: int, data: bytes) -> None: ...


class Interrupts(Protocol):
    """Where message-signalled interrupts go; `token` is the request that raised it (0 = none)."""

    def msi(self, address: int, data: int, time_ps: int, token: int) -> None: ...


class Requests(Protocol):
    """The request log: who each interval of a request's life is charged to.

    `mark(token, part, until)` charges the life since the last mark to `part`. Several frames of one answer may carry the same
    token; a mark that ends before the last one charges nothing (each moment is charged once). `join(token, lead)`: both travel in
    one segment, so what is charged to `lead` is charged to `token`, too, until that is marked itself.
    """

    def open(self, token: int, start_ps: int) -> None: ...
    def mark(self, token: int, part: str, until_ps: int) -> None: ...
    def wait(self, token: int, reason: str, now_ps: int) -> None: ...
    def join(self, token: int, lead: int, now_ps: int) -> None: ...
    def tag(self, machine_gpa: int, token: int) -> None: ...
    def take(self, machine_gpa: int) -> int: ...
    def close(self, token: int, end_ps: int) -> None: ...
    def abandon(self, token: int, now_ps: int) -> None: ...


BarRead = Callable[[int, int, int], int]
BarWrite = Callable[[int, int, int, int], None]


class PciFunction(Protocol):
    """A PCI function's config space, to which a device adds capabilities and BARs."""

    def add_capability(self, cap_id: int, body: bytes) -> int: ...
    def add_bar(self, index: int, size: int, read: BarRead, write: BarWrite) -> None: ...


class Msix(Protocol):
    """A function's MSI-X table: raises vector `vector`, or sets its pending bit while it is masked."""

    def fire(self, vector: int, time_ps: int, token: int) -> None: ...


class Receiver(Protocol):
    """What hangs on the end of a link: it is given each frame when its last bit has arrived.

    A receiver with an attribute `early` that is true may be given it when it is sent, with the time at which it will arrive; in
    the order of arrival all the same.
    """

    def receive(self, frame: Frame, time_ps: int) -> None: ...


class Sender(Protocol):
    """One end of a link, seen by what hangs on it.

    `send` queues a frame that is ready at `time_ps` (first in, first out), and returns when its last bit will have left.
    """

    def send(self, frame: Frame, time_ps: int, wait: str = "wait.link") -> int: ...
    def attach(self, receiver: Receiver) -> None: ...


class NullRequests:
    """A request log that keeps nothing, for worlds without a ledger."""

    def open(self, token: int, start_ps: int) -> None:
        """Ignore."""

    def mark(self, token: int, part: str, until_ps: int) -> None:
        """Ignore."""

    def wait(self, token: int, reason: str, now_ps: int) -> None:
        """Ignore."""

    def join(self, token: int, lead: int, now_ps: int) -> None:
        """Ignore."""

    def tag(self, machine_gpa: int, token: int) -> None:
        """Ignore."""

    def take(self, machine_gpa: int) -> int:
        """No buffer has a token."""
        return 0

    def close(self, token: int, end_ps: int) -> None:
        """Ignore."""

    def abandon(self, token: int, now_ps: int) -> None:
        """Ignore."""
