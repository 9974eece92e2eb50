# SPDX-License-Identifier: GPL-2.0-or-later
"""The split virtqueue: what a good driver gets, and that no bad one gets further than a counter."""

from __future__ import annotations

import struct
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emu.errors import DmaFault
from nic.mock_driver import FlatMemory, MockDriver
from nic.virtqueue import DESC_F_INDIRECT, DESC_F_NEXT, DESC_F_WRITE, MAX_GATHER, Virtqueue

BASE, SIZE = 0x10000, 0x20000
BUFFER = BASE + 0x8000


class Pair:
    def __init__(self, size: int = 8, *, event_idx: bool = False, indirect: bool = False) -> None:
        self.memory = FlatMemory(SIZE, BASE)
        self.counters: Counter[str] = Counter()
        self.queue = Virtqueue(0, 256, self.memory, self.counters)
        self.driver = MockDriver(self.memory, BASE, size)
        self.driver.configure(self.queue, event_idx=event_idx, indirect=indirect)


def test_chain_gives_readable_then_writable_buffers_and_its_first_address():
    pair = Pair()
    head = pair.driver.offer([(BUFFER, 10), (BUFFER + 100, 20)], [(BUFFER + 200, 30)])
    chain = pair.queue.pop()
    assert chain == (head, [(BUFFER, 10), (BUFFER + 100, 20)], [(BUFFER + 200, 30)], BUFFER, 1)
    assert pair.queue.pop() is None
    assert not pair.counters


def test_indirect_chain_costs_one_more_fetch_and_ignores_the_write_flag_of_its_descriptor():
    pair = Pair(indirect=True)
    pair.driver.offer([(BUFFER, 10)], [(BUFFER + 200, 30), (BUFFER + 300, 1)], indirect_at=BUFFER + 0x1000)
    pair.driver.write_desc(0, BUFFER + 0x1000, 48, DESC_F_INDIRECT | DESC_F_WRITE, 0)
    chain = pair.queue.pop()
    assert chain is not None
    assert (chain.readable, chain.writable, chain.fetches) == (
        [(BUFFER, 10)],
        [(BUFFER + 200, 30), (BUFFER + 300, 1)],
        2,
    )


def test_data_round_trips_and_rings_wrap_past_65536():
    pair = Pair(size=4)
    for number in range(70_000):
        text = struct.pack("<I", number)
        pair.memory.write(BUFFER, text)
        head = pair.driver.offer([(BUFFER, 2), (BUFFER + 2, 2)], [(BUFFER + 8, 3), (BUFFER + 16, 8)])
        chain = pair.queue.pop()
        assert chain is not None
        data = pair.queue.gather(chain)
        assert data == text
        assert pair.queue.scatter(chain, data) == 4
        pair.queue.push(chain.head, 4)
        pair.queue.publish(pair.queue.used_index)
        assert pair.driver.used() == [(head, 4)]
        assert pair.memory.read(BUFFER + 8, 3) + pair.memory.read(BUFFER + 16, 1) == text


def test_used_entries_show_only_when_published():
    pair = Pair()
    pair.driver.offer([], [(BUFFER, 4)])
    chain = pair.queue.pop()
    assert chain is not None
    pair.queue.push(chain.head, 4)
    assert pair.driver.used() == []
    pair.queue.publish(pair.queue.used_index)
    assert pair.driver.used() == [(chain.head, 4)]


def test_unpopped_chain_comes_again_first():
    pair = Pair()
    heads = [pair.driver.offer([(BUFFER + number, 1)], []) for number in range(3)]
    first = pair.queue.pop()
    assert first is not None
    pair.queue.unpop(first.head)
    assert [chain.head for chain in iter(pair.queue.pop, None)] == heads


@pytest.mark.parametrize(
    ("event", "new", "old", "wanted"),
    [(0, 1, 0, 0), (1, 1, 0, -1), (5, 9, 5, 5), (65535, 2, 65534, 65535), (4, 9, 5, -1)],
)
def test_event_index_asks_for_an_interrupt_only_when_it_is_passed(event, new, old, wanted):
    pair = Pair(event_idx=True)
    pair.driver.want_interrupt_at(event)
    pair.queue.publish(new)
    assert pair.queue.wanted_interrupt(old) == wanted


def test_flag_suppresses_interrupts_without_the_event_index():
    pair = Pair()
    pair.queue.publish(1)
    assert pair.queue.wanted_interrupt(0) == 0
    assert pair.queue.wanted_interrupt(1) == -1
    pair.driver.set_flags(1)
    assert pair.queue.wanted_interrupt(0) == -1


