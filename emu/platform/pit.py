# SPDX-License-Identifier: GPL-2.0-or-later
"""The 8254 timer: channel 0 (interrupt line 2 of the I/O APIC), channel 2, and port 0x61 that gates and shows channel 2.

Counters are functions of world time, so nothing ticks; only channel 0 in the modes a kernel takes interrupts from schedules
events. Modes 0 (interrupt on terminal count), 2 (rate) and 3 (square wave) count; 1, 4 and 5 are taken as 0. Binary counting only.
Channel 1 (memory refresh) accepts writes and counts nothing. Sources: Intel 8254 datasheet; ICH9 datasheet, section 13.5 (NMI_SC).
"""

from collections.abc import Callable
from typing import Annotated

from msgspec import Meta

from emu.clock import Payload
from emu.device import Region
from emu.state import U8, U16, Count, Data, State, Time, checked, need, plain
from emu.units import PS_PER_S

PIT_HZ = 1_193_182
REFRESH_PS = 15_085_000  # port 0x61 bit 4 toggles with each memory refresh


class ChannelState(State):
    """A channel."""

    mode: Annotated[int, Meta(ge=0, le=3)]  # never 1
    access: Annotated[int, Meta(ge=0, le=3)]
    reload: Annotated[int, Meta(ge=1, le=0x10000)]
    start_ps: Time
    gate: bool
    loaded: bool
    generation: Count
    latched: U16 | None
    low: U8 | None
    read_high: bool


class PitState(State):
    """The timer."""

    channels: tuple[ChannelState, ChannelState, ChannelState]
    port61: U8


class Channel:
    """One counter."""

    def __init__(self) -> None:
        self.mode = 0
        self.access = 3  # 1 low byte, 2 high byte, 3 low then high
        self.reload = 0x10000
        self.start_ps = 0
        self.gate = True
        self.loaded = False
        self.generation = 0  # events of an earlier programming are stale
        self._latched: int | None = None
        self._low: int | None = None
        self._read_high = False

    def state(self) -> ChannelState:
        """For saving."""
        return ChannelState(
            self.mode, self.access, self.reload, self.start_ps, self.gate, self.loaded, self.generation,
            self._latched, self._low, self._read_high,
        )  # fmt: skip

    def take(self, state: ChannelState) -> None:
        """The opposite."""
        self.mode, self.access, self.reload, self.start_ps = state.mode, state.access, state.reload, state.start_ps
        self.gate, self.loaded, self.generation = state.gate, state.loaded, state.generation
        self._latched, self._low, self._read_high = state.latched, state.low, state.read_high

    def ticks(self, time_ps: int) -> int:
        """Input clocks since the counter was loaded."""
        return (time_ps - self.start_ps) * PIT_HZ // PS_PER_S if self.gate else 0

    def count(self, time_ps: int) -> int:
        """The counting element, 16 bits."""
        if not self.loaded:
            return 0
        ticks = self.ticks(time_ps)
        if self.mode == 0:
            return (self.reload - ticks) & 0xFFFF
        if self.mode == 3:
            ticks *= 2
        return (self.reload - ticks % self.reload) & 0xFFFF

    def out(self, time_ps: int) -> bool:
        """The output pin."""
        if not self.loaded:
            return self.mode != 0
        ticks = self.ticks(time_ps)
        if self.mode == 0:
            return ticks >= self.reload
        if self.mode == 2:
            return ticks % self.reload != self.reload - 1
        return ticks % self.reload < (self.reload + 1) // 2

    def program(self, value: int) -> None:
        """A control word for this channel (not a latch command)."""
        mode = value >> 1 & 7
        self.mode = {2: 2, 6: 2, 3: 3, 7: 3}.get(mode, 0)
        self.access = value >> 4 & 3
        self.loaded = False
        self.generation += 1
        self._low = self._latched = None
        self._read_high = False

    def latch(self, time_ps: int) -> None:
        """Hold the count for reading."""
        if self._latched is None:
            self._latched = self.count(time_ps)

    def read(self, time_ps: int) -> int:
        """One byte of the count."""
        count = self.count(time_ps) if self._latched is None else self._latched
        high = self.access == 2 or (self.access == 3 and self._read_high)
        if self.access == 3:
            self._read_high = not self._read_high
        if not self._read_high:
            self._latched = None
        return count >> 8 if high else count & 0xFF

    def write(self, value: int, time_ps: int) -> bool:
        """One byte of the reload value; true when counting (re)starts."""
        if self.access == 3 and self._low is None:
            self._low = value
            return False
        reload = value << 8 if self.access == 2 else value
        if self.access == 3 and self._low is not None:
            reload = self._low | value << 8
            self._low = None
        self.reload = reload or 0x10000
        self.start_ps = time_ps
        self.loaded = True
        self.generation += 1
        return True


