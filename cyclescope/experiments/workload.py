# SPDX-License-Identifier: GPL-2.0-or-later
"""Request frames for the client: payloads spread over its UDP ports, so that RSS has flows to spread over the queues."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from nic.frames import parse_ip, udp_frame
from nic.matching import EndpointConfig
from nic.memcached_udp import DEFAULT_PORT

FIRST_CLIENT_PORT = 20_000
_NO_MAC = bytes(6)  # the client's own and the guest's are filled in when a frame is sent


def frames(
    payloads: Iterable[bytes], flows: int, server_port: int = DEFAULT_PORT, guest_of: Callable[[bytes], bytes] | None = None
) -> Iterator[bytes]:
    """One frame a payload, request i from client port FIRST_CLIENT_PORT + i mod `flows`; `guest_of` gives an address."""
    addresses = EndpointConfig()
    client, guest = parse_ip(addresses.ip), parse_ip(addresses.guest_ip)
    for index, payload in enumerate(payloads):
        source = FIRST_CLIENT_PORT + index % flows
        to = guest if guest_of is None else guest_of(payload)
        yield udp_frame(_NO_MAC, _NO_MAC, client, to, source, server_port, payload, index & 0xFFFF)
