# SPDX-License-Identifier: GPL-2.0-or-later
"""Captures: what is read is what was written; whatever else a file holds ends in one ConfigError of one sentence."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import PcapNgWriter, PcapWriter, wrpcap

from emu.errors import ConfigError
from nic.checksum import transport_checksum_ok
from nic.frames import parse_udp, udp_frame
from nic.sinks.pcapng import PcapngWriter
from nic.sources.capture import read_capture, rewrite

FRAMES = [
    udp_frame(bytes(6), bytes(6), bytes((127, 0, 0, 1)), bytes((127, 0, 0, 1)), 40000 + i, 11211, b"x" * 11 * i)
    for i in range(6)
]


def pcap(frames=FRAMES, *, endian="<", nano=False, linktype=1) -> bytes:
    magic = 0xA1B23C4D if nano else 0xA1B2C3D4
    out = struct.pack(endian + "IHHIIII", magic, 2, 4, 0, 0, 262144, linktype)
    for place, frame in enumerate(frames):
        out += struct.pack(endian + "IIII", 100 + place, 7, len(frame), len(frame)) + frame
    return out


def pcapng(frames=FRAMES) -> bytes:
    file = io.BytesIO()
    writer = PcapngWriter(file)
    for place, frame in enumerate(frames):
        writer.write((100 + place) * 10**12 + 7_000, frame, comment="c" * place)
    return file.getvalue()


def save(folder: Path, data: bytes) -> Path:
    path = folder / "in.pcap"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize(("nano", "fraction_ns"), [(False, 7000), (True, 7)])
def test_pcap_of_either_byte_order_and_resolution(tmp_path, endian, nano, fraction_ns):
    got = list(read_capture(save(tmp_path, pcap(endian=endian, nano=nano))))
    assert [data for _, data in got] == FRAMES
    assert [time for time, _ in got] == [(100 + place) * 10**9 + fraction_ns for place in range(6)]


def test_pcapng_of_ours(tmp_path):
    got = list(read_capture(save(tmp_path, pcapng())))
    assert got == [((100 + place) * 10**9 + 7, frame) for place, frame in enumerate(FRAMES)]


@pytest.mark.parametrize("writer", [PcapWriter, PcapNgWriter])
def test_files_of_scapy(tmp_path, writer):
    path = tmp_path / "scapy.cap"
    with writer(str(path)) as file:
        for frame in FRAMES:
            file.write(Ether(frame))
    assert [data for _, data in read_capture(path)] == FRAMES


def test_loopback_and_cooked_captures_get_an_ethernet_header(tmp_path):
    packets = [frame[14:] for frame in FRAMES]
    null = pcap([struct.pack("<I", 2) + packet for packet in packets], linktype=0)
    cooked = pcap([bytes(14) + b"\x08\x00" + packet for packet in packets], linktype=113)
    for data in (null, cooked):
        assert [frame for _, frame in read_capture(save(tmp_path, data))] == FRAMES


def test_rewriting_gives_addresses_and_right_checksums(tmp_path):
    path = tmp_path / "loop.pcap"
    packet = (
        Ether() / IP(src="127.0.0.1", dst="127.0.0.1", chksum=0xDEAD) / UDP(sport=1, dport=2, chksum=0xFE38) / b"hello"
    )
    wrpcap(str(path), [packet])
    ((_, frame),) = read_capture(path)
    assert not transport_checksum_ok(frame)
    mended = rewrite(
        frame, src_mac=b"\x02" * 6, dst_mac=b"\x04" * 6, src_ip=bytes((10, 0, 2, 2)), dst_ip=bytes((10, 0, 2, 15))
    )
    udp = parse_udp(mended)
    assert udp is not None
    assert (udp.payload, udp.src_mac, udp.src_ip, udp.dst_ip) == (
        b"hello",
        b"\x02" * 6,
        bytes((10, 0, 2, 2)),
        bytes((10, 0, 2, 15)),
    )
    assert mended == bytes(
        Ether(
            bytes(
                Ether(src="02:02:02:02:02:02", dst="04:04:04:04:04:04")
                / IP(src="10.0.2.2", dst="10.0.2.15")
                / UDP(sport=1, dport=2)
                / b"hello"
            )
        )
    )


def snapped() -> bytes:
    return pcap()[:24] + struct.pack("<IIII", 1, 2, 60, 90) + bytes(60)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"\x1f\x8b\x08\x00", "gunzip"),
        (b"GIF89a", "not a pcap or pcapng file"),
        (pcap()[:20], "cut short in the file header"),
        (pcap([]), "no packets"),
        (pcap()[:-1], "cut short in packet 6"),
        (pcap() + bytes(5), "cut short in the header of packet 7"),
        (pcap(linktype=101), "raw IP, not Ethernet"),
        (pcap(linktype=105), "802.11, not Ethernet"),
        (pcap([b"short"]), "less than an Ethernet header"),
        (snapped(), "only 60 of its 90 bytes"),
        (pcap()[:24] + struct.pack("<IIII", 1, 2, 1 << 30, 1 << 30), "claims 1073741824 bytes"),
        (pcapng()[:-1], "cut short in block 8"),
        (pcapng()[:30], "block"),
        (pcapng([]), "no packets"),
        (pcapng()[:-4] + bytes(4), "two different lengths"),
    ],
)
def test_each_kind_of_bad_file_is_refused_by_name_place_and_remedy(tmp_path, data, words):
    path = save(tmp_path, data)
    with pytest.raises(ConfigError) as caught:
        list(read_capture(path))
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert words in message
    assert "\n" not in message


def test_missing_file_and_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.pcap", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_capture(path)


GOOD = [pcap(), pcap(endian=">", nano=True), pcapng()]


@st.composite
def damaged(draw) -> bytes:
    data = bytearray(draw(st.sampled_from(GOOD)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data) - 1) | st.integers(0, min(len(data) - 1, 120)))
        how = draw(st.integers(0, 3))
        if how == 0:
            data[at] = draw(st.integers(0, 255))
        elif how == 1:
            data[at : at + 4] = struct.pack(
                "<I", draw(st.sampled_from([0, 1, 4, 6, 12, 0xFFFFFFFF, 0x80000001, 10]) | st.integers(0, 0xFFFFFFFF))
            )
        elif how == 2:
            del data[at:]
        else:
            data[at:at] = draw(st.binary(max_size=20))
        if not data:
            break
    return bytes(data)


@settings(
    max_examples=2500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    st.one_of(damaged(), st.binary(max_size=100), st.binary(max_size=100).map(lambda tail: b"\x0a\x0d\x0d\x0a" + tail))
)
def test_any_bytes_are_read_or_refused(tmp_path, data):
    path = save(tmp_path, data)
    try:
        for time_ns, frame in read_capture(path):
            assert time_ns >= 0
            assert 14 <= len(frame) <= 65_535 + 14
            rewrite(frame, src_mac=bytes(6), dst_mac=bytes(6), src_ip=bytes(4), dst_ip=bytes(4))
    except ConfigError as error:
        message = str(error)
        if "\n" in message or not message.startswith(str(path)):
            raise AssertionError(message) from error
