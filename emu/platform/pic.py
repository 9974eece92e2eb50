# SPDX-License-Identifier: GPL-2.0-or-later
"""The pair of 8259 interrupt controllers, as far as a kernel that uses the I/O APIC needs them: initialised, masked, left alone.

Nothing is wired to them, so they never interrupt; registers read back what was written. Ports 0x20, 0x21, 0xA0, 0xA1 and the
edge/level registers 0x4D0, 0x4D1. Source: Intel 8259A datasheet.
"""

from typing import Annotated

from msgspec import Meta

from emu.device import Read, Region, Write
from emu.state import U8, Data, State, checked, plain


class PicState(State):
    """One 8259."""

    imr: U8
    init_step: Annotated[int, Meta(ge=0, le=4)]
    needs_icw4: bool


class PicPairState(State):
    """Both, and their edge/level registers."""

    pics: tuple[PicState, PicState]
    levels: tuple[U8, U8]


class Pic:
    """One 8259."""

    def __init__(self) -> None:
        self.imr = 0xFF
        self._init_step = 0
        self._needs_icw4 = False

    def state(self) -> PicState:
        """For saving."""
        return PicState(self.imr, self._init_step, self._needs_icw4)

    def take(self, state: PicState) -> None:
        """The opposite."""
        self.imr, self._init_step, self._needs_icw4 = state.imr, state.init_step, state.needs_icw4

    def write_command(self, value: int) -> None:
        """Port 0: ICW1 starts an initialisation; OCW2 (EOI) and OCW3 have nothing to act on."""
        if value & 0x10:
            self._init_step = 2
            self._needs_icw4 = bool(value & 1)
            self.imr = 0

    def write_data(self, value: int) -> None:
        """Port 1: the rest of an initialisation, else the mask."""
        if self._init_step == 0:
            self.imr = value & 0xFF
        elif (self._init_step == 3 and not self._needs_icw4) or self._init_step == 4:
            self._init_step = 0
        else:
            self._init_step += 1


class PicPair:
    """Both, on their ports."""

    name = "pic"

    def __init__(self) -> None:
        self._pics = (Pic(), Pic())
        self._levels = [0, 0]

    def ports(self) -> list[Region]:
        """0x20, 0xA0, 0x4D0."""
        return [
            Region(0x20, 2, self._reader(0), self._writer(0)),
            Region(0xA0, 2, self._reader(1), self._writer(1)),
            Region(0x4D0, 2, self._read_levels, self._write_levels),
        ]

    def mmio(self) -> list[Region]:
        """None."""
        return []

    def reset(self) -> None:
        """All masked."""
        self._pics = (Pic(), Pic())
        self._levels = [0, 0]

    def save(self) -> Data:
        """Both chips' registers."""
        return plain(PicPairState((self._pics[0].state(), self._pics[1].state()), (self._levels[0], self._levels[1])))

    def restore(self, data: Data) -> None:
        """Take them. Raises BadSnapshot."""
        state = checked(PicPairState, data, self.name)
        for pic, saved in zip(self._pics, state.pics, strict=True):
            pic.take(saved)
        self._levels = list(state.levels)

    def _reader(self, which: int) -> Read:
        return lambda offset, size, time_ps: self._pics[which].imr if offset else 0

    def _writer(self, which: int) -> Write:
        def write(offset: int, size: int, value: int, time_ps: int) -> None:
            pic = self._pics[which]
            if offset:
                pic.write_data(value)
            else:
                pic.write_command(value)

        return write

    def _read_levels(self, offset: int, size: int, time_ps: int) -> int:
        return self._levels[offset]

    def _write_levels(self, offset: int, size: int, value: int, time_ps: int) -> None:
        self._levels[offset] = value & 0xFF
