# SPDX-License-Identifier: GPL-2.0-or-later
"""The serial port at 0x3F8 from outside: its interrupt line, and the line on which bytes come in. Its registers are the core's.

Bytes come one behind the other at the rate that the guest has set; one that finds the FIFO full waits until the guest has taken
another (emu/core/serial.c). A FIFO with fewer bytes than its trigger level interrupts when for four characters' time none came and
none was taken.
"""

from collections.abc import Callable
from typing import Annotated, Protocol

from msgspec import Meta

from emu.clock import Payload
from emu.core.binding import SerialAnswer, SerialLook
from emu.device import Region, all_ones
from emu.state import Data, State, Time, checked, plain
from emu.units import PS_PER_S

SERIAL_PORT = 0x3F8
BAUD = 115_200
TIMEOUT_CHARACTERS = 4
MAX_WAITING = 1 << 16


class SerialPort(Protocol):
    """The receiver's registers, which are the core's."""

    def receive(self, byte: int) -> SerialAnswer:
        """A byte, or -1: the time-out."""

    def look(self) -> SerialLook:
        """How it stands."""


class SerialState(State):
    """What is still to come."""

    waiting: Annotated[bytes, Meta(max_length=MAX_WAITING)]
    coming: bool
    deadline_ps: Time


class SerialLine:
    """The line of machine `name`'s port; `raise_irq` pulses its interrupt line at a time."""

    def __init__(
        self, name: str, port: SerialPort, schedule: Callable[..., object], raise_irq: Callable[[int], None]
    ) -> None:
        self.name = "serial"
        self.events_name = name
        self._port, self._schedule, self._raise_irq = port, schedule, raise_irq
        self._waiting = bytearray()
        self.reset()

    def ports(self) -> list[Region]:
        """Data, interrupt enable, FIFO control: what the core tells of them."""
        return [Region(SERIAL_PORT, 3, self._taken, self._told)]

    def mmio(self) -> list[Region]:
        """None."""
        return []

    def reset(self) -> None:
        """Nothing is on its way."""
        self._waiting.clear()
        self._coming = False  # an event for the next byte is queued
        self._deadline_ps = 0

    def save(self) -> Data:
        """What is on its way."""
        return plain(SerialState(bytes(self._waiting), self._coming, self._deadline_ps))

    def restore(self, data: Data) -> None:
        """Take it. Raises BadSnapshot."""
        state = checked(SerialState, data, self.name)
        self._waiting, self._coming, self._deadline_ps = bytearray(state.waiting), state.coming, state.deadline_ps

    @property
    def room(self) -> int:
        """How many more bytes `type` takes."""
        return MAX_WAITING - len(self._waiting)

    @property
    def waiting(self) -> int:
        """Bytes that the guest has not taken: on their way, or received."""
        return len(self._waiting) + self._port.look().received

    @property
    def listens(self) -> bool:
        """Whether the guest wants to be told of bytes."""
        return self._port.look().listens

    def type(self, data: bytes, time_ps: int) -> None:
        """Send bytes to the guest, from now on; at most `room` of them."""
        self._waiting += data[: self.room]
        if self._waiting and not self._coming:
            self._next(time_ps)

    def event(self, time_ps: int, tag: str, payload: Payload) -> None:
        """A byte arrives, or the time-out may be due."""
        if tag == "timeout":
            if payload == (self._deadline_ps,):
                self._answer(self._port.receive(-1), time_ps)
            return
        self._coming = False
        if not self._waiting:
            return
        answer = self._port.receive(self._waiting[0])
        if answer & SerialAnswer.FULL:
            return  # `_taken` goes on
        del self._waiting[0]
        self._answer(answer, time_ps)
        self._restart(time_ps)

    @staticmethod
    def event_fits(tag: str, payload: Payload) -> bool:
        """Whether such an event can be queued."""
        if tag == "timeout":
            return len(payload) == 1 and isinstance(payload[0], int)
        return tag == "byte" and not payload

    def _answer(self, answer: SerialAnswer, time_ps: int) -> None:
        if answer & SerialAnswer.RISES:
            self._raise_irq(time_ps)

    def _character_ps(self) -> int:
        look = self._port.look()
        return look.bits * max(look.divisor, 1) * PS_PER_S // BAUD

    def _next(self, time_ps: int) -> None:
        self._coming = True
        self._schedule(time_ps + self._character_ps(), self.events_name, "byte")

    def _restart(self, time_ps: int) -> None:
        """A byte came or was taken: the time-out begins anew, and the next byte may come."""
        if self._port.look().received:
            self._deadline_ps = time_ps + TIMEOUT_CHARACTERS * self._character_ps()
            self._schedule(self._deadline_ps, self.events_name, "timeout", (self._deadline_ps,))
        if self._waiting and not self._coming:
            self._next(time_ps)

    def _taken(self, offset: int, size: int, time_ps: int) -> int:
        self._restart(time_ps)
        return all_ones(size)

    def _told(self, offset: int, size: int, value: int, time_ps: int) -> None:
        if offset == 2:
            self._restart(time_ps)
        else:
            self._raise_irq(time_ps)
