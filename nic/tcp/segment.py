# SPDX-License-Identifier: GPL-2.0-or-later
"""Segments: the TCP header and its options as bytes in an Ethernet frame, and as a record.

Options understood: maximum segment size, window scale, SACK permitted, SACK, timestamps (RFC 9293, 7323, 2018, published). Others
are skipped; a list that breaks its own lengths is read up to there, as stacks do.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from nic.checksum import checksum, pseudo_sum
from nic.frames import ETHERTYPE_IPV4, PROTO_TCP

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
_NAMES = ((SYN, "SYN"), (FIN, "FIN"), (RST, "RST"), (PSH, "PSH"), (ACK, "ACK"), (URG, "URG"))

_ETHERNET_IPV4 = struct.Struct(">6s6sHBBHHHBBH4s4s")
_HEADER = struct.Struct(">HHIIBBHHH")
_PAIR = struct.Struct(">II")
_HEADERS_BYTES = 54
_KIND_END, _KIND_NOP, _KIND_MSS, _KIND_SCALE, _KIND_SACK_OK, _KIND_SACK, _KIND_TIMES = 0, 1, 2, 3, 4, 5, 8
TIMES_BYTES = 12
"""What the timestamps option takes of every segment, padding included."""
MAX_SACKS = 3
"""Blocks that fit beside timestamps."""


class Options(NamedTuple):
    """A segment's options; None or empty where it has none. `times` is (TSval, TSecr); `sacks` are (left, right) edges."""

    mss: int | None = None
    scale: int | None = None
    sack_ok: bool = False
    times: tuple[int, int] | None = None
    sacks: tuple[tuple[int, int], ...] = ()


NO_OPTIONS = Options()


class Segment(NamedTuple):
    """A segment; numbers as on the wire."""

    src_port: int
    dst_port: int
    seq: int
    ack: int
    flags: int
    window: int
    payload: bytes = b""
    options: Options = NO_OPTIONS

    @property
    def length(self) -> int:
        """Sequence numbers it takes: its bytes, and one each for SYN and FIN."""
        return len(self.payload) + bool(self.flags & SYN) + bool(self.flags & FIN)

    def __str__(self) -> str:
        flags = "+".join(name for bit, name in _NAMES if self.flags & bit) or "none"
        return f"{self.src_port}>{self.dst_port} {flags} seq {self.seq} ack {self.ack} win {self.window} {len(self.payload)} bytes"


class Packet(NamedTuple):
    """A received segment and the addresses it came with."""

    src_mac: bytes
    src_ip: bytes
    dst_ip: bytes
    segment: Segment


def _option_bytes(options: Options) -> bytes:
    out = b""
    if options.mss is not None:
        out += struct.pack(">BBH", _KIND_MSS, 4, options.mss)
    if options.sack_ok:
        out += bytes((_KIND_NOP, _KIND_NOP, _KIND_SACK_OK, 2))
    if options.times is not None:
        out += bytes((_KIND_NOP, _KIND_NOP, _KIND_TIMES, 10)) + _PAIR.pack(*options.times)
    if options.scale is not None:
        out += bytes((_KIND_NOP, _KIND_SCALE, 3, options.scale))
    if options.sacks:
        out += bytes((_KIND_NOP, _KIND_NOP, _KIND_SACK, 2 + 8 * len(options.sacks)))
        out += b"".join(_PAIR.pack(*block) for block in options.sacks)
    return out


def _parse_options(data: bytes) -> Options:
    mss, scale, sack_ok, times = None, None, False, None
    sacks: tuple[tuple[int, int], ...] = ()
    at = 0
    while at < len(data) and data[at] != _KIND_END:
        if data[at] == _KIND_NOP:
            at += 1
            continue
        size = data[at + 1] if at + 1 < len(data) else 0
        if size < 2 or at + size > len(data):
            break
        body = data[at + 2 : at + size]
        match data[at], len(body):
            case (2, 2):
                mss = int.from_bytes(body, "big")
            case (3, 1):
                scale = body[0]
            case (4, 0):
                sack_ok = True
            case (8, 8):
                times = _PAIR.unpack(body)
            case (5, n) if n and n % 8 == 0:
                sacks = tuple(_PAIR.iter_unpack(body))
        at += size
    return Options(mss, scale, sack_ok, times, sacks)


def tcp_frame(dst_mac: bytes, src_mac: bytes, src_ip: bytes, dst_ip: bytes, segment: Segment, ident: int = 0) -> bytes:
    """An Ethernet frame with one unfragmented segment; both checksums are right."""
    options = _option_bytes(segment.options) if segment.options is not NO_OPTIONS else b""
    words = 5 + len(options) // 4
    length = words * 4 + len(segment.payload)
    head = _HEADER.pack(
        segment.src_port, segment.dst_port, segment.seq, segment.ack, words << 4, segment.flags, segment.window, 0, 0
    )
    body = head + options + segment.payload
    value = checksum(body, pseudo_sum(src_ip + dst_ip, PROTO_TCP, length))
    body = body[:16] + value.to_bytes(2, "big") + body[18:]
    ip = _ETHERNET_IPV4.pack(
        dst_mac, src_mac, ETHERTYPE_IPV4, 0x45, 0, length + 20, ident, 0x4000, 64, PROTO_TCP, 0, src_ip, dst_ip
    )
    ip_sum = checksum(ip[14:])
    return ip[:24] + ip_sum.to_bytes(2, "big") + ip[26:] + body


def parse_tcp(frame: bytes) -> Packet | None:
    """The segment of a frame, or None if it is anything else, a fragment, or shorter than it says. No checksum is looked at."""
    if len(frame) < _HEADERS_BYTES or frame[12:14] != b"\x08\x00" or frame[14] >> 4 != 4 or frame[23] != PROTO_TCP:
        return None
    if frame[20] & 0x3F or frame[21]:
        return None
    start = 14 + (frame[14] & 15) * 4
    end = 14 + int.from_bytes(frame[16:18], "big")
    if start < 34 or end > len(frame) or start + 20 > end:
        return None
    src_port, dst_port, seq, ack, words, flags, window, _, _ = _HEADER.unpack_from(frame, start)
    data = start + (words >> 4) * 4
    if data < start + 20 or data > end:
        return None
    options = _parse_options(frame[start + 20 : data]) if data > start + 20 else NO_OPTIONS
    segment = Segment(src_port, dst_port, seq, ack, flags & 0x3F, window, frame[data:end], options)
    return Packet(frame[6:12], frame[26:30], frame[30:34], segment)
