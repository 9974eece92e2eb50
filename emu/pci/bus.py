# SPDX-License-Identifier: GPL-2.0-or-later
"""PCI bus 0, reached by configuration mechanism 1: address port 0xCF8, data ports 0xCFC to 0xCFF.

Slot 0 holds the host bridge; functions added later take slots 1 to 31, in order. Port 0xCF9 (a byte inside the address port)
is the chipset's reset control. Other buses and functions read as all ones: nobody there.
Source: PCI Local Bus Specification 3.0, section 3.2.2.3.2; Intel ICH9 datasheet, section 13.7.5 (RST_CNT).
"""

from collections.abc import Callable

from emu.device import Region, all_ones
from emu.errors import ConfigError
from emu.pci.function import COMMAND, COMMAND_MEMORY, PciFunction
from emu.state import U8, U32, Data, State, checked, need, plain

BAR_WINDOW_START, BAR_WINDOW_END = 0xE000_0000, 0xFEC0_0000  # where firmware places BARs
RESET_CPU = 1 << 2


def host_bridge() -> PciFunction:
    """The function in slot 0: identity alone (Intel Q35's), so that a kernel finds a bus it knows."""
    return PciFunction(0x8086, 0x29C0, 0x060000, name="host bridge")


class PciBusState(State):
    """The ports, and every function."""

    address: U32
    reset_control: U8
    functions: list[Data]


class PciBus:
    """The ports and the functions behind them."""

    name = "pci"

    def __init__(self, reset_requested: Callable[[int], None]) -> None:
        """`reset_requested` is called with the time when the guest resets through port 0xCF9."""
        self.functions: list[PciFunction] = [host_bridge()]
        self._reset_requested = reset_requested
        self._address = 0
        self._reset_control = 0

    def add(self, function: PciFunction) -> int:
        """Plug a function into the next free slot; its slot number."""
        if len(self.functions) == 32:
            raise ConfigError("A machine has 31 PCI slots for devices; use fewer devices.")
        self.functions.append(function)
        return len(self.functions) - 1

    def assign(self) -> None:
        """What firmware does before a kernel starts: place every BAR and switch its decoding on."""
        requests = [
            (bar.size, slot, index) for slot, function in enumerate(self.functions) for index, bar in function.bars.items()
        ]
        next_free = BAR_WINDOW_START
        for size, slot, index in sorted(requests, key=lambda request: (-request[0], request[1], request[2])):
            next_free = (next_free + size - 1) & ~(size - 1)
            if next_free + size > BAR_WINDOW_END:
                raise ConfigError(f"{self.functions[slot].name}: its BAR {index} of {size} bytes finds no room below 4 GiB.")
            self.functions[slot].place_bar(index, next_free)
            next_free += size
        for function in self.functions:
            if function.bars:
                function.config_write(COMMAND, 2, COMMAND_MEMORY, 0)

    def ports(self) -> list[Region]:
        """Address and data ports."""
        return [
            Region(0xCF8, 4, self._read_address, self._write_address),
            Region(0xCFC, 4, self._read_data, self._write_data),
        ]

    def mmio(self) -> list[Region]:
        """None of its own."""
        return []

    def reset(self) -> None:
        """Power-on state of every function."""
        self._address = self._reset_control = 0
        for function in self.functions:
            function.reset()

    def save(self) -> Data:
        """The ports and every function's configuration space; MSI-X tables are their devices'."""
        return plain(PciBusState(self._address, self._reset_control, [function.save() for function in self.functions]))

    def restore(self, data: Data) -> None:
        """Take them. Raises BadSnapshot."""
        state = checked(PciBusState, data, self.name)
        need(len(state.functions) == len(self.functions), self.name, f"{len(state.functions)} functions")
        self._address, self._reset_control = state.address & 0x80FF_FFFC, state.reset_control
        for function, saved in zip(self.functions, state.functions, strict=True):
            function.restore(saved)

    def _selected(self, offset: int, size: int) -> tuple[PciFunction, int] | None:
        address = self._address
        if not address & 1 << 31 or address >> 16 & 0xFF or address >> 8 & 7 or offset + size > 4:
            return None
        slot = address >> 11 & 31
        return (self.functions[slot], (address & 0xFC) + offset) if slot < len(self.functions) else None

    def _read_address(self, offset: int, size: int, time_ps: int) -> int:
        if offset == 0 and size == 4:
            return self._address
        return self._reset_control if offset == 1 and size == 1 else all_ones(size)

    def _write_address(self, offset: int, size: int, value: int, time_ps: int) -> None:
        if offset == 0 and size == 4:
            self._address = value & 0x80FF_FFFC
        elif offset == 1 and size == 1:
            self._reset_control = value & ~RESET_CPU
            if value & RESET_CPU:
                self._reset_requested(time_ps)

    def _read_data(self, offset: int, size: int, time_ps: int) -> int:
        selected = self._selected(offset, size)
        if selected is None:
            return all_ones(size)
        function, register = selected
        return function.config_read(register, size, time_ps)

    def _write_data(self, offset: int, size: int, value: int, time_ps: int) -> None:
        selected = self._selected(offset, size)
        if selected is not None:
            function, register = selected
            function.config_write(register, size, value, time_ps)