@pytest.mark.parametrize("event_idx", [False, True])
def test_kicks_are_asked_for_and_not(event_idx):
    pair = Pair(event_idx=event_idx)
    pair.driver.offer([(BUFFER, 1)], [])
    assert pair.driver.kick_wanted(event_idx)
    pair.queue.pop()
    pair.queue.stop_kicks()
    pair.driver.offer([(BUFFER, 1)], [])
    assert not pair.driver.kick_wanted(event_idx)
    pair.queue.pop()
    pair.queue.ask_kick()
    pair.driver.offer([(BUFFER, 1)], [])
    assert pair.driver.kick_wanted(event_idx)


def loop(pair: Pair) -> None:
    pair.driver.write_desc(0, BUFFER, 1, DESC_F_NEXT, 1)
    pair.driver.write_desc(1, BUFFER, 1, DESC_F_NEXT, 0)


def itself(pair: Pair) -> None:
    pair.driver.write_desc(0, BUFFER, 1, DESC_F_NEXT, 0)


def next_outside(pair: Pair) -> None:
    pair.driver.write_desc(0, BUFFER, 1, DESC_F_NEXT, 8)


def zero(pair: Pair) -> None:
    pair.driver.write_desc(0, BUFFER, 0, 0, 0)


def order(pair: Pair) -> None:
    pair.driver.write_desc(0, BUFFER, 1, DESC_F_WRITE | DESC_F_NEXT, 1)
    pair.driver.write_desc(1, BUFFER, 1, 0, 0)


def nested(pair: Pair) -> None:
    pair.driver.write_desc(0, BUFFER, 16, DESC_F_INDIRECT, 0)
    pair.driver.write_desc(0, BUFFER, 16, DESC_F_INDIRECT, 0, table=BUFFER)


def indirect_and_next(pair: Pair) -> None:
    pair.driver.write_desc(0, BUFFER, 16, DESC_F_INDIRECT | DESC_F_NEXT, 1)


def indirect_odd(pair: Pair) -> None:
    pair.driver.write_desc(0, BUFFER, 17, DESC_F_INDIRECT, 0)


def indirect_none(pair: Pair) -> None:
    pair.driver.write_desc(0, BUFFER, 0, DESC_F_INDIRECT, 0)


def indirect_huge(pair: Pair) -> None:
    pair.driver.write_desc(0, BUFFER, 0xFFFFFFF0, DESC_F_INDIRECT, 0)


def indirect_outside(pair: Pair) -> None:
    pair.driver.write_desc(0, (1 << 64) - 16, 16, DESC_F_INDIRECT, 0)


def indirect_loop(pair: Pair) -> None:
    pair.driver.write_desc(0, BUFFER, 32, DESC_F_INDIRECT, 0)
    pair.driver.write_desc(0, BUFFER, 1, DESC_F_NEXT, 1, table=BUFFER)
    pair.driver.write_desc(1, BUFFER, 1, DESC_F_NEXT, 0, table=BUFFER)


@pytest.mark.parametrize(
    ("write", "kind"),
    [
        (loop, "chain_loop"),
        (itself, "chain_loop"),
        (next_outside, "next_index"),
        (zero, "zero_length"),
        (order, "readable_after_writable"),
        (nested, "indirect_nested"),
        (indirect_and_next, "indirect_and_next"),
        (indirect_odd, "indirect_size"),
        (indirect_none, "indirect_size"),
        (indirect_huge, "indirect_size"),
        (indirect_outside, "bad_address"),
        (indirect_loop, "chain_loop"),
    ],
)
def test_each_broken_rule_is_counted_by_its_kind_and_breaks_the_queue(write, kind):
    pair = Pair(indirect=True)
    write(pair)
    pair.driver.set_avail(0, 0)
    pair.driver.set_avail_index(1)
    assert pair.queue.pop() is None
    assert pair.queue.broken == kind
    assert pair.counters == {kind: 1}
    before = bytes(pair.memory.ram)
    assert pair.queue.pop() is None
    pair.queue.push(0, 0)
    pair.queue.publish(1)
    pair.queue.ask_kick()
    assert bytes(pair.memory.ram) == before
    pair.queue.reset()
    assert not pair.queue.broken


def test_indirect_without_agreement_is_a_broken_rule():
    pair = Pair()
    pair.driver.offer([(BUFFER, 1)], [], indirect_at=BUFFER)
    assert pair.queue.pop() is None
    assert pair.queue.broken == "indirect_not_negotiated"


def test_avail_index_that_runs_ahead_of_the_ring_is_a_broken_rule():
    pair = Pair()
    pair.driver.set_avail_index(9)
    assert pair.queue.pop() is None
    assert pair.queue.broken == "avail_index"


@pytest.mark.parametrize("area", ["desc_gpa", "avail_gpa", "used_gpa"])
@pytest.mark.parametrize("gpa", [0, BASE + SIZE, (1 << 64) - 16, BASE + SIZE - 2])
def test_rings_outside_ram_are_a_broken_rule_and_nothing_is_written(area, gpa):
    pair = Pair()
    pair.driver.offer([(BUFFER, 1)], [])
    setattr(pair.queue, area, gpa)
    before = bytes(pair.memory.ram)
    chain = pair.queue.pop()
    if chain is not None:
        pair.queue.push(0, 0)
        pair.queue.publish(1)
        pair.queue.wanted_interrupt(0)
        pair.queue.ask_kick()
    assert pair.queue.broken == "ring_address"
    assert bytes(pair.memory.ram) == before


