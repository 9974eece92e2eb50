# SPDX-License-Identifier: GPL-2.0-or-later
"""Reassembly of memcached's UDP answers, and pairing a capture's requests and answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nic.frames import parse_udp, udp_frame
from nic.memcached_udp import FRAME, Reassembler, Recorded, datagram, pair_exchanges
from nic.sources.capture import read_capture

CLIENT, SERVER = bytes((127, 0, 0, 1)), bytes((127, 0, 0, 1))
SHARED = Path(__file__).resolve().parents[2] / "shared" / "captures" / "memcached-udp.pcap"


def to_server(ident: int, body: bytes, port: int = 40000) -> bytes:
    return udp_frame(bytes(6), bytes(6), CLIENT, SERVER, port, 11211, datagram(ident, body))


def to_client(ident: int, sequence: int, total: int, body: bytes, port: int = 40000) -> bytes:
    return udp_frame(bytes(6), bytes(6), SERVER, CLIENT, 11211, port, FRAME.pack(ident, sequence, total, 0) + body)


def test_pairs_by_port_and_id_ignoring_bare_headers_and_strangers():
    frames = [
        to_server(1, b"get a\r\n"),
        to_server(1, b"get b\r\n", port=40001),
        to_client(1, 0, 0, b""),
        to_client(1, 0, 1, b"B", port=40001),
        to_client(9, 0, 1, b"nobody asked"),
        bytes(60),
        to_client(1, 1, 2, b"two"),
        to_client(1, 0, 2, b"one"),
        to_server(2, b"never answered\r\n"),
    ]
    exchanges = list(pair_exchanges(enumerate(frames)))
    assert [(each.time_ns, each.answer) for each in exchanges] == [(0, b"onetwo"), (1, b"B"), (8, None)]
    assert exchanges[0].frame == frames[0]


def test_id_used_again_starts_a_new_exchange():
    frames = [to_server(1, b"x"), to_client(1, 0, 2, b"half"), to_server(1, b"y"), to_client(1, 0, 1, b"Y")]
    assert [each.answer for each in pair_exchanges(enumerate(frames))] == [None, b"Y"]


def fed(matcher: Recorded, ident: int, *parts: tuple[int, int, bytes]) -> list[bytes | None]:
    """What each (sequence, total, body) of an answer brings."""
    out = []
    for sequence, total, body in parts:
        udp = parse_udp(to_client(ident, sequence, total, body))
        assert udp is not None
        out.append(matcher.feed(matcher.answer_key(udp), udp))
    return out


def test_a_recorded_answer_ends_when_it_is_as_long_or_another():
    recorded = pair_exchanges(enumerate([to_server(1, b"get a b"), to_client(1, 0, 1, b"A"), to_client(1, 0, 1, b"END")]))
    key = Reassembler().request_key(to_server(1, b"get a b"))
    answers = [(each.key, each.answer) for each in recorded]
    assert answers == [(key, b"AEND")]
    matcher = Recorded([*answers, (key, b"B"), (key, None)])
    matcher.request_key(to_server(1, b"get a b"))
    assert fed(matcher, 1, (0, 1, b"A"), (0, 2, b"E"), (1, 2, b"ND")) == [None, None, b"AEND"]
    matcher.request_key(to_server(1, b"get b"))
    assert fed(matcher, 1, (0, 1, b"C")) == [b"C"]
    matcher.request_key(to_server(1, b"get c"))
    assert fed(matcher, 1, (0, 1, b"anything")) == [b"anything"]


def test_what_came_of_a_recorded_answer_is_forgotten_with_it():
    key = Reassembler().request_key(to_server(1, b""))
    matcher = Recorded([(key, b"AEND"), (key, b"AEND")])
    matcher.request_key(to_server(1, b""))
    assert fed(matcher, 1, (0, 1, b"A")) == [None]
    matcher.forget(key)
    matcher.request_key(to_server(1, b""))
    assert fed(matcher, 1, (0, 1, b"A"), (0, 1, b"END")) == [None, b"AEND"]


@given(st.lists(st.tuples(st.integers(0, 2), st.binary(max_size=24)), max_size=30))
def test_any_datagrams_are_taken_without_harm(datagrams):
    frames = [to_server(ident, b"q") for ident in range(3)]
    frames += [
        udp_frame(bytes(6), bytes(6), SERVER, CLIENT, 11211, 40000, ident.to_bytes(2, "big")[-1:] + body)
        for ident, body in datagrams
    ]
    frames += [udp_frame(bytes(6), bytes(6), SERVER, CLIENT, 40000, 11211, body) for _, body in datagrams]
    list(pair_exchanges(enumerate(frames)))


@given(st.permutations(range(7)), st.lists(st.integers(0, 6), max_size=5))
def test_parts_come_in_any_order_and_more_than_once(order, again):
    reassembler, answers = Reassembler(), []
    for place in [*again, *order] if set(again) != set(range(7)) else order:
        udp = parse_udp(to_client(3, place, 7, bytes([place]) * (place + 1)))
        assert udp is not None
        key = reassembler.answer_key(udp)
        answers.append(reassembler.feed(key, udp))
    complete = [answer for answer in answers if answer is not None]
    assert complete == [b"".join(bytes([place]) * (place + 1) for place in range(7))]


@pytest.mark.skipif(not SHARED.exists(), reason="the recorded capture is not beside this tree")
def test_recorded_capture_pairs_completely():
    exchanges = list(pair_exchanges(read_capture(SHARED)))
    assert len(exchanges) == 2000
    assert all(each.answer is not None for each in exchanges)
    assert exchanges[0].answer == b"END\r\n"
    assert max(len(each.answer or b"") for each in exchanges) > 1400
