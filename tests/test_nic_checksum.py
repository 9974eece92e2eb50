# SPDX-License-Identifier: GPL-2.0-or-later
"""Checksums, against a plain loop, against Scapy, and against RFC 1071's own example."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import checksum as scapy_checksum

from nic.checksum import checksum, complete, ones_sum, pseudo_sum, transport_checksum_ok
from nic.frames import mend_checksums, parse_udp, udp_frame


def plain(data: bytes, initial: int = 0) -> int:
    total = initial
    for place in range(0, len(data), 2):
        total += int.from_bytes(data[place : place + 2].ljust(2, b"\0"), "big")
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def test_rfc_1071_example():
    assert ones_sum(bytes.fromhex("0001f203f4f5f6f7")) == 0xDDF2


@given(st.binary(max_size=200), st.integers(0, 0xFFFF))
def test_sum_is_the_plain_loop_s(data, initial):
    assert ones_sum(data, initial) == plain(data, initial)


@given(st.binary(max_size=200))
def test_checksum_is_scapy_s(data):
    assert checksum(data) == scapy_checksum(data)


@given(st.binary(max_size=100), st.binary(min_size=8, max_size=8), st.integers(1, 65535), st.integers(1, 65535))
def test_udp_frame_is_byte_for_byte_what_scapy_builds(payload, addresses, sport, dport):
    src, dst = (".".join(map(str, part)) for part in (addresses[:4], addresses[4:]))
    packet = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src=src, dst=dst, id=7, flags="DF")
    theirs = bytes(packet / UDP(sport=sport, dport=dport) / payload)
    ours = udp_frame(
        bytes.fromhex("020000000002"),
        bytes.fromhex("020000000001"),
        addresses[:4],
        addresses[4:],
        sport,
        dport,
        payload,
        7,
    )
    assert ours == theirs
    assert transport_checksum_ok(ours)
    udp = parse_udp(ours)
    assert udp is not None
    assert (udp.payload, udp.src_port, udp.dst_port) == (payload, sport, dport)


@given(st.binary(max_size=64), st.sampled_from([UDP, TCP]), st.booleans())
def test_offload_finishes_what_scapy_would_have(payload, layer, options):
    ip = IP(src="10.1.2.3", dst="10.3.2.1", options=b"\x94\x04\x00\x00" if options else b"")
    right = bytes(Ether() / ip / layer(sport=1, dport=2) / payload)
    start, field = (38 if options else 34), (6 if layer is UDP else 16)
    frame = bytearray(right)
    pseudo = pseudo_sum(right[26:34], right[23], len(right) - start)
    frame[start + field : start + field + 2] = pseudo.to_bytes(2, "big")
    assert complete(frame, start, field)
    got = frame[start + field : start + field + 2]
    assert got == right[start + field : start + field + 2] or (
        got == b"\xff\xff" and right[start + field : start + field + 2] == b"\0\0"
    )
    assert transport_checksum_ok(frame)
    frame[-1] ^= 0x40
    assert not transport_checksum_ok(frame)


@given(st.binary(max_size=80), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_offload_outside_the_frame_changes_nothing(data, start, offset):
    frame = bytearray(data)
    done = complete(frame, start, offset)
    assert done == (start + offset + 2 <= len(data))
    if not done:
        assert frame == data


@given(st.binary(max_size=120))
def test_any_bytes_can_be_checked_parsed_and_mended(data):
    transport_checksum_ok(data)
    parse_udp(data)
    mend_checksums(bytearray(data))
    mend_checksums(bytearray(bytes(12) + b"\x08\x00\x45" + data))


def test_mending_gives_a_loopback_frame_the_right_checksums_and_keeps_padding():
    right = bytes(Ether() / IP(src="10.0.2.2", dst="10.0.2.15") / UDP(sport=5, dport=6) / b"hello")
    wrong = bytearray(right + bytes(6))
    wrong[24:26] = wrong[40:42] = b"\xde\xad"
    assert mend_checksums(wrong)
    assert wrong == right + bytes(6)
