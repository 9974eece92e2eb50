# SPDX-License-Identifier: GPL-2.0-or-later
"""Address resolution (RFC 826, published) at a client: answer for our address, and find one neighbour's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Annotated

from msgspec import Meta

from emu.state import Data, State, checked, need, plain
from emu.units import PS_PER_S
from nic.frames import Arp, arp_frame, parse_arp
from nic.ports import Clock, Frame, Sender

_RETRY_PS = PS_PER_S // 10
_NO_MAC = b"\0" * 6


class NeighboursState(State):
    """The neighbour's address, empty while it is not known, and whether we ask for it."""

    mac: Annotated[bytes, Meta(max_length=6)]
    asking: bool


class Neighbours:
    """Asks every 100 ms until answered; `found(time_ps)` is called once, when the neighbour's address is known.

    Its event is `ask`, of device `name`: whoever registers that device calls `ask`.
    """

    def __init__(
        self,
        name: str,
        mac: bytes,
        ip: bytes,
        neighbour_ip: bytes,
        neighbour_mac: bytes,
        clock: Clock,
        sender: Sender,
        found: Callable[[int], None],
        counters: Counter[str],
    ) -> None:
        self.mac = neighbour_mac  # empty: not known
        self._counters = counters
        self._name, self._mac, self._ip, self._neighbour_ip = name, mac, ip, neighbour_ip
        self._clock, self._sender, self._found = clock, sender, found
        self._asking = False

    def save(self) -> Data:
        """What is known."""
        return plain(NeighboursState(self.mac, self._asking))

    def restore(self, data: Data) -> None:
        """Take it. Raises BadSnapshot."""
        state = checked(NeighboursState, data, self._name)
        need(len(state.mac) in (0, 6), self._name, "an address of the guest")
        self.mac, self._asking = state.mac, state.asking

    def start(self, time_ps: int) -> None:
        """Begin to ask, unless that has been done."""
        if not self._asking:
            self.ask(time_ps)

    def ask(self, time_ps: int) -> None:
        """Ask, and again in 100 ms."""
        if self.mac:
            return
        self._asking = True
        self._sender.send(Frame(arp_frame(Arp(True, self._mac, self._ip, _NO_MAC, self._neighbour_ip))), time_ps)
        self._clock.schedule(time_ps + _RETRY_PS, self._name, "ask", ())

    def receive(self, data: bytes, time_ps: int) -> Arp | None:
        """A frame that may be ARP; None if it is not."""
        arp = parse_arp(data)
        if arp is None:
            return None
        if arp.request and arp.target_ip == self._ip:
            self._counters["arp_answered"] += 1
            self._sender.send(Frame(arp_frame(Arp(False, self._mac, self._ip, arp.sender_mac, arp.sender_ip))), time_ps)
        self.learn(arp, time_ps)
        return arp

    def learn(self, arp: Arp, time_ps: int) -> None:
        """Take the neighbour's address, if this has it."""
        if arp.sender_ip == self._neighbour_ip and not self.mac:
            self.mac = arp.sender_mac
            self._found(time_ps)
