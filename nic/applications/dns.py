# SPDX-License-Identifier: GPL-2.0-or-later
"""DNS over UDP (RFC 1035, section 4.1): the identifier is the message's first two bytes."""

from __future__ import annotations

from nic.applications.datagrams import Datagrams

_HEADER_BYTES = 12
_TYPES = {
    1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 35: "NAPTR", 39: "DNAME",
    43: "DS", 48: "DNSKEY", 52: "TLSA", 64: "SVCB", 65: "HTTPS", 255: "ANY", 257: "CAA",
}  # fmt: skip


def identifier(message: bytes) -> bytes:
    """The same in a query and in its answer."""
    return message[:2]


def question(message: bytes) -> bytes:
    """`www.example.org. AAAA`; the message itself if its question cannot be read."""
    labels, at = [], _HEADER_BYTES
    while at < len(message) and message[at]:
        length = message[at]
        if length > 63 or at + 1 + length >= len(message):  # a question has no name before it to point to
            return message
        labels.append(message[at + 1 : at + 1 + length])
        at += 1 + length
    if at + 5 > len(message):
        return message
    kind = int.from_bytes(message[at + 1 : at + 3], "big")
    return b".".join([*labels, b""] if labels else [b"", b""]) + b" " + _TYPES.get(kind, f"TYPE{kind}").encode()


DNS = Datagrams("dns", 53, asked=identifier, answered=identifier, shown=question)
