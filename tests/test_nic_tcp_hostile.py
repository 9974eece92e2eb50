# SPDX-License-Identifier: GPL-2.0-or-later
"""Hostile peers: arbitrary segments in every state never raise, never hang, and never start a storm."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.errors import ConfigError
from emu.units import PS_PER_MS, PS_PER_S, us
from nic.frames import mend_checksums, parse_ip, parse_mac
from nic.ports import Frame
from nic.tcp.config import TcpConfig
from nic.tcp.connection import State
from nic.tcp.segment import ACK, FIN, RST, SYN, Options, Segment, parse_tcp, tcp_frame
from tests.tcp_pair import A_IP, A_MAC, B_IP, B_MAC, PORT, Pair, User

ADDRESSES = (parse_mac(A_MAC), parse_mac(B_MAC), parse_ip(B_IP), parse_ip(A_IP))  # from b to a
BACK = (ADDRESSES[1], ADDRESSES[0], ADDRESSES[3], ADDRESSES[2])


def near(centre: int) -> st.SearchStrategy[int]:
    """Numbers that are likely to be just inside or outside something, or anything."""
    close = st.sampled_from([-1, 0, 1, 2, 500, 1448, 65_535, 131_072, -65_535]).map(
        lambda by: (centre + by) & 0xFFFFFFFF
    )
    return close | st.integers(0, 0xFFFFFFFF)


ISS = 1000
OPTIONS = st.builds(
    Options,
    mss=st.none() | st.sampled_from([0, 1, 47, 536, 1460, 65_535]),
    scale=st.none() | st.integers(0, 255),
    sack_ok=st.booleans(),
    times=st.none() | st.tuples(st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF)),
    sacks=st.just(()) | st.lists(st.tuples(near(ISS), near(ISS)), max_size=1).map(tuple),
)
HOSTILE = st.builds(
    Segment,
    src_port=st.sampled_from([PORT, PORT, PORT, 9]),
    dst_port=st.sampled_from([20_000, 20_000, 20_000, 20_001, PORT]),
    seq=near(ISS + 1),
    ack=near(ISS + 1),
    flags=st.integers(0, 63) | st.sampled_from([ACK, SYN | ACK, FIN | ACK, RST, SYN, RST | ACK]),
    window=st.sampled_from([0, 1, 100, 65_535]),
    payload=st.binary(max_size=40) | st.just(bytes(1400)),
    options=OPTIONS,
)
CONFIGS = st.builds(
    TcpConfig,
    receive_buffer=st.sampled_from([1, 1000, 131_072]),
    timestamps=st.booleans(),
    sack=st.booleans(),
    iss=st.just(ISS),
)


@settings(max_examples=150, deadline=None)
@given(
    CONFIGS,
    st.lists(
        st.tuples(st.sampled_from([0, us(1), us(50), 50 * PS_PER_MS, PS_PER_S]), HOSTILE, st.booleans()), max_size=25
    ),
    st.booleans(),
    st.booleans(),
)
def test_arbitrary_segments_end_in_no_exception_no_hang_and_no_storm(config, script, close, listen):
    pair = Pair(a=config, b=TcpConfig(iss=ISS), user=User(shut=True), server=User(echo=True))
    if listen:
        pair.a.listen(PORT)
    number = pair.a.connect(PORT, 0)
    pair.a.write(number, bytes(3000 if config.receive_buffer > 1 else 30), 0)
    for step, (gap, segment, to_server) in enumerate(script):
        now = pair.clock.now_ps + gap
        pair.clock.run(now)
        if to_server:
            data = tcp_frame(*BACK, segment._replace(src_port=segment.dst_port, dst_port=segment.src_port))
            pair.link.a.send(Frame(data), now)
        else:
            pair.link.b.send(Frame(tcp_frame(*ADDRESSES, segment)), now)
        if close and step == len(script) // 2:
            pair.a.close(number, now)
    pair.clock.run(pair.clock.now_ps + 3000 * PS_PER_S, 20_000)  # the bound on events is the claim
    assert pair.a.counters["segments_out"] < 10_000


@settings(max_examples=150, deadline=None)
@given(st.lists(st.binary(min_size=0, max_size=120), max_size=20), st.integers(0, 63))
def test_arbitrary_bytes_after_true_ip_headers_end_in_no_exception(bodies, flags):
    pair = Pair(a=TcpConfig(iss=ISS))
    pair.a.connect(PORT, 0)
    pair.clock.run(us(100))
    for body in bodies:
        head = bytearray(tcp_frame(*ADDRESSES, Segment(PORT, 20_000, ISS + 1, ISS + 1, flags, 1000)))
        head[46 : 46 + len(body)] = body  # from the data offset on
        head[16:18] = (len(head) - 14).to_bytes(2, "big")
        mend_checksums(head)
        pair.link.b.send(Frame(bytes(head)), pair.clock.now_ps)
        pair.link.b.send(Frame(bytes(head[: len(body)])), pair.clock.now_ps)
    pair.clock.run(pair.clock.now_ps + 10 * PS_PER_S, 20_000)


def connected(**config) -> Pair:
    pair = Pair(a=TcpConfig(iss=ISS, timestamps=False, **config), b=TcpConfig(iss=5000), server=User())
    pair.a.connect(PORT, 0)
    pair.clock.run(PS_PER_S)
    return pair


def strike(pair: Pair, **fields) -> list[Segment]:
    """One segment from the server's address to the client; what the client says to it."""
    values = {"seq": 5001, "ack": ISS + 1, "flags": ACK, "window": 1000, "payload": b""} | fields
    before = len(pair.frames)
    pair.clock.run(pair.clock.now_ps + PS_PER_S)
    pair.link.b.send(Frame(tcp_frame(*ADDRESSES, Segment(PORT, 20_000, **values))), pair.clock.now_ps)
    pair.clock.run(pair.clock.now_ps + us(10))
    packets = [parse_tcp(frame.data) for _, way, frame in pair.frames[before:] if way == "tx"]
    return [packet.segment for packet in packets if packet is not None]


