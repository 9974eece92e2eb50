# SPDX-License-Identifier: GPL-2.0-or-later
"""SNMP over UDP: the identifier is the request-id (versions 1 and 2c, RFC 3416) or the msgID (version 3, RFC 3412), in BER."""

from __future__ import annotations

from nic.applications.datagrams import Datagrams

_INTEGER, _OCTETS, _SEQUENCE = 0x02, 0x04, 0x30


class _Malformed(Exception):
    pass


def _element(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Tag, start and end of the content of the element at `at`, which ends within `end`."""
    if at + 2 > end:
        raise _Malformed
    tag, length, start = data[at], data[at + 1], at + 2
    if length & 0x80:
        octets = length & 0x7F
        if not 1 <= octets <= 4 or start + octets > end:
            raise _Malformed
        length, start = int.from_bytes(data[start : start + octets], "big"), start + octets
    if start + length > end:
        raise _Malformed
    return tag, start, start + length


def identifier(message: bytes) -> bytes:
    """The identifier's bytes; empty where the message is not SNMP's."""
    try:
        tag, at, end = _element(message, 0, len(message))
        version, start, at = _element(message, at, end)
        if tag != _SEQUENCE or version != _INTEGER:
            return b""
        if message[start:at] != b"\x03":
            tag, _, at = _element(message, at, end)
            if tag != _OCTETS:
                return b""
        _, at, end = _element(message, at, end)
        tag, start, end = _element(message, at, end)
    except _Malformed:
        return b""
    return message[start:end] if tag == _INTEGER else b""


SNMP = Datagrams("snmp", 161, asked=identifier, answered=identifier)
