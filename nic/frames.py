# SPDX-License-Identifier: GPL-2.0-or-later
"""Building and taking apart Ethernet, ARP, IPv4 and UDP, fast: one struct a header, no packet objects.

Frames carry no FCS. Only what the endpoint itself speaks is here: no VLAN tags, no IPv6; IPv4 options are understood on
receipt and never sent.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from nic.checksum import checksum, complete, pseudo_sum

BROADCAST = b"\xff" * 6
ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_ARP = 0x0806
PROTO_TCP = 6
PROTO_UDP = 17

_ETHERNET_IPV4_UDP = struct.Struct(">6s6sHBBHHHBBH4s4sHHHH")
_ARP = struct.Struct(">6s6sHHHBBH6s4s6s4s")
_PORTS_LENGTH = struct.Struct(">HHH")
_ARP_REQUEST = 1
_ARP_REPLY = 2


class Udp(NamedTuple):
    """A received UDP datagram and where it came from."""

    src_mac: bytes
    src_ip: bytes
    dst_ip: bytes
    src_port: int
    dst_port: int
    payload: bytes


class Arp(NamedTuple):
    """An ARP packet for IPv4 over Ethernet; `request` is False for a reply."""

    request: bool
    sender_mac: bytes
    sender_ip: bytes
    target_mac: bytes
    target_ip: bytes


def parse_ip(text: str) -> bytes:
    """Four bytes from dotted decimal. Raises ValueError."""
    parts = text.split(".")
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() and int(part) < 256 for part in parts):
        raise ValueError(f"not an IPv4 address: {text!r}")
    return bytes(int(part) for part in parts)


def parse_mac(text: str) -> bytes:
    """Six bytes from colon-separated hexadecimal. Raises ValueError."""
    try:
        value = bytes(int(part, 16) for part in text.split(":"))
    except ValueError:
        value = b""
    if len(value) != 6:
        raise ValueError(f"not a MAC address: {text!r}")
    return value


def udp_frame(
    dst_mac: bytes,
    src_mac: bytes,
    src_ip: bytes,
    dst_ip: bytes,
    src_port: int,
    dst_port: int,
    payload: bytes,
    ident: int = 0,
) -> bytes:
    """An Ethernet frame with one unfragmented UDP datagram; both checksums are right. Payload at most 65,507 bytes."""
    length = len(payload) + 8
    total = length + 20
    addresses = src_ip + dst_ip
    address_sum = int.from_bytes(addresses, "big")  # sums modulo 65535, as in nic.checksum; never all zero here
    # The header checksum: words that never change (0x4500, 0x4000, 0x4011) plus the ones that do.
    ip_sum = -(address_sum + 0xC511 + total + ident) % 0xFFFF
    number = int.from_bytes(payload, "big")
    if length & 1:
        number <<= 8
    udp_sum = -(number + address_sum + PROTO_UDP + length + length + src_port + dst_port) % 0xFFFF or 0xFFFF
    return (
        _ETHERNET_IPV4_UDP.pack(
            dst_mac, src_mac, ETHERTYPE_IPV4, 0x45, 0, total, ident, 0x4000, 64, PROTO_UDP, ip_sum, src_ip, dst_ip,
            src_port, dst_port, length, udp_sum,
        )
        + payload
    )  # fmt: skip


def parse_udp(frame: bytes) -> Udp | None:
    """The UDP datagram of a frame, or None if it is anything else, a fragment, or shorter than it says. Padding is cut off."""
    if len(frame) < 42 or frame[12:14] != b"\x08\x00" or frame[14] >> 4 != 4 or frame[23] != PROTO_UDP:
        return None
    if frame[20] & 0x3F or frame[21]:
        return None
    start = 14 + (frame[14] & 15) * 4
    if start < 34 or len(frame) < start + 8:
        return None
    src_port, dst_port, length = _PORTS_LENGTH.unpack_from(frame, start)
    if length < 8 or len(frame) < start + length:
        return None
    return Udp(frame[6:12], frame[26:30], frame[30:34], src_port, dst_port, frame[start + 8 : start + length])


def arp_frame(arp: Arp) -> bytes:
    """An ARP request (to everybody) or reply (to the target) as an Ethernet frame."""
    dst = BROADCAST if arp.request else arp.target_mac
    operation = _ARP_REQUEST if arp.request else _ARP_REPLY
    return _ARP.pack(
        dst, arp.sender_mac, ETHERTYPE_ARP, 1, ETHERTYPE_IPV4, 6, 4, operation,
        arp.sender_mac, arp.sender_ip, arp.target_mac, arp.target_ip,
    )  # fmt: skip


def parse_arp(frame: bytes) -> Arp | None:
    """The ARP packet of a frame, or None if it is anything else or malformed."""
    if len(frame) < _ARP.size or frame[12:14] != b"\x08\x06":
        return None
    _, _, _, hardware, protocol, hlen, plen, operation, smac, sip, tmac, tip = _ARP.unpack_from(frame)
    if (hardware, protocol, hlen, plen) != (1, ETHERTYPE_IPV4, 6, 4) or operation not in (_ARP_REQUEST, _ARP_REPLY):
        return None
    return Arp(operation == _ARP_REQUEST, smac, sip, tmac, tip)


def mend_checksums(frame: bytearray) -> bool:
    """Recompute the IPv4 header's and the UDP or TCP checksum in place.

    Returns: False, with nothing changed, if the frame is not IPv4 or is shorter than its headers say; fragments and other
    protocols get their header's checksum only.
    """
    if len(frame) < 34 or frame[12:14] != b"\x08\x00" or frame[14] >> 4 != 4:
        return False
    start = 14 + (frame[14] & 15) * 4
    total = int.from_bytes(frame[16:18], "big")
    end = 14 + total
    if start < 34 or end < start or len(frame) < end:
        return False
    frame[24:26] = b"\0\0"
    frame[24:26] = checksum(bytes(frame[14:start])).to_bytes(2, "big")
    field = {PROTO_UDP: 6, PROTO_TCP: 16}.get(frame[23])
    if field is None or frame[20] & 0x3F or frame[21] or end - start < field + 2:
        return True
    frame[start + field : start + field + 2] = pseudo_sum(bytes(frame[26:34]), frame[23], end - start).to_bytes(
        2, "big"
    )
    segment = frame[:end]
    complete(segment, start, field)
    frame[:end] = segment
    return True
