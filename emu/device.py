# SPDX-License-Identifier: GPL-2.0-or-later
"""What a device offers the machine: port and MMIO regions, and a reset.

A region's accessors get the offset from its start, the size in bytes (1, 2 or 4; MMIO also 8), and the time of the access. A
value read is masked to the size by the caller; a value written arrives masked.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from emu.errors import EmuBug
from emu.state import Data

Read = Callable[[int, int, int], int]  # (offset, size, time_ps) -> value
Write = Callable[[int, int, int, int], None]  # (offset, size, value, time_ps)

PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Region:
    """Addresses [base, base + size) of one space, answered by a device."""

    base: int
    size: int
    read: Read
    write: Write


class Device(Protocol):
    """A device on the board. `name` is what its events carry."""

    name: str

    def ports(self) -> list[Region]:
        """I/O port regions."""

    def mmio(self) -> list[Region]:
        """Memory regions, whole pages."""

    def reset(self) -> None:
        """Back to the state after power-on."""

    def save(self) -> Data:
        """Its state; nothing changes."""

    def restore(self, data: Data) -> None:
        """Take that state. Raises BadSnapshot."""


def all_ones(size: int) -> int:
    """What a read gives when nobody answers."""
    return (1 << (8 * size)) - 1



class PortSpace:
    """I/O ports, by number. Nobody home: reads give all ones, writes vanish, as on a PC."""

    def __init__(self) -> None:
        self._ports: dict[int, Region] = {}
        self.unclaimed: dict[tuple[int, str], int] = {}

    def add(self, region: Region) -> None:
        """Claim a region; overlapping claims are our bug."""
        for port in range(region.base, region.base + region.size):
            if port in self._ports:
                raise EmuBug(f"I/O port {port:#x} is claimed twice")
            self._ports[port] = region

    def read(self, port: int, size: int, time_ps: int) -> int:
        """The value of a guest's IN."""
        region = self._ports.get(port)
        if region is None:
            self._count(port, "in")
            return all_ones(size)
        return region.read(port - region.base, size, time_ps) & all_ones(size)

    def write(self, port: int, size: int, value: int, time_ps: int) -> None:
        """A guest's OUT."""
        region = self._ports.get(port)
        if region is None:
            self._count(port, "out")
        else:
            region.write(port - region.base, size, value, time_ps)

    def _count(self, port: int, way: str) -> None:
        self.unclaimed[port, way] = self.unclaimed.get((port, way), 0) + 1


class MmioSpace:
    """Device memory, by page. A PCI base address register may move its region, so regions come and go."""

    def __init__(self) -> None:
        self._pages: dict[int, list[Region]] = {}

    def add(self, region: Region) -> list[tuple[int, int]]:
        """Claim a region of whole pages. Where two overlap (a guest may move BARs so) the later answers.

        Returns the pages (gpa, size) that nobody had claimed before: one by one, since they may go in other groups than they came.
        """
        if region.base % PAGE_BYTES or region.size % PAGE_BYTES or region.size <= 0:
            raise EmuBug(f"MMIO region {region.base:#x}+{region.size:#x} is not whole pages")
        fresh = []
        for page in range(region.base // PAGE_BYTES, (region.base + region.size) // PAGE_BYTES):
            stack = self._pages.setdefault(page, [])
            if not stack:
                fresh.append(page)
            stack.append(region)
        return [(page * PAGE_BYTES, PAGE_BYTES) for page in fresh]

    def remove(self, region: Region) -> list[tuple[int, int]]:
        """Give a region up (nothing happens if it was not there). Returns the pages that nobody claims any more."""
        if region not in self._pages.get(region.base // PAGE_BYTES, ()):
            return []
        gone = []
        for page in range(region.base // PAGE_BYTES, (region.base + region.size) // PAGE_BYTES):
            stack = self._pages[page]
            stack.remove(region)
            if not stack:
                del self._pages[page]
                gone.append(page)
        return [(page * PAGE_BYTES, PAGE_BYTES) for page in gone]

    def claimed(self, gpa: int) -> bool:
        """Whether some device answers at `gpa`."""
        return gpa // PAGE_BYTES in self._pages

    def read(self, gpa: int, size: int, time_ps: int) -> int:
        """The value of a guest's load; all ones where nobody answers."""
        stack = self._pages.get(gpa >> 12)
        if stack is None:
            return all_ones(size)
        region = stack[-1]
        return region.read(gpa - region.base, size, time_ps) & all_ones(size)

    def write(self, gpa: int, size: int, value: int, time_ps: int) -> None:
        """A guest's store."""
        stack = self._pages.get(gpa >> 12)
        if stack is not None:
            region = stack[-1]
            region.write(gpa - region.base, size, value, time_ps)
