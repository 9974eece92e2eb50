# SPDX-License-Identifier: GPL-2.0-or-later
"""The board: vCPUs and LAPICs in the core, and around them RAM, I/O APIC, timer, PCI, console. Wiring only."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from emu.core.binding import Core, SerialAnswer, SerialLook
from emu.device import Device, MmioSpace, PortSpace, Region
from emu.dma import DmaEngine
from emu.errors import ConfigError, EmuBug, GuestError
from emu.irq.ioapic import IoApic
from emu.loader.boot import BootSpec, Entry, place
from emu.memory import RamMap
from emu.pci.bus import PciBus
from emu.pci.function import PciFunction
from emu.platform.cmos import Cmos
from emu.platform.pic import PicPair
from emu.platform.pit import Pit
from emu.platform.power import Power
from emu.platform.serial import SerialLine
from emu.state import Count, Data, State, checked, need, plain
from emu.units import MIB

if TYPE_CHECKING:
    from emu.world import World

MAX_CPUS = 16
PIT_LINE, SERIAL_LINE = 2, 4
CONSOLE_TAIL_BYTES = 64 * 1024


def parse_size(text: str) -> int:
    """A memory size: a number of MiB, or a number with suffix M or G. Raises ConfigError."""
    match = re.fullmatch(r"(\d{1,9})\s*([MG]?)(i?B)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise ConfigError(f"{text!r} is no memory size; write for example 512M or 2G.")
    return int(match[1]) * MIB * (1024 if match[2].upper() == "G" else 1)


@dataclass(frozen=True, slots=True)
class MachineConfig:
    """A machine's shape. All of it is part of a run's inputs."""

    cpus: int = 1
    ram_bytes: int = 256 * MIB
    hz: int = 3_000_000_000
    uarch: str = "default"
    cycle_limit: int = 0  # per vCPU; 0 none
    console_limit_bytes: int = 16 * MIB  # a guest that prints more is stopped

    def __post_init__(self) -> None:
        if not 1 <= self.cpus <= MAX_CPUS:
            raise ConfigError(f"{self.cpus} vCPUs: a machine has 1 to {MAX_CPUS}.")
        if not 1_000_000 <= self.hz <= 10_000_000_000:
            raise ConfigError(f"{self.hz} Hz: a processor runs at 1 MHz to 10 GHz.")
        if self.cycle_limit < 0:
            raise ConfigError(f"A limit of {self.cycle_limit} cycles: give 0 (none) or more.")
        RamMap(self.ram_bytes)


class SerialReceiver:
    """The core's serial port of one machine."""

    def __init__(self, core: Core, machine: int) -> None:
        self._core, self._machine = core, machine

    def receive(self, byte: int) -> SerialAnswer:
        """As emu.platform.serial.SerialPort has it."""
        return self._core.serial_receive(self._machine, byte)

    def look(self) -> SerialLook:
        """Likewise."""
        return self._core.serial_look(self._machine)


class Console:
    """What the guest prints: handed on as it comes, its end kept for messages, its amount limited."""

    def __init__(self, limit_bytes: int) -> None:
        self.bytes_written = 0
        self.sink: Callable[[bytes, int], None] | None = None  # (bytes, time_ps)
        self._limit = limit_bytes
        self._tail = bytearray()

    def put(self, data: bytes, time_ps: int) -> None:
        """Bytes from the serial transmitter. Raises GuestError past the limit."""
        self.bytes_written += len(data)
        self._tail += data
        if len(self._tail) > 2 * CONSOLE_TAIL_BYTES:
            del self._tail[:-CONSOLE_TAIL_BYTES]
        if self.sink is not None:
            self.sink(data, time_ps)
        if self.bytes_written > self._limit:
            raise GuestError(f"The guest flooded its console: more than {self._limit} bytes; its run was ended.")

    def state(self) -> "ConsoleState":
        """For saving."""
        return ConsoleState(self.bytes_written, bytes(self._tail))

    def take(self, state: "ConsoleState") -> None:
        """The opposite."""
        self.bytes_written, self._tail = state.bytes_written, bytearray(state.tail)

    @property
    def tail(self) -> str:
        """The last bytes printed, as text."""
        return self._tail[-CONSOLE_TAIL_BYTES:].decode("utf-8", "replace")


class ConsoleState(State):
    """What was printed."""

    bytes_written: Count
    tail: Annotated[bytes, Meta(max_length=2 * CONSOLE_TAIL_BYTES)]


class MachineState(State):
    """The board: its devices by name, and what nobody's device remembers."""

    console: ConsoleState
    devices: dict[str, Data]
    unclaimed: list[tuple[Annotated[int, Meta(ge=0, le=0xFFFF)], Literal["in", "out"], Count]]
    dma_reads: Count
    dma_writes: Count
    booted: bool


