# SPDX-License-Identifier: GPL-2.0-or-later
"""PCI as a kernel's enumeration code sees it, and as a hostile guest might."""

import pytest

from emu.device import Region
from emu.pci.bus import BAR_WINDOW_START, PciBus
from emu.pci.function import PciFunction
from emu.pci.msix import MsixTable


class Board:
    """A bus with one function, driven through its ports."""

    def __init__(self) -> None:
        self.resets: list[int] = []
        self.messages: list[tuple[int, int, int, int]] = []
        self.mapped: list[Region] = []
        self.bus = PciBus(self.resets.append)
        self.function = PciFunction(0x1AF4, 0x1041, 0x020000, revision=1, subsystem_id=0x1100, name="nic")
        self.log: list[tuple[int, int, int]] = []
        self.function.add_bar(0, 0x4000, lambda o, s, t: 0xAB, lambda o, s, v, t: self.log.append((o, s, v)))
        self.msix = MsixTable(self.function, 1, 0, 0x800, 5, self)
        self.function.connect(self.mapped.append, self.mapped.remove)
        self.slot = self.bus.add(self.function)
        self.address, self.data = self.bus.ports()

    def msi(self, address: int, data: int, time_ps: int, token: int) -> None:
        self.messages.append((address, data, time_ps, token))

    def read(self, offset: int, size: int = 4, slot: int | None = None, function: int = 0) -> int:
        slot = self.slot if slot is None else slot
        self.address.write(0, 4, 1 << 31 | slot << 11 | function << 8 | offset & 0xFC, 0)
        return self.data.read(offset & 3, size, 0)

    def write(self, offset: int, value: int, size: int = 4) -> None:
        self.address.write(0, 4, 1 << 31 | self.slot << 11 | offset & 0xFC, 0)
        self.data.write(offset & 3, size, value, 0)

    def bar(self, index: int) -> Region:
        return next(r for r in self.mapped if r.base == self.function.bars[index].address)


def test_enumeration_finds_bridge_function_and_nothing_else() -> None:
    board = Board()
    assert board.read(0, slot=0) == 0x29C08086
    assert board.read(0) == 0x10411AF4
    assert board.read(8) == 0x02000001
    assert board.read(0x2E, 2) == 0x1100
    assert board.read(0, slot=2) == 0xFFFF_FFFF
    assert board.read(0, function=1) == 0xFFFF_FFFF


def test_capability_list_ends() -> None:
    board = Board()
    assert board.read(6, 2) & 0x10
    assert board.read(0x34, 1) == 0x40
    assert board.read(0x40, 2) == 0x0011


def test_bar_sizing_gives_the_size_and_unmaps_meanwhile() -> None:
    board = Board()
    board.bus.assign()
    placed = board.read(0x10)
    assert placed >= BAR_WINDOW_START
    board.write(0x10, 0xFFFF_FFFF)
    assert board.read(0x10) == 0xFFFF_C000
    assert placed not in [region.base for region in board.mapped]
    board.write(0x10, placed)
    assert placed in [region.base for region in board.mapped]


def test_bar_answers_where_it_was_moved() -> None:
    board = Board()
    board.bus.assign()
    board.write(0x10, 0xF000_0000)
    region = board.bar(0)
    assert region.base == 0xF000_0000
    assert region.read(8, 1, 0) == 0xAB
    region.write(16, 4, 7, 0)
    assert board.log == [(16, 4, 7)]
    board.write(4, 0, 2)
    assert board.mapped == []


def test_wide_bar_keeps_its_high_half() -> None:
    function = PciFunction(1, 2, 0)
    function.add_bar(4, 0x4000, lambda o, s, t: 0, lambda o, s, v, t: None, wide=True)
    function.config_write(0x20, 4, 0xFFFF_FFFF, 0)
    function.config_write(0x24, 4, 0xFFFF_FFFF, 0)
    assert function.config_read(0x20, 4, 0) == 0xFFFF_C004
    assert function.config_read(0x24, 4, 0) == 0xFFFF_FFFF
    function.config_write(0x20, 4, 0x8000_0000, 0)
    function.config_write(0x24, 4, 1, 0)
    assert function.bars[4].address == 0x1_8000_0000


def test_read_only_registers_stay() -> None:
    board = Board()
    for offset in range(0, 0x10, 4):
        board.write(offset, 0xFFFF_FFFF)
    assert board.read(0) == 0x10411AF4
    assert board.read(8) == 0x02000001
    assert board.read(4, 2) == 0x0547 & ~1 | 1 & board.read(4, 2)


def test_reset_control_port_asks_for_a_reset() -> None:
    board = Board()
    board.address.write(1, 1, 0x02, 5)
    assert board.resets == []
    board.address.write(1, 1, 0x06, 6)
    assert board.resets == [6]


def program(board: Board, vector: int, *, masked: bool) -> None:
    region = board.bar(1)
    for at, value in enumerate((0xFEE0_0000, 0, 0x40 + vector, int(masked))):
        region.write(16 * vector + 4 * at, 4, value, 0)


def enabled_board() -> Board:
    board = Board()
    board.bus.assign()
    board.write(4, 0x0006, 2)
    board.write(0x42, 0x8000, 2)
    return board


def test_msix_fires_with_its_token() -> None:
    board = enabled_board()
    program(board, 2, masked=False)
    board.msix.fire(2, 1000, 77)
    assert board.messages == [(0xFEE0_0000, 0x42, 1000, 77)]


def test_masked_vector_pends_and_goes_out_on_unmask() -> None:
    board = enabled_board()
    program(board, 1, masked=True)
    board.msix.fire(1, 10, 5)
    board.msix.fire(1, 11, 6)
    region = board.bar(1)
    assert board.messages == []
    assert region.read(0x800, 4, 0) == 2
    region.write(16 + 12, 4, 0, 99)
    assert board.messages == [(0xFEE0_0000, 0x41, 99, 5)]
    assert region.read(0x800, 4, 0) == 0


def test_function_mask_holds_everything() -> None:
    board = enabled_board()
    program(board, 0, masked=False)
    board.write(0x42, 0xC000, 2)
    board.msix.fire(0, 10, 1)
    assert board.messages == []
    board.write(0x42, 0x8000, 2)
    assert len(board.messages) == 1


def test_disabled_or_not_master_sends_nothing() -> None:
    board = enabled_board()
    program(board, 0, masked=False)
    board.write(4, 0x0002, 2)
    board.msix.fire(0, 10, 1)
    board.write(4, 0x0006, 2)
    board.write(0x42, 0x0000, 2)
    board.msix.fire(0, 10, 1)
    assert board.messages == []
    assert board.msix.suppressed == 2


@pytest.mark.parametrize("vector", [-1, 5, 0xFFFF])
def test_vector_out_of_range_is_ignored(vector: int) -> None:
    board = enabled_board()
    board.msix.fire(vector, 0, 0)
    assert board.messages == []
