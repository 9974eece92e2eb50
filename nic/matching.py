# SPDX-License-Identifier: GPL-2.0-or-later
"""How the client finds the request that a datagram answers, and the client's addresses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from emu.errors import ConfigError
from emu.state import Data, State, checked, plain
from emu.units import PS_PER_S
from nic.frames import Udp, parse_ip, parse_mac, parse_udp


class Matcher(Protocol):
    """How a protocol's answers find their requests. Keys are any integers >= 0; -1: not one of ours."""

    def request_key(self, frame: bytes) -> int: ...
    def answer_key(self, datagram: Udp) -> int: ...
    def feed(self, key: int, datagram: Udp) -> bytes | None: ...
    def forget(self, key: int) -> None: ...
    def save(self) -> Data: ...
    def restore(self, data: Data) -> None: ...


class PortMatcher:
    """For plain UDP services: one datagram answers the request sent from the same client port."""

    def request_key(self, frame: bytes) -> int:
        """The client's port."""
        udp = parse_udp(frame)
        return udp.src_port if udp is not None else -1

    def answer_key(self, datagram: Udp) -> int:
        """The client's port."""
        return datagram.dst_port

    def feed(self, key: int, datagram: Udp) -> bytes | None:
        """The datagram is the answer."""
        return datagram.payload

    def forget(self, key: int) -> None:
        """Nothing is kept."""

    def save(self) -> Data:
        """Nothing."""
        return plain(State())

    def restore(self, data: Data) -> None:
        """Nothing either. Raises BadSnapshot when there is something."""
        checked(State, data, "the client's matcher")


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """Addresses as text; `guest_mac` None: ask by ARP. `timeout_ps`: when an unanswered request counts as lost.

    `other_ips`: further guests that frames may be for.
    """

    mac: str = "52:54:00:00:00:02"
    ip: str = "10.0.2.2"
    guest_mac: str | None = None
    guest_ip: str = "10.0.2.15"
    timeout_ps: int = PS_PER_S // 5
    first_token: int = 1
    other_ips: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        try:
            parse_mac(self.mac), parse_mac(self.guest_mac or self.mac), parse_ip(self.ip), parse_ip(self.guest_ip)
            [parse_ip(address) for address in self.other_ips]
        except ValueError as error:
            raise ConfigError(f"the client's or guest's address is wrong: {error}") from None
        if self.timeout_ps <= 0 or self.first_token <= 0:
            raise ConfigError("the client's timeout and first token must be above 0")