class Machine:
    """One machine of a World; make it with `World.add_machine`."""

    def __init__(self, world: "World", index: int, config: MachineConfig) -> None:
        self.config = config
        self.index = index
        self.ram = RamMap(config.ram_bytes)
        self.console = Console(config.console_limit_bytes)
        self.entry: Entry | None = None  # where it was started here; a restored machine was started elsewhere
        self._booted = False
        self._world = world
        self._core = core = world.core
        self.ports = PortSpace()
        self.mmio = MmioSpace()
        self.dma = DmaEngine(core, index, self.ram, world)
        self.ioapic = IoApic(self)
        self.pci = PciBus(lambda time_ps: world.guest_ended(index, "reset", time_ps))
        pit = Pit(f"m{index}.pit", world.schedule, lambda time_ps: self.ioapic.pulse(PIT_LINE, time_ps))
        world.register(pit.name, pit.event, pit.event_fits)
        power = Power(lambda how, time_ps: world.guest_ended(index, how, time_ps))
        self.serial = serial = SerialLine(
            f"m{index}.serial", SerialReceiver(core, index), world.schedule, lambda time_ps: self.ioapic.pulse(SERIAL_LINE, time_ps)
        )  # fmt: skip
        world.register(serial.events_name, serial.event, serial.event_fits)
        self.devices: list[Device] = [self.ioapic, self.pci, pit, PicPair(), Cmos(config.ram_bytes), power, serial]
        for device in self.devices:
            for region in device.ports():
                self.ports.add(region)
            for region in device.mmio():
                self.map_mmio(region)
        self._check_ram_map()

    def add_pci(self, function: PciFunction) -> int:
        """Plug in a PCI function, before `boot`; its slot on bus 0."""
        slot = self.pci.add(function)
        function.connect(self.map_mmio, self.unmap_mmio)
        return slot

    def boot(self, spec: BootSpec) -> Entry:
        """Act as firmware and boot loader: assign PCI resources, fill RAM, point the first vCPU at the kernel.

        Raises ConfigError for a bad image or module; once only, EmuBug after that.
        """
        if self._booted:
            raise EmuBug(f"machine {self.index} was booted twice")
        self._booted = True
        self.pci.assign()
        entry = place(spec, self.config.cpus, self.ram, lambda gpa, data: self._core.load(self.index, gpa, data))
        self._core.start_pvh(self.index, entry.rip, entry.ebx, entry.eax)
        self.entry = entry
        return entry

    def off(self) -> None:
        """Take the power away, from within an event's handler or between runs: nothing of it runs or wakes any more."""
        self._core.machine_off(self.index)

    # ---- snapshots

    def save(self) -> Data:
        """The board's state; RAM, vCPUs, LAPICs and the serial port are the core's, devices behind PCI functions their owners'."""
        return plain(
            MachineState(
                self.console.state(),
                {device.name: device.save() for device in self.devices},
                [(port, "in" if way == "in" else "out", n) for (port, way), n in sorted(self.ports.unclaimed.items())],
                self.dma.reads,
                self.dma.writes,
                self._booted,
            )
        )

    def restore(self, data: Data) -> None:
        """Take it, into a machine that was never booted. Raises BadSnapshot."""
        where = f"machine {self.index}"
        state = checked(MachineState, data, where)
        need(state.devices.keys() == {device.name for device in self.devices}, where, "a board with other devices")
        self.console.take(state.console)
        for device in self.devices:
            device.restore(state.devices[device.name])
        self.ports.unclaimed = {(port, way): n for port, way, n in state.unclaimed}
        self.dma.reads, self.dma.writes = state.dma_reads, state.dma_writes
        self._booted = state.booted

    # ---- interrupts, as PCI functions and the I/O APIC send them

    def msi(self, address: int, data: int, time_ps: int, token: int = 0) -> None:
        """A message-signalled interrupt; `token` is the request that raised it (0 = none)."""
        self._core.msi(self.index, address, data, time_ps, token)

    def post(
        self, destination: int, logical: bool, delivery_mode: int, vector: int, level: bool, time_ps: int, token: int
    ) -> None:
        """An interrupt from the I/O APIC."""
        self._core.lapic_post(self.index, destination, logical, delivery_mode, vector, level, time_ps, token)

    # ---- MMIO regions come and go with the BARs

    def map_mmio(self, region: Region) -> None:
        """Make the core forward a region to us. A BAR laid over RAM or the LAPIC stays invisible, as on a PC."""
        if self.ram.holds(region.base, 1) or region.base + region.size > 1 << 46:
            return
        for gpa, size in self.mmio.add(region):
            self._core.mmio_add(self.index, gpa, size)

    def unmap_mmio(self, region: Region) -> None:
        """The opposite."""
        for gpa, size in self.mmio.remove(region):
            self._core.mmio_del(self.index, gpa, size)

    def ram_bytes_at(self, gpa: int, n: int) -> bytes | None:
        """Bytes of RAM for looking at the guest: no device reads them, no time passes. None where not all is RAM."""
        offset = self._core.ram_offset(self.index, gpa, n)
        return None if offset < 0 else bytes(self._core.ram(self.index, offset + n)[offset:])

    def _check_ram_map(self) -> None:
        for gpa, size in ((0, self.ram.low_end), (4 << 30, self.ram.high_end - (4 << 30))):
            if size and self._core.ram_offset(self.index, gpa, size) < 0:
                raise EmuBug(f"the core has no RAM at {gpa:#x}, {size} bytes")
