# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames from any iterable of Scapy packets (or bytes), built as they are needed.

Building a packet is Scapy's work and slow beside everything else here; captures are read raw instead (`nic.sources.capture`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from emu.errors import ConfigError

_ETHERNET = bytes(12) + b"\x08\x00"


def frames_of(packets: Iterable[Any]) -> Iterator[bytes]:
    """Ethernet frames of Scapy packets. A packet that starts at IP gets an Ethernet header (addresses zero: the endpoint's job).

    Raises ConfigError for what is neither an Ethernet nor an IPv4 packet, nor bytes.
    """
    for place, packet in enumerate(packets):
        if isinstance(packet, (bytes, bytearray, memoryview)):
            yield bytes(packet)
            continue
        layer = type(packet).__name__
        if layer not in ("Ether", "IP"):
            raise ConfigError(
                f"packet {place} starts with {layer}: give Scapy packets that start with Ether or IP, or bytes"
            )
        try:
            data = bytes(packet)
        except Exception as error:  # a field Scapy cannot build; its message names it
            raise ConfigError(f"packet {place} cannot be built by Scapy: {error}") from None
        yield data if layer == "Ether" else _ETHERNET + data
