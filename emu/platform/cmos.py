# SPDX-License-Identifier: GPL-2.0-or-later
"""CMOS memory and the real-time clock behind ports 0x70 and 0x71.

The date is a function of world time from a fixed start (no wall clock reaches a guest). BCD, 24 hours; no alarm, no periodic
interrupt. Source: Motorola MC146818 datasheet.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from msgspec import Meta

from emu.device import Region
from emu.state import Data, State, checked, plain
from emu.units import PS_PER_S

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
UPDATE_PS = 244_000_000  # "update in progress" is seen this long before a second ends


def bcd(value: int) -> int:
    """Two decimal digits, one to a nibble."""
    return value // 10 << 4 | value % 10


class CmosState(State):
    """The index register and the bytes."""

    index: Annotated[int, Meta(ge=0, le=0x7F)]
    memory: Annotated[bytes, Meta(min_length=128, max_length=128)]


class Cmos:
    """128 bytes, of which the first 14 are the clock's."""

    name = "cmos"

    def __init__(self, ram_bytes: int) -> None:
        self._ram_bytes = ram_bytes
        self.reset()

    def ports(self) -> list[Region]:
        """0x70, 0x71."""
        return [Region(0x70, 2, self._read, self._write)]

    def mmio(self) -> list[Region]:
        """None."""
        return []

    def reset(self) -> None:
        """Memory sizes where firmware leaves them; the rest zero."""
        self._index = 0
        memory = bytearray(128)
        memory[0x15:0x17] = (640).to_bytes(2, "little")
        extended_kib = min((self._ram_bytes >> 10) - 1024, 0xFFFF)
        memory[0x17:0x19] = memory[0x30:0x32] = extended_kib.to_bytes(2, "little")
        self._memory = memory

    def save(self) -> Data:
        """Index and memory; the clock is the World's."""
        return plain(CmosState(self._index, bytes(self._memory)))

    def restore(self, data: Data) -> None:
        """Take them. Raises BadSnapshot."""
        state = checked(CmosState, data, self.name)
        self._index, self._memory = state.index, bytearray(state.memory)

    def _read(self, offset: int, size: int, time_ps: int) -> int:
        if offset == 0:
            return 0xFF
        index = self._index
        now = EPOCH + timedelta(seconds=time_ps // PS_PER_S)
        clock = {
            0x00: bcd(now.second), 0x02: bcd(now.minute), 0x04: bcd(now.hour), 0x06: now.isoweekday() % 7 + 1,
            0x07: bcd(now.day), 0x08: bcd(now.month), 0x09: bcd(now.year % 100), 0x32: bcd(now.year // 100),
            0x0A: 0x26 | (0x80 if PS_PER_S - time_ps % PS_PER_S < UPDATE_PS else 0), 0x0B: 0x02, 0x0C: 0, 0x0D: 0x80,
        }  # fmt: skip
        return clock.get(index, self._memory[index])

    def _write(self, offset: int, size: int, value: int, time_ps: int) -> None:
        if offset == 0:
            self._index = value & 0x7F
        elif self._index >= 0x0E:
            self._memory[self._index] = value & 0xFF
