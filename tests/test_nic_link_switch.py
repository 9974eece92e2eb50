# SPDX-License-Identifier: GPL-2.0-or-later
"""Arithmetic of links and the switch; the switch's queue against a plain event-by-event referee."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.errors import ConfigError
from nic.fabric import Star
from nic.link import Link, LinkConfig, wire_bytes
from nic.mock_world import MockClock, MockRequests
from nic.ports import Frame, NullRequests
from nic.switch import CrossTraffic, SwitchConfig

A, B, C = (bytes((2, 0, 0, 0, 0, number)) for number in range(3))


def frame(dst: bytes, src: bytes, size: int) -> bytes:
    return dst + src + bytes(size - 12)


class Sink:
    def __init__(self) -> None:
        self.got: list[tuple[int, Frame]] = []

    def receive(self, frame: Frame, time_ps: int) -> None:
        self.got.append((time_ps, frame))


@pytest.mark.parametrize(
    ("size", "rate", "expected_ps"),
    [
        (14, 10_000_000_000, 67_200),
        (60, 10_000_000_000, 67_200),
        (1514, 10_000_000_000, 1_230_400),
        (60, 1_000_000_000, 672_000),
        (61, 3_000_000_000, 226_667),
    ],
)
def test_serialization_is_frame_plus_24_bytes_of_at_least_84(size, rate, expected_ps):
    link = Link(MockClock(), NullRequests(), "link", LinkConfig(rate, 0))
    assert link.serialization_ps(size) == expected_ps
    assert wire_bytes(60) == 84


def test_directions_are_independent_and_each_is_first_in_first_out():
    clock, requests = MockClock(), MockRequests()
    link = Link(clock, requests, "link", LinkConfig(10_000_000_000, 5_000))
    near, far = Sink(), Sink()
    link.a.attach(near)
    link.b.attach(far)
    requests.open(1, 0)
    requests.open(2, 0)
    assert link.a.send(Frame(frame(B, A, 60), 1), 0) == 67_200
    assert link.a.send(Frame(frame(B, A, 1514), 2), 1_000) == 67_200 + 1_230_400
    link.b.send(Frame(frame(A, B, 60)), 0)
    clock.run()
    assert [time for time, _ in far.got] == [72_200, 1_302_600]
    assert [time for time, _ in near.got] == [72_200]
    assert requests.trail[2] == [("wait.link", 67_200), ("run.serialization", 1_297_600), ("run.wire", 1_302_600)]


def star(config: SwitchConfig | None = None, cross: CrossTraffic | None = None):
    clock, requests = MockClock(), MockRequests()
    fabric = Star(clock, requests, config)
    ports = [fabric.join(name, LinkConfig(10_000_000_000, 1_000), cross if name == "b" else None) for name in "abc"]
    sinks = [Sink() for _ in ports]
    for port, sink in zip(ports, sinks, strict=True):
        port.attach(sink)
    return clock, requests, fabric, ports, sinks


def test_switch_floods_until_it_has_learnt_and_then_does_not():
    clock, _, fabric, (a, b, _c), sinks = star()
    a.send(Frame(frame(B, A, 60)), 0)
    clock.run()
    assert [len(sink.got) for sink in sinks] == [0, 1, 1]
    b.send(Frame(frame(A, B, 60)), clock.now_ps)
    a.send(Frame(frame(B, A, 60)), clock.now_ps)
    clock.run()
    assert [len(sink.got) for sink in sinks] == [1, 2, 1]
    assert fabric.switch.flooded == 1


def test_parts_through_the_switch_sum_to_the_arithmetic():
    clock, requests, _, (a, b, c), sinks = star(SwitchConfig(forwarding_ps=300_000))
    b.send(Frame(frame(C, B, 60)), 0)
    clock.run()
    start = clock.now_ps
    requests.open(1, start)
    c.send(Frame(frame(B, C, 1514)), start)  # occupies b's output first
    a.send(Frame(frame(B, A, 1514), 1), start + 10)
    clock.run()
    at, last = sinks[1].got[-1]
    assert last.token == 1
    ser = 1_230_400
    assert at == start + ser + 1_000 + 300_000 + 2 * ser + 1_000
    parts = requests.parts[1]
    assert parts["wait.switch"] == ser - 10
    assert parts["run.switch"] == 300_000
    assert parts["run.wire"] == 2_000
    assert sum(parts.values()) == at - start


def test_full_queue_drops_at_the_tail_and_counts():
    clock, _, fabric, (a, b, c), sinks = star(SwitchConfig(forwarding_ps=0, queue_limit_bytes=3000))
    b.send(Frame(frame(A, B, 60)), 0)
    clock.run()
    for port, source in ((a, A), (c, C)):
        for _ in range(10):
            port.send(Frame(frame(B, source, 1500)), clock.now_ps)
    clock.run()
    out = fabric.switch.ports[1]
    assert out.drops + len(sinks[1].got) == 20
    assert out.drops > 5
    assert out.deepest_bytes <= 3000


class Referee:
    """An output queue done the slow way: a list of frames, looked at for each arrival."""

    def __init__(self, limit: int, serialization) -> None:
        self.limit, self.serialization = limit, serialization
        self.begun: list[tuple[int, int, int]] = []  # start, size, end

    def arrive(self, size: int, now: int) -> int:
        waiting = sum(each for start, each, _ in self.begun if start > now)
        if waiting + size > self.limit:
            return -1
        start = max([now, *[end for _, _, end in self.begun]])
        self.begun.append((start, size, start + self.serialization(size)))
        return self.begun[-1][2]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2_000_000), st.integers(60, 1514)), min_size=1, max_size=60),
    st.integers(1518, 9000),
)
def test_output_queue_is_the_referee_s(arrivals, limit):
    clock, requests = MockClock(), NullRequests()
    fabric = Star(clock, requests, SwitchConfig(forwarding_ps=0, queue_limit_bytes=limit))
    far = Sink()
    port = fabric.join("out", LinkConfig(10_000_000_000, 0))
    port.attach(far)
    out = fabric.switch.ports[0]
    referee, now, expected = Referee(limit, fabric.links[0].serialization_ps), 0, []
    for gap, size in arrivals:
        now += gap
        clock.run(now)
        out.output(Frame(frame(B, A, size)), now)
        end = referee.arrive(size, now)
        if end >= 0:
            expected.append(end)
    clock.run()
    assert [time for time, _ in far.got] == expected
    assert out.drops == len(arrivals) - len(expected)


@pytest.mark.parametrize(("load", "burst"), [(0.3, 1), (0.7, 1), (0.7, 8)])
def test_cross_traffic_has_the_load_asked_for_delays_frames_and_repeats_by_seed(load, burst):
    def run(seed: int) -> tuple[list[int], int]:
        clock, _, fabric, (a, b, _), sinks = star(
            SwitchConfig(forwarding_ps=0), CrossTraffic(load, burst=burst, seed=seed)
        )
        b.send(Frame(frame(A, B, 60)), 0)
        for number in range(2000):
            clock.run(number * 10_000_000)
            a.send(Frame(frame(B, A, 60)), clock.now_ps)
        clock.run()
        return [time for time, _ in sinks[1].got], fabric.switch.ports[1].cross_frames

    times, frames = run(1)
    assert frames * 1_230_400 / 20e9 == pytest.approx(load, rel=0.15)
    alone = 2 * (67_200 + 1_000)
    delays = [time - number * 10_000_000 - alone for number, time in enumerate(times)]
    assert min(delays) >= 0
    assert 0.7 * load < sum(delay > 0 for delay in delays) / len(delays)
    assert run(1)[0] == times
    assert run(2)[0] != times


def test_runts_do_not_crash_the_switch():
    clock, _, fabric, (a, _, _), sinks = star()
    for size in range(14):
        a.send(Frame(bytes(size)), clock.now_ps)
    clock.run()
    assert fabric.switch.runts == 14
    assert not any(sink.got for sink in sinks)


@pytest.mark.parametrize(
    "make",
    [
        lambda: LinkConfig(0),
        lambda: LinkConfig(propagation_ps=-1),
        lambda: SwitchConfig(forwarding_ps=-1),
        lambda: SwitchConfig(queue_limit_bytes=0),
        lambda: CrossTraffic(1.0),
        lambda: CrossTraffic(0.5, frame_bytes=10),
        lambda: CrossTraffic(0.5, burst=0),
    ],
)
def test_nonsense_is_refused_in_one_sentence(make):
    with pytest.raises(ConfigError) as caught:
        make()
    assert "\n" not in str(caught.value)
