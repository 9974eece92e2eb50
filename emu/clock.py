# SPDX-License-Identifier: GPL-2.0-or-later
"""The ordered event queue.

Events are data, never callables, so a World can be saved: (time_ps, sequence, device, tag, payload). Equal times keep the
order in which they were scheduled; the sequence number makes that the tuples' own order.
"""

from heapq import heappop, heappush

Event = tuple[int, int, str, str, object]

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

    def push(self, time_ps: int, device: str, tag: str, payload: object = None) -> bool:
        """Add an event; true when it is now the earliest."""
        self._sequence = sequence = self._sequence + 1
        heap = self._heap
        heappush(heap, (time_ps, sequence, device, tag, payload))
        return heap[0][1] == sequence

    def pop(self) -> Event:
        """Remove and return the earliest event."""
        return heappop(self._heap)

    def pending(self) -> list[Event]:
        """All events in the order in which they will happen (for saving and for tests)."""
        return sorted(self._heap, key=lambda event: event[:2])