class Pit:
    """The timer and port 0x61."""

    def __init__(
        self,
        name: str,
        schedule: Callable[[int, str, str, Payload], int],
        raise_irq: Callable[[int], None],
    ) -> None:
        """`raise_irq` pulses the timer's interrupt line at a time."""
        self.name = name
        self._schedule = schedule
        self._raise_irq = raise_irq
        self._channels = [Channel(), Channel(), Channel()]
        self._port61 = 0
        self.reset()

    def ports(self) -> list[Region]:
        """0x40 to 0x43, and 0x61."""
        return [Region(0x40, 4, self._read, self._write), Region(0x61, 1, self._read61, self._write61)]

    def mmio(self) -> list[Region]:
        """None."""
        return []

    def reset(self) -> None:
        """Nothing programmed; channel 2's gate low."""
        generations = [channel.generation for channel in self._channels]
        self._channels = [Channel(), Channel(), Channel()]
        for channel, generation in zip(self._channels, generations, strict=True):
            channel.generation = generation + 1
        self._channels[2].gate = False
        self._port61 = 0

    def save(self) -> Data:
        """The three channels and port 0x61."""
        return plain(PitState((self._channels[0].state(), self._channels[1].state(), self._channels[2].state()), self._port61))

    def restore(self, data: Data) -> None:
        """Take them. Raises BadSnapshot."""
        state = checked(PitState, data, self.name)
        for channel, saved in zip(self._channels, state.channels, strict=True):
            need(saved.mode != 1, self.name, "mode 1")
            channel.take(saved)
        self._port61 = state.port61

    def event_fits(self, tag: str, payload: Payload) -> bool:
        """Whether `event` can take it."""
        return tag == "irq" and len(payload) == 1 and type(payload[0]) is int

    def event(self, time_ps: int, tag: str, payload: Payload) -> None:
        """Channel 0 came to its terminal count."""
        channel = self._channels[0]
        if payload[0] != channel.generation:
            return
        self._raise_irq(time_ps)
        if channel.mode != 0:
            self._arm(time_ps)

    def _arm(self, time_ps: int) -> None:
        channel = self._channels[0]
        periods = 1 if channel.mode == 0 else channel.ticks(time_ps) // channel.reload + 1
        due = channel.start_ps - (-periods * channel.reload * PS_PER_S // PIT_HZ)
        self._schedule(due, self.name, "irq", (channel.generation,))

    def _read(self, offset: int, size: int, time_ps: int) -> int:
        return 0xFF if offset == 3 else self._channels[offset].read(time_ps)

    def _write(self, offset: int, size: int, value: int, time_ps: int) -> None:
        value &= 0xFF
        if offset < 3:
            if self._channels[offset].write(value, time_ps) and offset == 0:
                self._arm(time_ps)
            return
        select = value >> 6
        if select == 3:  # read back: latch the counts asked for
            for index, channel in enumerate(self._channels):
                if value & 2 << index and not value & 0x20:
                    channel.latch(time_ps)
        elif value >> 4 & 3 == 0:
            self._channels[select].latch(time_ps)
        else:
            self._channels[select].program(value)

    def _read61(self, offset: int, size: int, time_ps: int) -> int:
        refresh = time_ps // REFRESH_PS & 1
        return self._port61 | refresh << 4 | self._channels[2].out(time_ps) << 5

    def _write61(self, offset: int, size: int, value: int, time_ps: int) -> None:
        self._port61 = value & 0x0F
        channel = self._channels[2]
        gate = bool(value & 1)
        if gate and not channel.gate and (channel.mode != 0 or channel.ticks(time_ps) == 0):
            channel.start_ps = time_ps  # a rising gate (re)starts the count
        channel.gate = gate
