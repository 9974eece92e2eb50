# SPDX-License-Identifier: GPL-2.0-or-later
"""The event queue, and units."""

from hypothesis import given
from hypothesis import strategies as st

from emu import units
from emu.clock import NEVER_PS, EventQueue


@given(st.lists(st.integers(0, 20)))
def test_events_come_in_time_order_and_equal_times_in_order_of_scheduling(times: list[int]) -> None:
    queue = EventQueue()
    for number, time_ps in enumerate(times):
        queue.push(time_ps, "device", "tag", (number,))
    came = [queue.pop() for _ in times]
    assert [(event[0], event[4][0]) for event in came] == sorted((t, n) for n, t in enumerate(times))
    assert queue.next_ps == NEVER_PS


def test_units_are_integers_and_round_as_stated() -> None:
    assert units.us(1.5) == 1_500_000
    assert units.cycles_to_ps(3_000_000_000, 3_000_000_000) == units.PS_PER_S
    assert units.cycles_to_ps(1, 3_000_000_000) == 333
    assert units.ps_to_cycles(334, 3_000_000_000) == 1
    assert units.bits_to_ps(1, 3) == 333_333_333_334
