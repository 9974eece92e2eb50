# SPDX-License-Identifier: GPL-2.0-or-later
"""The DMA engine: the one way a device touches guest RAM. The core behind it does caches (DDIO) and code invalidation."""

from typing import Protocol

from emu.errors import DmaFault
from emu.memory import RamMap


class Memory(Protocol):
    """The core's DMA calls."""

    def dma_read(self, machine: int, gpa: int, n: int, time_ps: int) -> bytes:
        """Bytes of RAM."""

    def dma_write(self, machine: int, gpa: int, data: bytes, time_ps: int) -> None:
        """Bytes to RAM."""


class Now(Protocol):
    """Whose time it is."""

    now_ps: int


class DmaEngine:
    """Reads and writes at the World's current time."""

    __slots__ = ("_clock", "_core", "_low_end", "_machine", "_ram", "reads", "writes")

    def __init__(self, core: Memory, machine: int, ram: RamMap, clock: Now) -> None:
        self._core = core
        self._machine = machine
        self._ram = ram
        self._low_end = ram.low_end
        self._clock = clock
        self.reads = 0
        self.writes = 0

    def read(self, gpa: int, n: int) -> bytes:
        """`n` bytes at `gpa`. Raises DmaFault, without touching anything, when not all of it is RAM."""
        if not (gpa >= 0 and n >= 0 and gpa + n <= self._low_end) and not self._ram.holds(gpa, n):
            raise DmaFault(f"device read of {n} bytes at {gpa:#x} is outside RAM")
        self.reads += 1
        return self._core.dma_read(self._machine, gpa, n, self._clock.now_ps) if n else b""

    def write(self, gpa: int, data: bytes) -> None:
        """Store `data` at `gpa`. Raises DmaFault, without touching anything, when not all of it would land in RAM."""
        n = len(data)
        if not (gpa >= 0 and gpa + n <= self._low_end) and not self._ram.holds(gpa, n):
            raise DmaFault(f"device write of {n} bytes at {gpa:#x} is outside RAM")
        self.writes += 1
        if n:
            self._core.dma_write(self._machine, gpa, data, self._clock.now_ps)
