# SPDX-License-Identifier: GPL-2.0-or-later
"""Ports by which a guest resets or switches off the machine, and the ACPI power-management timer.

0x64 (keyboard controller: command 0xFE), 0x92 (bit 0), 0x604 (PM1a control: SLP_EN). A reset ends the run: machines are not booted
twice. No keyboard: port 0x60 and the status at 0x64 read all ones. 0x608 is the PM timer, 3.579545 MHz, 32 bits.
Source: ACPI specification 6.4, section 4.8.
"""

from collections.abc import Callable

from emu.device import Region
from emu.state import U16, Data, State, checked, plain
from emu.units import PS_PER_S

PM1_EVENT_PORT, PM1_CONTROL_PORT, PM_TIMER_PORT = 0x600, 0x604, 0x608
PM_TIMER_HZ = 3_579_545
SLEEP_ENABLE = 1 << 13


class PowerState(State):
    """The ACPI registers."""

    event_enable: U16
    control: U16


class Power:
    """Reset and power-off; each calls back with what happened ("reset" or "power-off") and when."""

    name = "power"

    def __init__(self, ended: Callable[[str, int], None]) -> None:
        self._ended = ended
        self.reset()

    def ports(self) -> list[Region]:
        """0x60, 0x64, 0x92 and the ACPI block."""
        return [
            Region(0x60, 1, lambda offset, size, time_ps: 0xFF, lambda offset, size, value, time_ps: None),
            Region(0x64, 1, lambda offset, size, time_ps: 0xFF, self._keyboard_command),
            Region(0x92, 1, lambda offset, size, time_ps: 0x02, self._fast_reset),
            Region(PM1_EVENT_PORT, 4, self._read_event, self._write_event),
            Region(PM1_CONTROL_PORT, 2, self._read_control, self._write_control),
            Region(PM_TIMER_PORT, 4, self._read_timer, lambda offset, size, value, time_ps: None),
        ]

    def mmio(self) -> list[Region]:
        """None."""
        return []

    def reset(self) -> None:
        """ACPI mode on (there is no SMM to switch it), no event enabled."""
        self._event_enable = 0
        self._control = 1  # SCI_EN

    def save(self) -> Data:
        """The ACPI registers; the timer is a function of world time."""
        return plain(PowerState(self._event_enable, self._control))

    def restore(self, data: Data) -> None:
        """Take them. Raises BadSnapshot."""
        state = checked(PowerState, data, self.name)
        self._event_enable, self._control = state.event_enable, state.control

    def _keyboard_command(self, offset: int, size: int, value: int, time_ps: int) -> None:
        if value & 0xFF == 0xFE:
            self._ended("reset", time_ps)

    def _fast_reset(self, offset: int, size: int, value: int, time_ps: int) -> None:
        if value & 1:
            self._ended("reset", time_ps)

    def _read_event(self, offset: int, size: int, time_ps: int) -> int:
        return self._event_enable << 16 >> (8 * offset)

    def _write_event(self, offset: int, size: int, value: int, time_ps: int) -> None:
        if offset == 2:
            self._event_enable = value & 0xFFFF
        elif offset == 0 and size == 4:
            self._event_enable = value >> 16 & 0xFFFF

    def _read_control(self, offset: int, size: int, time_ps: int) -> int:
        return self._control >> (8 * offset)

    def _write_control(self, offset: int, size: int, value: int, time_ps: int) -> None:
        if offset == 0 and size >= 2:
            self._control = value & 0x1C06 | 1
            if value & SLEEP_ENABLE:
                self._ended("power-off", time_ps)

    def _read_timer(self, offset: int, size: int, time_ps: int) -> int:
        return (time_ps * PM_TIMER_HZ // PS_PER_S & 0xFFFF_FFFF) >> (8 * offset)
