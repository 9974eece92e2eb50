# SPDX-License-Identifier: GPL-2.0-or-later
"""The Internet checksum (RFC 1071), without a loop over the bytes.

A sum of big-endian 16-bit words with end-around carry is the number they spell, modulo 65535, because 65536 is 1 modulo
65535. Python's long integers do that in C. The one thing lost is which zero it was: the sum of words that are not all zero is
never 0x0000 but 0xFFFF.
"""

from __future__ import annotations

_PROTO_TCP = 6
_PROTO_UDP = 17


def ones_sum(data: bytes | memoryview, initial: int = 0) -> int:
    """The ones'-complement sum of `data` as big-endian 16-bit words (an odd last byte is padded with zero), plus `initial`.

    Returns: 0..0xFFFF; 0 only when every word and `initial` are zero.
    """
    number = int.from_bytes(data, "big")
    if len(data) & 1:
        number <<= 8
    number += initial
    return number % 0xFFFF or (0xFFFF if number else 0)


def checksum(data: bytes | memoryview, initial: int = 0) -> int:
    """The checksum field's value for `data` (whose own field must be zero): the complement of the sum, 0..0xFFFF."""
    return 0xFFFF ^ ones_sum(data, initial)


def pseudo_sum(addresses: bytes | memoryview, protocol: int, length: int) -> int:
    """The sum of the IPv4 pseudo header: 8 bytes of source and destination address, protocol, length of the segment."""
    return ones_sum(addresses, protocol + length)


def complete(frame: bytearray, start: int, offset: int) -> bool:
    """Finish a partial checksum as a NIC does (virtio 1.2 section 5.1.6.2.1): sum from `start` to the end, store at start + offset.

    The field holds the pseudo header's sum on entry. A result of zero is stored as 0xFFFF, which UDP requires (RFC 768: zero
    means "no checksum") and TCP allows. Returns False, with nothing changed, if the field is not inside the frame.
    """
    field = start + offset
    if field + 2 > len(frame):
        return False
    value = checksum(memoryview(frame)[start:]) or 0xFFFF
    frame[field] = value >> 8
    frame[field + 1] = value & 0xFF
    return True


def header_checksum_ok(frame: bytes | memoryview) -> bool:
    """Whether the header checksum of an Ethernet frame with an IPv4 packet is right (RFC 1122 3.2.1.2: else it is dropped)."""
    return ones_sum(frame[14 : 14 + (frame[14] & 15) * 4]) == 0xFFFF


def transport_checksum_ok(frame: bytes | memoryview) -> bool:
    """Whether an Ethernet frame is an unfragmented IPv4 UDP or TCP packet whose transport checksum is present and right."""
    if len(frame) < 42 or frame[12] != 8 or frame[13] != 0 or frame[14] >> 4 != 4:
        return False
    if frame[20] & 0x3F or frame[21]:  # a fragment: its checksum covers more than this frame
        return False
    header = (frame[14] & 15) * 4
    length = ((frame[16] << 8) | frame[17]) - header
    start = 14 + header
    if header < 20 or length < 8 or start + length > len(frame):
        return False
    protocol = frame[23]
    if protocol == _PROTO_UDP:
        if not frame[start + 6] and not frame[start + 7]:
            return False
    elif protocol != _PROTO_TCP:
        return False
    if header == 20:  # no options: the addresses lie right before the segment
        number = int.from_bytes(frame[26 : 34 + length], "big")
        if length & 1:
            number <<= 8
        return not (number + protocol + length) % 0xFFFF
    view = memoryview(frame)
    return ones_sum(view[start : start + length], pseudo_sum(view[26:34], protocol, length)) == 0xFFFF
