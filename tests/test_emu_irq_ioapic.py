# SPDX-License-Identifier: GPL-2.0-or-later
"""The I/O APIC through its two registers."""

from emu.irq.ioapic import IoApic


class Board:
    def __init__(self) -> None:
        self.posted: list[tuple[int, bool, int, int, bool, int]] = []
        self.ioapic = IoApic(self)
        (self.region,) = self.ioapic.mmio()

    def post(self, dest: int, logical: bool, mode: int, vector: int, level: bool, time_ps: int, token: int) -> None:
        self.posted.append((dest, logical, mode, vector, level, time_ps))

    def write(self, register: int, value: int) -> None:
        self.region.write(0, 4, register, 0)
        self.region.write(0x10, 4, value, 0)

    def read(self, register: int) -> int:
        self.region.write(0, 4, register, 0)
        return self.region.read(0x10, 4, 0)


def test_version_names_24_lines() -> None:
    assert Board().read(1) == 0x0017_0011


def test_lines_start_masked_and_edges_while_masked_are_lost() -> None:
    board = Board()
    assert board.read(0x10 + 2 * 4) == 0x0001_0000
    board.ioapic.pulse(4, 1)
    board.write(0x10 + 2 * 4, 0x31)
    assert board.posted == []


def test_edge_goes_to_the_entry_s_destination() -> None:
    board = Board()
    board.write(0x11 + 2 * 4, 3 << 24)
    board.write(0x10 + 2 * 4, 0x31 | 1 << 8 | 1 << 11)
    board.ioapic.pulse(4, 7)
    board.ioapic.pulse(4, 8)
    assert board.posted == [(3, True, 1, 0x31, False, 7), (3, True, 1, 0x31, False, 8)]


def test_level_waits_for_eoi() -> None:
    board = Board()
    board.write(0x10 + 2 * 9, 0x39 | 1 << 15)
    board.ioapic.set_line(9, True, 1)
    board.ioapic.set_line(9, True, 2)
    assert len(board.posted) == 1
    assert board.read(0x10 + 2 * 9) & 1 << 14
    board.ioapic.eoi(0x39, 3)
    assert len(board.posted) == 2
    board.ioapic.set_line(9, False, 4)
    board.ioapic.eoi(0x39, 5)
    assert len(board.posted) == 2
    assert not board.read(0x10 + 2 * 9) & 1 << 14


def test_unmasking_a_high_level_line_delivers() -> None:
    board = Board()
    board.ioapic.set_line(9, True, 1)
    board.write(0x10 + 2 * 9, 0x39 | 1 << 15)
    assert len(board.posted) == 1


def test_read_only_bits_stay() -> None:
    board = Board()
    board.write(0x10, 0xFFFF_FFFF)
    assert board.read(0x10) == 0x0001_AFFF
    board.write(0x11, 0xFFFF_FFFF)
    assert board.read(0x11) == 0xFF00_0000
