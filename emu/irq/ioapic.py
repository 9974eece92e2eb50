# SPDX-License-Identifier: GPL-2.0-or-later
"""The I/O APIC at 0xFEC00000: 24 input lines, each routed by a redirection entry to a LAPIC.

Edge lines deliver on the rising edge; level lines deliver while high and not awaiting an EOI (remote IRR). An edge that comes
while its entry is masked is lost, as on hardware. Register map (Intel 82093AA datasheet, section 3): 0x00 IOREGSEL, 0x10 IOWIN;
through them 0x00 identity, 0x01 version, 0x10 + 2n and 0x11 + 2n the entries.
"""

from typing import Annotated, Protocol

from msgspec import Meta

from emu.device import PAGE_BYTES, Region
from emu.state import U8, U64, Data, State, checked, plain

IOAPIC_GPA = 0xFEC0_0000
LINES = 24
VERSION = 0x11

REDIRECTION_WRITABLE = 0xFF00_0000_0001_AFFF  # all but delivery status (bit 12) and remote IRR (bit 14)
LOGICAL, REMOTE_IRR, LEVEL, MASKED = 1 << 11, 1 << 14, 1 << 15, 1 << 16


class LapicPort(Protocol):
    """How interrupts reach the LAPICs."""

    def post(
        self, destination: int, logical: bool, delivery_mode: int, vector: int, level: bool, time_ps: int, token: int
    ) -> None:
        """Deliver to the LAPICs that `destination` names."""


class IoApicState(State):
    """Registers, and the lines' levels."""

    select: U8
    id: U8
    entries: Annotated[list[U64], Meta(min_length=LINES, max_length=LINES)]
    high: Annotated[list[bool], Meta(min_length=LINES, max_length=LINES)]


class IoApic:
    """One I/O APIC."""

    name = "ioapic"

    def __init__(self, lapics: LapicPort) -> None:
        self._lapics = lapics
        self._select = 0
        self._id = 0
        self._entries = [MASKED] * LINES
        self._high = [False] * LINES

    def ports(self) -> list[Region]:
        """None."""
        return []

    def mmio(self) -> list[Region]:
        """The register page."""
        return [Region(IOAPIC_GPA, PAGE_BYTES, self._read, self._write)]

    def reset(self) -> None:
        """Every line masked."""
        self._select = self._id = 0
        self._entries = [MASKED] * LINES
        self._high = [False] * LINES

    def save(self) -> Data:
        """Registers and levels."""
        return plain(IoApicState(self._select, self._id, self._entries, self._high))

    def restore(self, data: Data) -> None:
        """Take them. Raises BadSnapshot."""
        state = checked(IoApicState, data, self.name)
        self._select, self._id, self._entries, self._high = state.select, state.id, state.entries, state.high

    def set_line(self, line: int, high: bool, time_ps: int) -> None:
        """A device drives its line."""
        rising = high and not self._high[line]
        self._high[line] = high
        if rising or (high and self._entries[line] & LEVEL):
            self._deliver(line, time_ps)

    def pulse(self, line: int, time_ps: int) -> None:
        """A rising edge, and back."""
        self.set_line(line, True, time_ps)
        self.set_line(line, False, time_ps)

    def eoi(self, vector: int, time_ps: int) -> None:
        """A LAPIC finished a level-triggered vector: entries that carry it may deliver again."""
        for line, entry in enumerate(self._entries):
            if entry & 0xFF == vector and entry & REMOTE_IRR:
                self._entries[line] = entry & ~REMOTE_IRR
                if self._high[line]:
                    self._deliver(line, time_ps)

    def _deliver(self, line: int, time_ps: int) -> None:
        entry = self._entries[line]
        if entry & MASKED or entry & REMOTE_IRR:
            return
        level = bool(entry & LEVEL)
        if level:
            self._entries[line] = entry | REMOTE_IRR
        self._lapics.post(entry >> 56, bool(entry & LOGICAL), entry >> 8 & 7, entry & 0xFF, level, time_ps, 0)

    def _read(self, offset: int, size: int, time_ps: int) -> int:
        if offset == 0:
            return self._select
        if offset != 0x10:
            return 0
        register = self._select
        if register == 0:
            return self._id << 24
        if register == 1:
            return (LINES - 1) << 16 | VERSION
        if 0x10 <= register < 0x10 + 2 * LINES:
            return self._entries[(register - 0x10) // 2] >> (32 * (register & 1)) & 0xFFFF_FFFF
        return 0

    def _write(self, offset: int, size: int, value: int, time_ps: int) -> None:
        if offset == 0:
            self._select = value & 0xFF
        elif offset == 0x10:
            register = self._select
            if register == 0:
                self._id = value >> 24 & 0x0F
            elif 0x10 <= register < 0x10 + 2 * LINES:
                self._write_entry((register - 0x10) // 2, register & 1, value & 0xFFFF_FFFF, time_ps)

    def _write_entry(self, line: int, high_half: int, value: int, time_ps: int) -> None:
        shift = 32 * high_half
        writable = REDIRECTION_WRITABLE & 0xFFFF_FFFF << shift
        entry = self._entries[line] & ~writable | value << shift & writable
        if not entry & LEVEL:
            entry &= ~REMOTE_IRR
        self._entries[line] = entry
        if entry & LEVEL and self._high[line]:
            self._deliver(line, time_ps)
