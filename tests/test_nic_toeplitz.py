# SPDX-License-Identifier: GPL-2.0-or-later
"""Toeplitz, against Microsoft's published verification values for IPv4, and a plain bit-by-bit referee."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nic.frames import parse_ip
from nic.steering import Steering
from nic.toeplitz import MICROSOFT_KEY, Toeplitz, rss_input

# Destination, source (each address:port), hash of addresses and ports, hash of addresses alone.
PUBLISHED = [
    ("161.142.100.80", 1766, "66.9.149.187", 2794, 0x51CCC178, 0x323E8FC2),
    ("65.69.140.83", 4739, "199.92.111.2", 14230, 0xC626B0EA, 0xD718262A),
    ("12.22.207.184", 38024, "24.19.198.95", 12898, 0x5C2B394A, 0xD2D0A5DE),
    ("209.142.163.6", 2217, "38.27.205.30", 48228, 0xAFC7327F, 0x82989176),
    ("202.188.127.2", 1303, "153.39.163.191", 44251, 0x10E828A2, 0x5D1809C5),
]


def plain(key: bytes, data: bytes) -> int:
    number, bits, result = int.from_bytes(key, "big"), len(key) * 8, 0
    for place in range(len(data) * 8):
        if data[place // 8] >> (7 - place % 8) & 1:
            result ^= (number >> (bits - 32 - place)) & 0xFFFFFFFF
    return result


@pytest.mark.parametrize(("dst", "dport", "src", "sport", "with_ports", "without"), PUBLISHED)
def test_published_verification_values(dst, dport, src, sport, with_ports, without):
    toeplitz = Toeplitz()
    addresses = parse_ip(src) + parse_ip(dst)
    assert toeplitz.hash(addresses + struct.pack(">HH", sport, dport)) == with_ports
    assert toeplitz.hash(addresses) == without


@given(st.binary(min_size=16, max_size=40), st.binary(max_size=12))
def test_tables_agree_with_the_definition(key, data):
    assert Toeplitz(key).hash(data) == plain(key, data)


def test_only_ipv4_is_hashed_and_only_whole_udp_and_tcp_packets_by_ports():
    ip = bytes.fromhex("450000200000400040110000 0a000202 0a00020f".replace(" ", ""))
    ports = struct.pack(">HH", 1, 2)
    frame = bytes(12) + b"\x08\x00" + ip + ports + bytes(8)
    assert rss_input(frame) == ip[12:] + ports
    assert rss_input(frame, ports_of_udp=False) == ip[12:]
    fragment = bytearray(frame)
    fragment[20] = 0x20
    assert rss_input(bytes(fragment)) == ip[12:]
    assert rss_input(bytes(12) + b"\x86\xdd" + bytes(60)) is None
    assert rss_input(b"") is None
    options = bytes(12) + b"\x08\x00\x46" + ip[1:] + bytes(4) + ports + bytes(8)
    assert rss_input(options) == ip[12:] + ports


@given(st.binary(max_size=64), st.sampled_from([0, 1, 3, 7]))
def test_any_bytes_are_steered_to_a_pair_that_exists(data, types):
    steering = Steering(4)
    assert steering.set_rss(struct.pack("<IHH4HHB", types, 3, 2, 0, 1, 2, 3, 4, 40) + MICROSOFT_KEY)
    assert 0 <= steering.pair_of(data) < 4
    assert 0 <= steering.pair_of(bytes(12) + b"\x08\x00\x45" + data) < 4
