# SPDX-License-Identifier: GPL-2.0-or-later
"""A capture as requests and recorded answers of one protocol, and what of it is no such thing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from emu.errors import ConfigError
from nic.applications import APPLICATIONS, MEMCACHED, parse_protocol
from nic.exchanges import Application, Exchange
from nic.frames import PROTO_UDP, parse_udp
from nic.memcached_udp import DEFAULT_PORT
from nic.sources.capture import read_capture

MAX_FRAME_BYTES = 1514
"""Ethernet's, which the guest's link takes: 1500 bytes behind the header."""


@dataclass(frozen=True)
class Recording:
    """Exchanges in the order of their requests, all with the server at UDP `port`; `remark`: what was passed over, or empty."""

    exchanges: tuple[Exchange, ...]
    application: Application = MEMCACHED
    port: int = DEFAULT_PORT
    remark: str = ""

    def first(self, count: int) -> Recording:
        """Its first requests alone."""
        return Recording(self.exchanges[:count], self.application, self.port, self.remark)


def load_recording(path: Path, protocol: str | None = None) -> Recording:
    """A capture's requests and answers.

    Args:
        protocol: `dns`, `dns:5353`, `raw:7`; None: the one that most datagrams go to the usual port of.

    Raises:
        ConfigError: it cannot be read, is damaged, holds no such request, or one that is no single frame on the guest's link.
    """
    frames = [(frame.time_ns, frame.data) for frame in read_capture(path)]
    application, port = parse_protocol(protocol) if protocol is not None else _found(path, frames)
    paired = application.pair(frames, port)
    if not paired.exchanges:
        raise ConfigError(f"{path}: holds no request to UDP port {port}; give another capture, or --protocol NAME:PORT")
    for number, exchange in enumerate(paired.exchanges, 1):
        if len(exchange.frame) > MAX_FRAME_BYTES:
            raise ConfigError(
                f"{path}: request {number} has {len(exchange.frame)} bytes, more than a frame of the guest's link "
                f"({MAX_FRAME_BYTES}): record over an interface with Ethernet's MTU"
            )
    return Recording(tuple(paired.exchanges), application, port, _remark(path, frames, port, paired.strays))


def _found(path: Path, frames: Iterable[tuple[int, bytes]]) -> tuple[Application, int]:
    """The protocol by its usual port; of several the one with most datagrams to it, then the table's first."""
    asked = Counter(udp.dst_port for _, frame in frames if (udp := parse_udp(frame)) is not None)
    known = [each for each in APPLICATIONS if each.port]
    best = max(known, key=lambda each: asked[each.port])
    if not asked[best.port]:
        ports = ", ".join(f"{each.port} ({each.name})" for each in known)
        raise ConfigError(
            f"{path}: holds no request to UDP port {ports}; say --protocol raw:PORT, or give another capture"
        )
    return best, best.port


def _remark(path: Path, frames: Iterable[tuple[int, bytes]], port: int, strays: int) -> str:
    """What there was beside whole datagrams of IPv4: other traffic than UDP is nobody's business."""
    passed: Counter[str] = Counter()
    first = 0
    for number, (_, frame) in enumerate(frames, 1):
        kind = _broken(frame)
        if kind:
            passed[kind] += 1
            first = first or number
    if strays:
        passed[f"datagrams from port {port} that answer no request"] = strays
    if not passed:
        return ""
    listed = ", ".join(f"{count:,} {kind}" for kind, count in sorted(passed.items()))
    return f"{path}: passed over: {listed}" + (f" (the first is packet {first})" if first else "")


def _broken(frame: bytes) -> str:
    if frame[12:14] == b"\x86\xdd" and len(frame) >= 54:
        return "UDP datagrams over IPv6" if frame[20] == PROTO_UDP else ""
    if frame[12:14] != b"\x08\x00" or len(frame) < 34 or frame[23] != PROTO_UDP or parse_udp(frame) is not None:
        return ""
    return "fragments of IP packets" if frame[20] & 0x3F or frame[21] else "UDP datagrams shorter than they say"
