# SPDX-License-Identifier: GPL-2.0-or-later
"""Guest RAM's place in the physical address space.

RAM begins at 0; what does not fit below the PCI hole at 3 GiB continues at 4 GiB. The core owns the bytes; this is the map that
firmware tells the kernel and that bounds checks use, and it must agree with the core's (checked when a machine is made).
"""

from dataclasses import dataclass

from emu.errors import ConfigError
from emu.firmware.bootinfo import RAM, RESERVED, MapEntry
from emu.units import GIB, MIB

LOW_RAM_END = 0xC000_0000
HIGH_RAM_START = 4 * GIB
MIN_RAM_BYTES, MAX_RAM_BYTES = 64 * MIB, 8 * GIB

CONVENTIONAL_END = 0x9_F000
FIRMWARE_GPA, FIRMWARE_END = 0xE_0000, 0x10_0000  # ACPI tables and boot information live here
IOAPIC_AND_LAPIC = (0xFEC0_0000, 0x40_0000)


@dataclass(frozen=True, slots=True)
class RamMap:
    """Which guest-physical addresses are RAM."""

    ram_bytes: int

    def __post_init__(self) -> None:
        if not MIN_RAM_BYTES <= self.ram_bytes <= MAX_RAM_BYTES or self.ram_bytes % MIB:
            raise ConfigError(
                f"{self.ram_bytes} bytes of memory: a machine has {MIN_RAM_BYTES // MIB} to {MAX_RAM_BYTES // MIB} MiB,"
                " in whole MiB."
            )

    @property
    def low_end(self) -> int:
        """First address behind the RAM below 4 GiB."""
        return min(self.ram_bytes, LOW_RAM_END)

    @property
    def high_end(self) -> int:
        """First address behind the RAM above 4 GiB (HIGH_RAM_START when there is none)."""
        return HIGH_RAM_START + max(0, self.ram_bytes - LOW_RAM_END)

    def holds(self, gpa: int, size: int) -> bool:
        """Whether [gpa, gpa + size) is RAM."""
        end = gpa + size
        return 0 <= gpa <= end <= self.low_end or HIGH_RAM_START <= gpa <= end <= self.high_end

    def entries(self) -> list[MapEntry]:
        """The memory map a kernel is given."""
        entries = [
            MapEntry(0, CONVENTIONAL_END, RAM),
            MapEntry(CONVENTIONAL_END, 0xA_0000 - CONVENTIONAL_END, RESERVED),
            MapEntry(FIRMWARE_GPA, FIRMWARE_END - FIRMWARE_GPA, RESERVED),
            MapEntry(0x10_0000, self.low_end - 0x10_0000, RAM),
            MapEntry(*IOAPIC_AND_LAPIC, RESERVED),
        ]
        if self.high_end > HIGH_RAM_START:
            entries.append(MapEntry(HIGH_RAM_START, self.high_end - HIGH_RAM_START, RAM))
        return entries
