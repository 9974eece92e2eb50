# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests and answers over UDP find each other, by tshark's opinion too, and whatever a capture holds ends in a sentence."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

from cyclescope.experiments.recording import load_recording
from emu.errors import BadSnapshot, ConfigError
from nic.applications import APPLICATIONS, RAW, parse_protocol
from nic.applications.datagrams import DatagramMatcher, Datagrams
from nic.applications.dns import DNS, question
from nic.applications.snmp import SNMP, identifier
from nic.frames import parse_udp, udp_frame
from nic.sources.capture import read_capture
from tests.tshark import HAVE_TSHARK

CAPTURES = Path(__file__).parent / "captures"
NSD, SNMPD = CAPTURES / "dns" / "nsd.pcap", CAPTURES / "snmp" / "snmpd.pcap"
CLIENT, OTHER, SERVER = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 3)), bytes((10, 0, 0, 2))


def asks(payload: bytes, port: int = 4000, client: bytes = CLIENT, to: int = 53) -> bytes:
    return udp_frame(bytes(6), bytes(6), client, SERVER, port, to, payload)


def answers(payload: bytes, port: int = 4000, client: bytes = CLIENT, of: int = 53) -> bytes:
    return udp_frame(bytes(6), bytes(6), SERVER, client, of, port, payload)


def message(ident: int, rest: bytes = b"") -> bytes:
    return struct.pack(">HHHHHH", ident, 0, 1, 0, 0, 0) + rest


def paired(protocol: Datagrams, frames: list[bytes], port: int = 53) -> list[bytes | None]:
    return [exchange.answer for exchange in protocol.pair(enumerate(frames), port).exchanges]


def test_answers_out_of_order_find_their_queries_by_the_identifier() -> None:
    frames = [asks(message(1)), asks(message(2)), answers(message(2, b"two")), answers(message(1, b"one"))]
    assert paired(DNS, frames) == [message(1, b"one"), message(2, b"two")]


def test_without_an_identifier_a_flow_s_answers_come_in_its_requests_order() -> None:
    frames = [asks(b"a"), asks(b"b"), asks(b"c", 4001), answers(b"C", 4001), answers(b"A"), answers(b"B")]
    assert paired(RAW, frames) == [b"A", b"B", b"C"]


def test_two_clients_with_one_port_are_two_flows() -> None:
    frames = [asks(b"a"), asks(b"b", client=OTHER), answers(b"B", client=OTHER), answers(b"A")]
    assert paired(RAW, frames) == [b"A", b"B"]


def test_a_query_sent_again_is_a_request_of_its_own() -> None:
    frames = [asks(message(1)), asks(message(1)), answers(message(1, b"late"))]
    assert paired(DNS, frames) == [message(1, b"late"), None]


def test_client_and_server_may_use_the_same_port() -> None:
    frames = [asks(b"a", 53), answers(b"A", 53), asks(b"b", 53), answers(b"B", 53)]
    assert paired(RAW, frames) == [b"A", b"B"]


def test_what_answers_nothing_is_counted() -> None:
    found = DNS.pair(enumerate([answers(message(1)), asks(message(1)), answers(message(2))]), 53)
    assert (len(found.exchanges), found.exchanges[0].answer, found.strays) == (1, None, 2)


def test_any_number_of_one_flow_may_be_under_way() -> None:
    matcher = RAW.matcher(())
    keys = [matcher.request_key(asks(b"q%d" % i)) for i in range(3)]
    assert len(set(keys)) == 3
    matcher.forget(keys[1])  # timed out: its answer will not come
    found = []
    for text in (b"A", b"C"):
        udp = parse_udp(answers(text))
        assert udp is not None
        key = matcher.answer_key(udp)
        found.append((key, matcher.feed(key, udp)))
    assert found == [(keys[0], b"A"), (keys[2], b"C")]
    assert matcher.answer_key(udp) == -1


def test_a_matcher_is_saved_between_loads_alone() -> None:
    matcher, other = DatagramMatcher(DNS), DatagramMatcher(DNS)
    udp = parse_udp(answers(message(9)))
    assert udp is not None
    matcher.answer_key(udp)
    other.restore(matcher.save())
    assert other.unexpected == 1
    matcher.request_key(asks(message(1)))
    with pytest.raises(ConfigError, match="take it before"):
        matcher.save()
    with pytest.raises(BadSnapshot):
        other.restore({"unexpected": -1})


def fields(path: Path, *names: str) -> list[list[str]]:
    words = [word for name in names for word in ("-e", name)]
    run = subprocess.run(
        ["tshark", "-n", "-r", str(path), "-T", "fields", *words], capture_output=True, text=True, check=True, timeout=120
    )
    return [line.split("\t") for line in run.stdout.splitlines()]


@pytest.mark.skipif(not HAVE_TSHARK, reason="needs tshark")
@pytest.mark.parametrize(("path", "column"), [(NSD, "dns.response_to"), (SNMPD, "snmp.response_to")])
def test_pairs_are_tshark_s(path: Path, column: str) -> None:
    """By the frame that an answer answers, as tshark has it."""
    frames = [frame.data for frame in read_capture(path)]
    rows = fields(path, "frame.number", column)
    theirs = {(int(to) - 1, int(number) - 1) for number, to in rows if to}
    queue: dict[bytes, list[int]] = {}
    for place, frame in enumerate(frames):
        queue.setdefault(frame[42:], []).append(place)
    ours = set()
    for exchange in load_recording(path).exchanges:
        if exchange.answer is not None:
            ours.add((queue[exchange.frame[42:]].pop(0), queue[exchange.answer].pop(0)))
    assert ours == theirs
    assert len(ours) > 600