def test_lies_about_lengths_are_not_gathered():
    pair = Pair()
    pair.driver.offer([(BUFFER, 0xFFFFFFFF)], [])
    chain = pair.queue.pop()
    assert chain is not None
    assert pair.queue.gather(chain) is None
    assert not pair.queue.broken  # a count for the device; the chain is given back


# Arbitrary guests. Each case fills all three areas and an indirect table with bytes that are garbage with a bias to the nearly
# right, lets the device work, and changes memory under it while it reads.

_NEAR = st.one_of(
    st.sampled_from(
        [0, 1, BUFFER, BASE, BASE + SIZE - 1, BASE + SIZE, BASE - 1, (1 << 64) - 1, 1 << 63, 0xFEE00000, BUFFER + 64]
    ),
    st.integers(0, (1 << 64) - 1),
)
_LENGTH = st.one_of(st.sampled_from([0, 1, 16, 32, 64, 4096, MAX_GATHER + 1, 0xFFFFFFFF]), st.integers(0, 0xFFFFFFFF))
_DESC = st.tuples(
    _NEAR, _LENGTH, st.integers(0, 8) | st.integers(0, 0xFFFF), st.integers(0, 9) | st.integers(0, 0xFFFF)
)


class Hostile(FlatMemory):
    """RAM that another vCPU scribbles on while the device reads; and that notes what the device touches."""

    def __init__(self, scribbles: list[tuple[int, bytes]]) -> None:
        super().__init__(SIZE, BASE)
        self.scribbles = scribbles
        self.reads = 0
        self.longest = 0

    def read(self, gpa: int, n: int) -> bytes:
        self.reads += 1
        self.longest = max(self.longest, n)
        data = super().read(gpa, n)
        if self.scribbles:
            offset, junk = self.scribbles.pop()
            self.ram[offset : offset + len(junk)] = junk
        return data


@settings(max_examples=3000, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    descs=st.lists(_DESC, min_size=8, max_size=8),
    table=st.lists(_DESC, min_size=4, max_size=4),
    heads=st.lists(st.integers(0, 8) | st.integers(0, 0xFFFF), min_size=8, max_size=8),
    index=st.integers(0, 9) | st.integers(0, 0xFFFF),
    areas=st.tuples(*[st.none() | _NEAR] * 3),
    scribbles=st.lists(st.tuples(st.integers(0, 0x300), st.binary(min_size=1, max_size=24)), max_size=12),
    event_idx=st.booleans(),
    indirect=st.booleans(),
)
def test_no_guest_makes_the_queue_raise_spin_or_leave_ram(
    descs, table, heads, index, areas, scribbles, event_idx, indirect
):
    memory, counters = Hostile(list(scribbles)), Counter()
    queue = Virtqueue(0, 256, memory, counters)
    driver = MockDriver(memory, BASE, 8)
    driver.configure(queue, event_idx=event_idx, indirect=indirect)
    for place, desc in enumerate(descs):
        driver.write_desc(place, *desc)
    for place, desc in enumerate(table):
        driver.write_desc(place, *desc, table=BUFFER)
    for slot, head in enumerate(heads):
        driver.set_avail(slot, head)
    driver.set_avail_index(index)
    for name, gpa in zip(("desc_gpa", "avail_gpa", "used_gpa"), areas, strict=True):
        if gpa is not None:
            setattr(queue, name, gpa)
    popped = 0
    while popped < 64 and (chain := queue.pop()) is not None:
        popped += 1
        data = queue.gather(chain)
        if data is not None:
            assert len(data) == sum(size for _, size in chain.readable) <= MAX_GATHER
        written = queue.scatter(chain, b"answer" * 50)
        if not queue.broken:
            assert 0 <= written <= 300
        queue.push(chain.head, max(0, written))
        queue.publish(queue.used_index)
        queue.wanted_interrupt(0)
        queue.ask_kick()
        queue.stop_kicks()
    assert len(memory.ram) == SIZE
    assert memory.longest <= MAX_GATHER
    assert memory.reads <= 64 * 1100
    assert sum(counters.values()) == (1 if queue.broken else 0)
    if queue.broken:
        assert counters[queue.broken] == 1


def test_flat_memory_refuses_what_is_partly_outside():
    memory = FlatMemory(16, 0x100)
    for gpa, n in ((0xFF, 1), (0x10F, 2), (0x110, 1), (0, 0), ((1 << 64) - 1, 1)):
        with pytest.raises(DmaFault):
            memory.read(gpa, n)
        with pytest.raises(DmaFault):
            memory.write(gpa, bytes(n))
