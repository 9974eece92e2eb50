# SPDX-License-Identifier: GPL-2.0-or-later
"""The interrupt line of the serial port at 0x3F8. Its registers live in the core (emu/core/serial.c).

The core passes on the writes that make the transmitter's interrupt due: enabling it while the transmitter is empty (always), or
writing a byte while it is enabled. Each is a rising edge on the port's line.
"""

from collections.abc import Callable

from emu.device import Region, all_ones
from emu.state import Data, State, checked, plain

SERIAL_PORT = 0x3F8


class SerialLine:
    """Turns those writes into edges; `raise_irq` pulses the line at a time."""

    name = "serial"

    def __init__(self, raise_irq: Callable[[int], None]) -> None:
        self._raise_irq = raise_irq

    def ports(self) -> list[Region]:
        """Data and interrupt enable."""
        return [Region(SERIAL_PORT, 2, lambda offset, size, time_ps: all_ones(size), self._write)]

    def mmio(self) -> list[Region]:
        """None."""
        return []

    def reset(self) -> None:
        """Nothing to forget."""

    def save(self) -> Data:
        """Nothing: the registers are the core's."""
        return plain(State())

    def restore(self, data: Data) -> None:
        """Nothing either. Raises BadSnapshot when there is something."""
        checked(State, data, self.name)

    def _write(self, offset: int, size: int, value: int, time_ps: int) -> None:
        self._raise_irq(time_ps)