@pytest.mark.skipif(not HAVE_TSHARK, reason="needs tshark")
def test_snmp_s_identifiers_are_tshark_s() -> None:
    theirs = [int(ident) for (ident,) in fields(SNMPD, "snmp.request_id")]
    ours = [int.from_bytes(identifier(frame.data[42:]), "big", signed=True) for frame in read_capture(SNMPD)]
    assert ours == theirs


@pytest.mark.skipif(not HAVE_TSHARK, reason="needs tshark")
def test_questions_are_tshark_s() -> None:
    names = [name or "." for (name,) in fields(NSD, "dns.qry.name")]
    for frame, name in zip(read_capture(NSD), names, strict=True):
        if name not in (".", "<Root>"):
            assert question(frame.data[42:]).split(b" ")[0].decode() == name + "."


@pytest.mark.parametrize(
    ("hex_text", "ident"),
    [
        ("302602010104067075626c6963a019020412345678020100020100300b300906052b060104010500", "12345678"),
        ("303e020103301102040abbccdd020300ffe304010402010304103004020103" + "00" * 33, "0abbccdd"),  # version 3: the msgID
        ("3026020101", ""),  # cut short
        ("30800201010406", ""),  # a length without an end
        ("0226020101040670", ""),  # no sequence
    ],
)
def test_snmp_identifiers(hex_text: str, ident: str) -> None:
    assert identifier(bytes.fromhex(hex_text)).hex() == ident


def test_questions_that_cannot_be_read_are_shown_as_they_are() -> None:
    for text in (b"", b"\0" * 12, message(1, b"\xc0\x0c\0\1\0\1"), message(1, b"\x05ab"), message(1, b"\x01a\0\0")):
        assert question(text) == text
    assert question(message(1, b"\x03www\x02ab\0\0\x1c\0\1")) == b"www.ab. AAAA"
    assert question(message(1, b"\0\0\2\0\1")) == b". NS"


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2), st.binary(max_size=40)), max_size=20))
def test_any_datagrams_are_taken_without_harm(datagrams: list[tuple[bool, int, bytes]]) -> None:
    for protocol in APPLICATIONS:
        to = protocol.port or 7
        frames = [(asks if ask else answers)(data, 4000 + flow, CLIENT, to) for ask, flow, data in datagrams]
        found = protocol.pair(enumerate(frames), to)
        if protocol.name != "memcached":
            assert len(found.exchanges) == sum(ask for ask, _, _ in datagrams)
        matcher = protocol.matcher(found.exchanges)
        for exchange in found.exchanges:
            protocol.text(exchange.frame[42:])
            protocol.comparable(exchange.answer or b"")
            matcher.request_key(exchange.frame)
        for frame in frames:
            udp = parse_udp(frame)
            assert udp is not None
            key = matcher.answer_key(udp)
            if key >= 0:
                matcher.feed(key, udp)


# ---- captures


def saved(folder: Path, *frames: bytes) -> Path:
    wrpcap(str(folder / "c.pcap"), [Ether(frame) for frame in frames])
    return folder / "c.pcap"


@pytest.mark.parametrize(("path", "name", "count"), [(NSD, "dns", 700), (SNMPD, "snmp", 600)])
def test_the_protocol_is_found_by_the_port(path: Path, name: str, count: int) -> None:
    recording = load_recording(path)
    assert (recording.application.name, recording.remark) == (name, "")
    assert len(recording.exchanges) > count


def test_what_is_passed_over_is_said(tmp_path: Path) -> None:
    whole = asks(message(1))
    fragment = whole[:20] + b"\x20\0" + whole[22:]
    longer = whole[:38] + b"\0\xff" + whole[40:]
    path = saved(tmp_path, whole, fragment, longer, fragment, answers(message(2)), bytes(12) + b"\x08\x06" + bytes(46))
    said = load_recording(path).remark
    assert said == (
        f"{path}: passed over: 1 UDP datagrams shorter than they say, 1 datagrams from port 53 that answer no request, "
        "2 fragments of IP packets (the first is packet 2)"
    )


@pytest.mark.parametrize(
    ("protocol", "sentence"),
    [
        (None, r"holds no request to UDP port 11211 \(memcached\), 53 \(dns\), 161 \(snmp\); say --protocol raw:PORT"),
        ("dns", "holds no request to UDP port 53; give another capture, or --protocol NAME:PORT"),
        ("raw", "--protocol is 'raw': give one of memcached"),
        ("dns:0", "--protocol is 'dns:0'"),
        ("dns:99999", "--protocol is 'dns:99999'"),
        ("dns:", "--protocol is 'dns:'"),
        ("quic", "--protocol is 'quic'"),
        ("raw:7", "request 2 has 1542 bytes, more than a frame of the guest's link"),
    ],
)
def test_what_cannot_be_replayed_ends_in_a_sentence(tmp_path: Path, protocol: str | None, sentence: str) -> None:
    path = saved(tmp_path, asks(b"x", to=7), asks(bytes(1500), to=7))
    with pytest.raises(ConfigError, match=sentence) as refused:
        load_recording(path, protocol)
    assert "\n" not in str(refused.value)


def test_protocols_by_name_and_port() -> None:
    assert parse_protocol("dns") == (DNS, 53)
    assert parse_protocol("snmp:1161") == (SNMP, 1161)
    assert parse_protocol("raw:7") == (RAW, 7)
