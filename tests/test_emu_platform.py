# SPDX-License-Identifier: GPL-2.0-or-later
"""Timer, clock and reset ports, driven as kernels drive them."""

from emu.clock import EventQueue
from emu.device import PortSpace
from emu.platform.cmos import Cmos
from emu.platform.pic import PicPair
from emu.platform.pit import PIT_HZ, Pit
from emu.platform.power import Power
from emu.units import PS_PER_MS, PS_PER_S


class Board:
    def __init__(self) -> None:
        self.queue = EventQueue()
        self.irqs: list[int] = []
        self.ended: list[tuple[str, int]] = []
        self.pit = Pit("pit", self.queue.push, self.irqs.append)
        self.space = PortSpace()
        power = Power(lambda how, time_ps: self.ended.append((how, time_ps)))
        for device in (self.pit, PicPair(), Cmos(1 << 28), power):
            for region in device.ports():
                self.space.add(region)

    def run(self, until_ps: int) -> None:
        while self.queue.next_ps <= until_ps:
            time_ps, _, _, tag, payload = self.queue.pop()
            self.pit.event(time_ps, tag, payload)


def test_channel_2_one_shot_raises_out_after_its_count() -> None:
    """What a kernel does to measure its TSC: mode 0, gate up, wait for bit 5 of port 0x61."""
    board = Board()
    count = PIT_HZ // 100
    space = board.space
    space.write(0x61, 1, 0, 0)
    space.write(0x43, 1, 0xB0, 0)
    space.write(0x42, 1, count & 0xFF, 0)
    space.write(0x42, 1, count >> 8, 0)
    start = 5 * PS_PER_MS
    space.write(0x61, 1, 1, start)
    due = start + count * PS_PER_S // PIT_HZ
    assert not space.read(0x61, 1, due - PS_PER_MS // 1000) & 0x20
    assert space.read(0x61, 1, due + PS_PER_MS // 1000) & 0x20


def test_channel_2_counts_down_through_a_latch() -> None:
    board = Board()
    space = board.space
    space.write(0x61, 1, 1, 0)
    space.write(0x43, 1, 0xB0, 0)
    space.write(0x42, 1, 0xFF, 0)
    space.write(0x42, 1, 0xFF, 0)
    time_ps = 1000 * PS_PER_S // PIT_HZ + 1
    space.write(0x43, 1, 0x80, time_ps)
    low = space.read(0x42, 1, time_ps + PS_PER_MS)
    high = space.read(0x42, 1, time_ps + 2 * PS_PER_MS)
    assert high << 8 | low == 0xFFFF - 1000


def test_channel_0_rate_generator_interrupts_at_its_rate() -> None:
    board = Board()
    for port, value in ((0x43, 0x34), (0x40, 11932 & 0xFF), (0x40, 11932 >> 8)):
        board.space.write(port, 1, value, 0)
    board.run(PS_PER_S)
    assert len(board.irqs) == PIT_HZ // 11932
    assert board.irqs[49] * PIT_HZ // PS_PER_S == 50 * 11932


def test_reprogramming_channel_0_silences_the_old_period() -> None:
    board = Board()
    for port, value in ((0x43, 0x34), (0x40, 0), (0x40, 0x10), (0x43, 0x30)):
        board.space.write(port, 1, value, 0)
    board.run(PS_PER_S)
    assert board.irqs == []


def test_pic_initialises_and_keeps_its_mask() -> None:
    board = Board()
    for value in (0x20, 4, 1):
        board.space.write(0x21 if value != 0x20 else 0x20, 1, value, 0)
    for port, value in ((0x20, 0x11), (0x21, 0x20), (0x21, 4), (0x21, 1), (0x21, 0xFB)):
        board.space.write(port, 1, value, 0)
    assert board.space.read(0x21, 1, 0) == 0xFB


def test_clock_date_is_a_function_of_world_time() -> None:
    board = Board()

    def register(index: int, time_ps: int) -> int:
        board.space.write(0x70, 1, index, time_ps)
        return board.space.read(0x71, 1, time_ps)

    later = (86_400 * 31 + 3 * 3600 + 4 * 60 + 59) * PS_PER_S
    assert [register(index, later) for index in (9, 8, 7, 4, 2, 0)] == [0x26, 0x02, 0x01, 0x03, 0x04, 0x59]
    assert register(0x0A, later) & 0x80 == 0
    assert register(0x0A, later + PS_PER_S - 1000) & 0x80


def test_pm_timer_runs_at_its_frequency() -> None:
    board = Board()
    assert board.space.read(0x608, 4, PS_PER_S) == 3_579_545


def test_each_way_to_end_is_reported() -> None:
    board = Board()
    board.space.write(0x64, 1, 0xFE, 1)
    board.space.write(0x92, 1, 0x01, 2)
    board.space.write(0x604, 2, 0x2000, 3)
    assert board.ended == [("reset", 1), ("reset", 2), ("power-off", 3)]


def test_unclaimed_ports_read_all_ones_and_are_counted() -> None:
    board = Board()
    assert board.space.read(0x3F0, 2, 0) == 0xFFFF
    board.space.write(0x80, 1, 0, 0)
    assert board.space.unclaimed == {(0x3F0, "in"): 1, (0x80, "out"): 1}
