# SPDX-License-Identifier: GPL-2.0-or-later
"""Two of our TCP hosts against each other: every byte once and in order, over links that lose, reorder and duplicate."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.units import PS_PER_MS, PS_PER_S, us
from nic.faults import LinkFaults
from nic.link import LinkConfig
from nic.tcp.config import TcpConfig
from nic.tcp.connection import State
from nic.tcp.segment import ACK, FIN, PSH, SYN, parse_tcp
from tests.tcp_pair import PORT, Pair, User


def pattern(size: int, seed: int = 0) -> bytes:
    """Bytes without a short period, so that a shift shows."""
    return b"".join(
        (seed * 1_000_003 + i * 2_654_435_761 & 0xFFFFFFFF).to_bytes(4, "big") for i in range(size // 4 + 1)
    )[:size]


def segments(pair: Pair) -> list[tuple[int, str, int, int]]:
    """(time, way, flags, payload bytes) of what the client saw."""
    parsed = ((time, way, parse_tcp(frame.data)) for time, way, frame in pair.frames)
    return [(time, way, p.segment.flags, len(p.segment.payload)) for time, way, p in parsed if p is not None]


def test_a_connection_opens_echoes_and_closes_with_the_segments_it_takes_and_no_more():
    pair = Pair()
    number = pair.a.connect(PORT, 0)
    pair.a.write(number, b"hello", 0)
    pair.clock.run(us(100))
    assert pair.a.state(number) is State.ESTABLISHED
    pair.a.close(number, pair.clock.now_ps)
    pair.run()
    assert pair.user.got[0] == b"hello"
    assert pair.user.over == {0: ""}
    assert pair.server.over == {0: ""}
    # The server's answer takes its acknowledgement along; the client's waits for company and gets it with the FIN.
    assert [(way, flags, size) for _, way, flags, size in segments(pair)] == [
        ("tx", SYN, 0), ("rx", SYN | ACK, 0), ("tx", ACK | PSH, 5), ("rx", ACK | PSH, 5),
        ("tx", FIN | ACK, 0), ("rx", FIN | ACK, 0), ("tx", ACK, 0),
    ]  # fmt: skip
    assert pair.clock.now_ps >= 60 * PS_PER_S  # TIME-WAIT
    assert not {"timeouts", "retransmitted", "out_of_window", "bad_ack"} & (pair.a.counters | pair.b.counters).keys()


def test_an_acknowledgement_waits_40_ms_for_company_and_goes_at_once_for_every_second_full_segment():
    pair = Pair(server=User())
    number = pair.a.connect(PORT, 0)
    pair.clock.run(us(50))
    pair.a.write(number, b"x", us(50))
    pair.clock.run(PS_PER_MS * 100)
    *_, sent, answered = segments(pair)
    assert (answered[1], answered[2]) == ("rx", ACK)
    assert 40 * PS_PER_MS < answered[0] - sent[0] < 40 * PS_PER_MS + us(10)
    now, before = pair.clock.now_ps, len(pair.frames)
    pair.a.write(number, bytes(2 * 1448), now)
    pair.clock.run(now + us(50))
    assert [way for _, way, _, _ in segments(pair)[before - 2 :]].count("rx") == 1


def test_many_connections_at_once_are_told_apart():
    pair = Pair(user=User(brief=True))
    for _ in range(200):
        pair.a.connect(PORT, 0)
    for number in range(200):
        pair.a.write(number, pattern(100 + number, number), 0)
    pair.run()
    assert [bytes(pair.user.got[number]) for number in range(200)] == [pattern(100 + n, n) for n in range(200)]
    assert pair.user.over == pair.server.over == dict.fromkeys(range(200), "")


def test_a_reader_that_stops_closes_the_window_and_probes_find_it_open_again():
    pair = Pair(server=User(), b=TcpConfig(receive_buffer=5000))
    number = pair.a.connect(PORT, 0)
    pair.clock.run(us(50))
    pair.b.read_on(0, False, us(50))
    pair.a.write(number, pattern(20_000), us(50))
    pair.clock.run(10 * PS_PER_S)
    assert pair.a.counters["window_probes"] >= 3
    assert pair.server.got[0] == b""
    pair.b.read_on(0, True, pair.clock.now_ps)
    pair.run()
    assert pair.server.got[0] == pattern(20_000)


@pytest.mark.parametrize("sack", [True, False])
def test_one_loss_in_a_stream_is_mended_by_duplicates_without_a_timeout(sack):
    config = TcpConfig(sack=sack)
    pair = Pair(a=config, b=config, server=User(), link=LinkConfig(propagation_ps=us(20)))
    number = pair.a.connect(PORT, 0)
    pair.clock.run(PS_PER_MS)
    dropped = []
    receive = pair.b.receive

    def lossy(frame, time_ps):
        packet = parse_tcp(frame.data)
        if packet is not None and packet.segment.payload and not dropped and len(pair.server.got[0]) > 20_000:
            dropped.append(frame)
            return
        receive(frame, time_ps)

    pair.b.receive = lossy
    pair.a.write(number, pattern(200_000), PS_PER_MS)
    pair.run()
    assert pair.server.got[0] == pattern(200_000)
    assert dropped
    assert pair.a.counters["fast_retransmits"] == 1
    assert pair.a.counters["retransmitted"] == 1
    assert not pair.a.counters["timeouts"]


@pytest.mark.parametrize("loss", [0.01, 0.05])
def test_request_and_answer_survive_loss_either_way_and_repeat_by_seed(loss):
    def run(seed: int):
        pair = Pair(faults=(LinkFaults(loss=loss),) * 2, seed=seed, user=User(brief=True))
        for number in range(20):
            pair.a.connect(PORT, 0)
            pair.a.write(number, pattern(30_000, number), 0)
        pair.run()
        assert all(pair.user.got[number] == pattern(30_000, number) for number in range(20))
        assert set(pair.user.over.values()) == {""}
        return pair.frames, pair.a.counters

    first, counters = run(1)
    assert counters["retransmitted"] > 0
    assert run(1) == (first, counters)
    assert run(2)[0] != first


CONFIGS = st.builds(
    TcpConfig,
    mss=st.sampled_from([48, 200, 536, 1460]),
    receive_buffer=st.sampled_from([1, 300, 4_000, 65_535, 1 << 18]),
    window_scale=st.booleans(),
    timestamps=st.booleans(),
    sack=st.booleans(),
    iss=st.sampled_from([0, 1, 0x7FFFFFF0, 0xFFFFFFFF, 0xFFFFF000]),
)
FAULTS = st.builds(
    LinkFaults,
    loss=st.sampled_from([0.0, 0.02, 0.2]),
    reorder=st.sampled_from([0.0, 0.1, 0.5]),
    reorder_ps=st.sampled_from([us(3), us(100), 300 * PS_PER_MS]),
    jitter_ps=st.sampled_from([0, us(3), us(100)]),
    duplicate=st.sampled_from([0.0, 0.1, 0.5]),
)
WRITES = st.lists(st.tuples(st.integers(0, us(2000)), st.integers(0, 6_000)), max_size=6)


@settings(max_examples=150, deadline=None)
@given(CONFIGS, CONFIGS, FAULTS, FAULTS, st.integers(0, 1000), WRITES, WRITES)
def test_every_byte_arrives_once_and_in_order_whatever_the_link_does(a, b, to_a, to_b, seed, forth, back):
    def run():
        pair = Pair(a, b, (to_a, to_b), seed, server=User(shut=True))
        small = min(a.receive_buffer, b.receive_buffer) < 300  # a byte a round trip: keep it short
        number = pair.a.connect(PORT, 0)
        want_b, want_a = bytearray(), bytearray()
        now = 0
        for gap, size in forth:
            now += gap
            pair.clock.run(now)
            data = pattern(size // 200 if small else size, size)
            if pair.a.write(number, data, now):
                want_b += data
        pair.clock.run(now + 600 * PS_PER_S)
        for gap, size in back:
            now = pair.clock.now_ps + gap
            pair.clock.run(now)
            data = pattern(size // 200 if small else size, size)
            if pair.b.write(0, data, now):
                want_a += data
        pair.a.close(number, pair.clock.now_ps)
        pair.run()
        return pair, want_a, want_b

    pair, want_a, want_b = run()
    assert pair.user.opened == [0], pair.a.counters
    assert bytes(pair.server.got[0]) == bytes(want_b)
    assert bytes(pair.user.got[0]) == bytes(want_a)
    assert pair.user.over == {0: ""}
    # The last acknowledgement may be lost for good while the other side's TIME-WAIT is over: then, and only then, a reset.
    assert pair.server.over in ({0: ""}, {0: "reset the connection"})
    again, *_ = run()
    assert again.frames == pair.frames


def test_both_ends_may_open_at_once():
    pair = Pair(a=TcpConfig(iss=1), b=TcpConfig(iss=0xFFFFFFF0), server=User())
    first = pair.a.connect(20_000, 0)
    second = pair.b.connect(20_000, 0)
    pair.a.write(first, b"ping", 0)
    pair.b.write(second, b"pong", 0)
    pair.clock.run(PS_PER_S)
    assert pair.a.state(first) is pair.b.state(second) is State.ESTABLISHED
    assert (pair.server.got[0], pair.user.got[0]) == (b"ping", b"pong")
    pair.a.close(first, PS_PER_S)
    pair.b.close(second, PS_PER_S)
    pair.run()
    assert pair.user.over == pair.server.over == {0: ""}


def test_a_port_that_nobody_listens_on_refuses_and_a_dead_peer_is_given_up():
    pair = Pair()
    pair.a.connect(9, 0)
    pair.run()
    assert pair.user.over == {0: "refused the connection"}
    silent = Pair(faults=(LinkFaults(), LinkFaults(loss=1.0)))
    silent.a._neighbours.mac = bytes(6)
    silent.a.connect(PORT, 0)
    silent.run()
    assert silent.user.over == {0: "did not answer the handshake"}
    assert silent.a.counters["timeouts"] == 7
    assert silent.clock.now_ps == sum(1 << n for n in range(7)) * PS_PER_S


def test_a_reset_ends_both_sides_at_once():
    pair = Pair()
    number = pair.a.connect(PORT, 0)
    pair.clock.run(us(50))
    pair.a.abort(number, "had enough", us(50))
    pair.clock.run(us(60))
    assert pair.user.over == {0: "had enough"}
    assert pair.server.over == {0: "reset the connection"}
