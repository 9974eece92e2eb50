# SPDX-License-Identifier: GPL-2.0-or-later
"""The ordered event queue.

Events are data, never callables, so a World can be saved: (time_ps, sequence, device, tag, payload). Equal times keep the
order in which they were scheduled; the sequence number makes that the tuples' own order.
"""

from collections.abc import Callable
from heapq import heappop, heappush

Payload = tuple[int | bytes | str, ...]
Event = tuple[int, int, str, str, Payload]
Handler = Callable[[int, str, Payload], None]  # (time_ps, tag, payload)

NEVER_PS = (1 << 63) - 1  # INT64_MAX: what the core takes as "no event pending"


class EventQueue:
    """A heap of plain tuples: one event costs well under a microsecond."""

    __slots__ = ("_heap", "_sequence")

    def __init__(self) -> None:
        self._heap: list[Event] = []
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def next_ps(self) -> int:
        """Time of the earliest event, or NEVER_PS."""
        return self._heap[0][0] if self._heap else NEVER_PS

    def push(self, time_ps: int, device: str, tag: str, payload: Payload = ()) -> int:
        """Add an event; its sequence number."""
        self._sequence = sequence = self._sequence + 1
        heappush(self._heap, (time_ps, sequence, device, tag, payload))
        return sequence

    def pop(self) -> Event:
        """Remove and return the earliest event."""
        return heappop(self._heap)

    @property
    def sequence(self) -> int:
        """How many events were ever scheduled."""
        return self._sequence

    def restore(self, events: list[Event], sequence: int) -> None:
        """Take events that `pending` gave, and go on counting from `sequence`."""
        self._heap = sorted(events, key=lambda event: event[:2])  # a sorted list is a heap
        self._sequence = sequence

    def pending(self) -> list[Event]:
        """All events in the order in which they will happen (for saving and for tests)."""
        return sorted(self._heap, key=lambda event: event[:2])
