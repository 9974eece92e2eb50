# SPDX-License-Identifier: GPL-2.0-or-later
"""A cluster file's commands, put by the operator: those with a time when it comes, the others once the load is over."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cyclescope.cluster.operator import OPERATOR, Command, Operator
from cyclescope.cluster.spec import Cluster
from emu.units import PS_PER_MS, PS_PER_US
from emu.world import World
from nic.ports import Payload, Sender


class Commands:
    """Of a bed.

    Args:
        near: the ends of links by who has them; the operator's is there if there are commands.
        wait: the bed's.
    """

    def __init__(self, cluster: Cluster, world: World, near: Mapping[str, Sender], wait: Callable[[int], None]) -> None:
        self._specs, self._world, self._wait = cluster.commands, world, wait
        self._operator: Operator | None = None
        self._settling = False
        if cluster.commands and cluster.gpos is not None:
            self._operator = Operator(cluster.ip_of(cluster.gpos), world, near[OPERATOR], self._answered)
            world.register("do", self._do)

    @property
    def put(self) -> list[Command]:
        """Those that were put, in that order."""
        return [] if self._operator is None else self._operator.commands

    def begin(self) -> None:
        """Those with a time are put when they are due, from now on."""
        for number, command in enumerate(self._specs):
            if command.at_us is not None:
                self._world.schedule(self._world.now_ps + round(command.at_us * PS_PER_US), "do", "now", (number,))

    def end(self) -> None:
        """Those that are still to be put, one after the other, and all answers that are still to come, or are given up."""
        if self._operator is None:
            return
        while len(self.put) < sum(command.at_us is not None for command in self._specs):
            self._wait(PS_PER_MS)
        for number, command in enumerate(self._specs):
            self._settle()
            if command.at_us is None:
                self._ask(number, self._world.now_ps)
        self._settle()

    def _do(self, time_ps: int, tag: str, payload: Payload) -> None:
        self._ask(payload[0], time_ps)

    def _ask(self, number: int, time_ps: int) -> None:
        assert self._operator is not None
        self._operator.ask(self._specs[number].command, time_ps)

    def _settle(self) -> None:
        while not all(command.over for command in self.put):
            self._settling = True
            self._wait(100 * PS_PER_MS)
            self._settling = False

    def _answered(self, command: Command) -> None:
        if self._settling:
            self._world.stop()
