# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole device against arbitrary guests: any register accesses, any bytes in the rings, any frames, in any order."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nic.costs import Moderation, NicConfig
from nic.link import Link
from nic.mock_driver import FlatMemory
from nic.mock_guest import MockGuest
from nic.mock_world import MockClock, MockRequests
from nic.ports import Frame, NullRequests
from nic.virtio_net import VirtioNet

BASE, SIZE = 0x10000, 0x80000
MAC = bytes.fromhex("525400123456")

_BIG = st.one_of(
    st.integers(0, 9),
    st.sampled_from([BASE, BASE + 0x4000, BASE + SIZE - 4, 0xFFFFFFFF]),
    st.integers(0, (1 << 64) - 1),
)
_RING_OFFSET = st.integers(0, 0x300) | st.integers(0, 5 * 0x4000)
_STEP = st.one_of(
    st.tuples(
        st.just("store"),
        st.sampled_from([0, 1]),
        st.integers(0, 0x60) | st.integers(0, 0x3FFF),
        st.sampled_from([1, 2, 4, 8]),
        _BIG,
    ),
    st.tuples(
        st.just("load"),
        st.sampled_from([0, 1]),
        st.integers(0, 0x60) | st.integers(0, 0x3FFF),
        st.sampled_from([1, 2, 4, 8]),
    ),
    st.tuples(st.just("config"), st.integers(0, 252), st.sampled_from([1, 2, 4]), _BIG),
    st.tuples(st.just("kick"), st.integers(0, 5)),
    st.tuples(st.just("poke"), _RING_OFFSET, st.binary(min_size=1, max_size=32)),
    st.tuples(st.just("chain"), st.integers(0, 4), st.integers(0, 80), st.integers(0, 3), _BIG),
    st.tuples(st.just("frame"), st.binary(max_size=80)),
    st.tuples(st.just("run"), st.integers(0, 3_000_000)),
    st.tuples(st.just("restart"), st.booleans()),
)


def build(moderated: bool) -> tuple[MockClock, Link, MockGuest, VirtioNet]:
    clock, requests = MockClock(), NullRequests()
    link = Link(clock, requests, "link")
    guest = MockGuest(clock, MockRequests(), FlatMemory(SIZE, BASE))
    moderation = Moderation(usecs=1, frames=2) if moderated else Moderation()
    config = NicConfig(pairs=2, fifo_frames=2, moderation=moderation)
    nic = VirtioNet("nic", config, clock=clock, dma=guest.memory, interrupts=Silent(), requests=requests, sender=link.a)
    guest.plug(nic.function)
    return clock, link, guest, nic


class Silent:
    """A guest that pays interrupts no attention."""

    def msi(self, address: int, data: int, time_ps: int, token: int) -> None:
        assert 0 <= data <= 0xFFFFFFFF


def restart(guest: MockGuest, full: bool) -> None:
    features = guest.offered() if full else 1 << 32
    guest.start(features, queue_size=16, pairs=2, buffers=4)


def step(clock: MockClock, link: Link, guest: MockGuest, nic: VirtioNet, what: tuple) -> None:
    match what:
        case "store", bar, offset, size, value:
            offset -= offset % size
            nic.function.bars[bar].store(
                offset % nic.function.bars[bar].size, size, value & ((1 << 8 * size) - 1), clock.now_ps
            )
        case "load", bar, offset, size:
            offset -= offset % size
            value = nic.function.bars[bar].load(offset % nic.function.bars[bar].size, size, clock.now_ps)
            assert value >= 0
        case "config", offset, size, value:
            offset -= offset % size
            nic.function.config_write(offset, size, value & ((1 << 8 * size) - 1), clock.now_ps)
        case "kick", queue:
            guest.write(2, 4 * queue, 2, queue)
        case "poke", offset, junk:
            guest.memory.ram[offset : offset + len(junk)] = junk
        case "chain", queue, length, flags, gpa:
            if guest.queues:
                driver = guest.queues[queue]
                driver.write_desc(0, gpa if gpa > 9 else BASE + 0x20000, length, flags, gpa % 17)
                driver.set_avail(driver.avail_index, 0)
                driver.set_avail_index(driver.avail_index + 1)
                guest.write(2, 4 * queue, 2, queue)
        case "frame", tail:
            link.b.send(Frame(MAC + tail), clock.now_ps)
        case "run", time_ps:
            clock.run(clock.now_ps + time_ps)
        case "restart", full:
            restart(guest, full)


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(_STEP, min_size=1, max_size=25), st.booleans(), st.booleans())
def test_no_guest_makes_the_device_raise_or_leave_ram(steps, moderated, full):
    clock, link, guest, nic = build(moderated)
    restart(guest, full)
    for what in steps:
        step(clock, link, guest, nic, what)
        assert len(guest.memory.ram) == SIZE
    clock.run()
    # Whatever happened, a reset and a good driver bring it back.
    guest.plug(nic.function)
    restart(guest, full)
    clock.run()
    guest.transmit(1, MAC + bytes(60))
    frame = MAC + bytes(54)
    link.b.send(Frame(frame), clock.now_ps)
    clock.run()
    assert len(guest.queues[1].used()) == 1
    assert len(guest.queues[0].used()) == 1
    assert nic.transport.running
