# SPDX-License-Identifier: GPL-2.0-or-later
"""The usual wiring: a switch, and a link from it to each thing that joins."""

from __future__ import annotations

from emu.state import Data, State, checked, need, plain
from nic.link import Link, LinkConfig, Port
from nic.ports import Clock, Requests
from nic.switch import CrossTraffic, Switch, SwitchConfig


class StarState(State):
    """The switch, and the links by name."""

    switch: Data
    links: dict[str, Data]


class Star:
    """One switch in the middle. `join` returns the far end of a new link: the `sender` of a NIC or an endpoint."""

    def __init__(self, clock: Clock, requests: Requests, config: SwitchConfig | None = None) -> None:
        self._clock = clock
        self._requests = requests
        self.switch = Switch(requests, config)
        self.links: list[Link] = []

    def save(self) -> Data:
        """The switch and the links."""
        return plain(StarState(self.switch.save(), {link.name: link.save() for link in self.links}))

    def restore(self, data: Data) -> None:
        """Take them. Raises BadSnapshot."""
        state = checked(StarState, data, "the network")
        need(state.links.keys() == {link.name for link in self.links}, "the network", "other links")
        self.switch.restore(state.switch)
        for link in self.links:
            link.restore(state.links[link.name])

    def join(self, name: str, config: LinkConfig | None = None, cross_traffic: CrossTraffic | None = None) -> Port:
        """Add a link called link.`name` (unique in the world); `cross_traffic` shares the switch's output to it."""
        link = Link(self._clock, self._requests, f"link.{name}", config)
        self.switch.connect(link.b, cross_traffic)
        self.links.append(link)
        return link.a
