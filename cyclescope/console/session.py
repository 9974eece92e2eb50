# SPDX-License-Identifier: GPL-2.0-or-later
"""Typing at a guest, on a grid of guest time.

Every TICK_PS the source of keys is asked what is typed now. So the guest's run is a function of what was typed at which tick, and a
recorded session comes out the same again; the source may let the host sleep meanwhile. Between two ticks what the guest printed is
shown.
"""

from __future__ import annotations

from typing import Protocol

from emu.clock import Payload
from emu.hang import HALTED
from emu.machine import Machine
from emu.units import PS_PER_MS
from emu.world import World

TICK_PS = PS_PER_MS
DEVICE = "terminal"


class Guest(Protocol):
    """What a source of keys may know of the guest, and do to it."""

    @property
    def room(self) -> int:
        """How many bytes it takes now."""

    @property
    def listens(self) -> bool:
        """Whether it wants to know of keys at all."""

    @property
    def idle(self) -> bool:
        """Whether it has taken all that was typed, and no vCPU runs."""

    def end(self, why: str) -> None:
        """End its run; `why` is the middle of a sentence."""


class Keys(Protocol):
    """A source of keys."""

    def typed(self, time_ps: int, guest: Guest) -> bytes:
        """What is typed at this tick: `guest.room` bytes at most. Called once a tick."""


class Session:
    """Somebody at the console of `machine`, from now on until the run ends."""

    def __init__(self, world: World, machine: Machine, keys: Keys) -> None:
        self._world, self._machine, self._keys = world, machine, keys
        self.ended = ""
        world.register(DEVICE, self._tick)
        world.schedule(world.now_ps + TICK_PS, DEVICE, "tick")

    def _tick(self, time_ps: int, tag: str, payload: Payload) -> None:
        data = self._keys.typed(time_ps, self)
        if data:
            self._machine.serial.type(data, time_ps)
        self._world.schedule(time_ps + TICK_PS, DEVICE, "tick")

    @property
    def room(self) -> int:
        """As Guest has it."""
        return self._machine.serial.room

    @property
    def listens(self) -> bool:
        """Likewise."""
        return self._machine.serial.listens

    @property
    def idle(self) -> bool:
        """Likewise."""
        if self._machine.serial.waiting:
            return False
        core, index = self._world.core, self._machine.index
        return all(core.regs(index, vcpu)[HALTED] for vcpu in range(self._machine.config.cpus))

    def end(self, why: str) -> None:
        """Likewise."""
        self.ended = self.ended or why
        self._world.stop()