@pytest.mark.parametrize(
    ("fields", "counter"),
    [
        ({"flags": RST, "seq": 5002}, "reset_elsewhere"),
        ({"flags": SYN, "seq": 5001}, "syn_in_connection"),
        ({"ack": ISS + 2}, "bad_ack"),
        ({"ack": ISS + 1 - (1 << 20) & 0xFFFFFFFF, "payload": b"x"}, "bad_ack"),
        ({"seq": 5001 + (1 << 20), "payload": b"x"}, "out_of_window"),
        ({"seq": 4990, "payload": b"x"}, "out_of_window"),
    ],
)
def test_what_a_true_peer_never_sends_is_counted_and_answered_with_an_acknowledgement(fields, counter):
    pair = connected()
    (answer,) = strike(pair, **fields)
    assert (answer.flags, answer.seq, answer.ack) == (ACK, ISS + 1, 5001)
    assert pair.a.counters[counter] == 1
    assert pair.a.state(0) is State.ESTABLISHED


def test_a_reset_counts_only_at_the_very_next_number():
    pair = connected()
    assert strike(pair, flags=RST, seq=5001 + (1 << 20)) == []
    assert pair.a.state(0) is State.ESTABLISHED
    assert strike(pair, flags=RST) == []
    assert pair.user.over == {0: "reset the connection"}


def test_segments_without_acknowledgement_and_broken_checksums_are_dropped():
    pair = connected()
    assert strike(pair, flags=0, payload=b"x") == []
    assert pair.a.counters["no_ack_bit"] == 1
    data = bytearray(tcp_frame(*ADDRESSES, Segment(PORT, 20_000, 5001, ISS + 1, ACK, 1000, b"evil")))
    data[-1] ^= 1
    pair.link.b.send(Frame(bytes(data)), pair.clock.now_ps)
    pair.clock.run(pair.clock.now_ps + PS_PER_S)
    assert pair.a.counters["bad_checksum"] == 1
    assert pair.user.got[0] == b""


def test_a_broken_header_checksum_is_dropped_too():
    pair = connected()
    data = bytearray(tcp_frame(*ADDRESSES, Segment(PORT, 20_000, 5001, ISS + 1, ACK, 1000, b"evil")))
    data[22] ^= 1  # time to live: TCP's checksum does not cover it
    pair.link.b.send(Frame(bytes(data)), pair.clock.now_ps)
    pair.clock.run(pair.clock.now_ps + PS_PER_S)
    assert pair.a.counters["bad_checksum"] == 1
    assert pair.user.got[0] == b""


def test_selective_acknowledgements_of_what_is_acknowledged_are_not_strange():
    pair = connected()
    pair.a.write(0, b"hello", pair.clock.now_ps)
    pair.clock.run(pair.clock.now_ps + PS_PER_S)
    strike(pair, ack=ISS + 6, options=Options(sacks=((ISS + 1, ISS + 3),)))
    assert "strange_sacks" not in pair.a.counters
    strike(pair, ack=ISS + 6, options=Options(sacks=((ISS + 7, ISS + 9),)))
    assert pair.a.counters["strange_sacks"] == 1


def test_a_host_whose_ports_are_all_in_use_says_so(monkeypatch):
    monkeypatch.setattr("nic.tcp.host._PORTS", 3)
    pair = Pair(a=TcpConfig(iss=ISS))
    for _ in range(3):
        pair.a.connect(9, 0)
    with pytest.raises(ConfigError, match="its 3 ports are all in use"):
        pair.a.connect(9, 0)


def test_segments_of_no_connection_are_reset_and_resets_are_not_answered():
    pair = connected()
    stray = Segment(PORT, 30_000, 77, 4321, ACK, 0)
    for segment, expected in (
        (stray, [(RST, 4321, 0)]),
        (stray._replace(flags=SYN), [(RST | ACK, 0, 78)]),
        (stray._replace(flags=RST), []),
    ):
        before = len(pair.frames)
        pair.link.b.send(Frame(tcp_frame(*ADDRESSES, segment)), pair.clock.now_ps)
        pair.clock.run(pair.clock.now_ps + us(10))
        sent = [parse_tcp(frame.data).segment for _, way, frame in pair.frames[before:] if way == "tx"]
        assert [(each.flags, each.seq, each.ack) for each in sent] == expected


def test_old_timestamps_are_refused_and_missing_ones_too():
    pair = Pair(a=TcpConfig(iss=ISS), b=TcpConfig(iss=5000), server=User())
    pair.a.connect(PORT, 0)
    pair.clock.run(PS_PER_S)
    assert strike(pair, payload=b"x") == []
    assert pair.a.counters["no_timestamp"] == 1
    accept = next(
        packet.segment for packet in (parse_tcp(frame.data) for _, way, frame in pair.frames if way == "rx") if packet
    )
    assert accept.options.times is not None
    last = accept.options.times[0]
    (answer,) = strike(pair, payload=b"x", options=Options(times=((last - 1) & 0xFFFFFFFF, 0)))
    assert (answer.flags, answer.ack, answer.options.times[1]) == (ACK, 5001, last)
    assert pair.a.counters["old_timestamp"] == 1
    strike(pair, payload=b"y", options=Options(times=(last + 5 & 0xFFFFFFFF, 0)))
    assert pair.user.got[0] == b"y"


@pytest.mark.parametrize(
    "config",
    [
        {"mss": 10}, {"mss": 9000}, {"receive_buffer": 0}, {"delayed_ack_ps": PS_PER_S}, {"min_rto_ps": 0}, {"retries": 0},
    ],
)  # fmt: skip
def test_impossible_configurations_are_refused_in_one_sentence(config):
    with pytest.raises(ConfigError) as caught:
        TcpConfig(**config)
    assert "\n" not in str(caught.value)
