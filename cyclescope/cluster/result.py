# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run of a cluster yields."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cyclescope.cluster.spec import Cluster
from cyclescope.cluster.timeline import Timeline
from cyclescope.result import Host, Int64
from emu.errors import EmuBug
from emu.ledger.requests import BETWEEN
from nic.ports import Frame


@dataclass(frozen=True)
class NodeRun:
    """One machine's cycles over the measured interval: component -> cause -> cycles; they sum to its vCPUs' time."""

    name: str
    role: str
    personality: str
    vcpu_cycles: tuple[int, ...]
    cycles: dict[str, dict[str, int]]
    instructions: int
    unmapped: tuple[tuple[str, int], ...]
    flame: str

    @property
    def busy_cycles(self) -> int:
        """All but component `idle`."""
        return sum(self.vcpu_cycles) - sum(self.cycles.get("idle", {}).values())


@dataclass(frozen=True)
class CommandRun:
    """A question of the operator's and the guest's answer; times in ps since measuring began, None: there was no answer."""

    command: str
    asked_ps: int
    answered_ps: int | None
    done: bool
    answer: str


@dataclass(frozen=True)
class ClusterRun:
    """Measured requests and nodes; the host has no part in it.

    Attributes:
        tokens, latency_ps, start_ps: [requests], in the order in which they ended.
        part_names, places: of parts_ps' columns; a place is a node's number, or -1: between nodes.
        parts_ps: [requests, columns]; rows sum to the latency.
        answers: what the answers were: hit, miss, stored, refused, wrong.
        faults: by link, what its faults did; drops: frames that found a switch's queue full.
        killed, ended: when nodes lost their power, or ended their run by themselves, after measuring began [ps].
    """

    cluster: Cluster
    config_hash: str
    tokens: NDArray[np.uint64]
    latency_ps: Int64
    start_ps: Int64
    part_names: tuple[str, ...]
    places: tuple[int, ...]
    parts_ps: Int64
    nodes: tuple[NodeRun, ...]
    sent: int
    lost: int
    rate_rps: float
    answers: dict[str, int]
    first_wrong: str
    faults: dict[str, dict[str, int]]
    drops: int
    killed: dict[str, int]
    ended: dict[str, int]
    commands: tuple[CommandRun, ...]
    inputs: dict[str, str]
    timeline: Timeline

    def of_places(self, places: set[int]) -> list[int]:
        """Columns had there."""
        return [column for column, place in enumerate(self.places) if place in places]

    def groups(self) -> dict[str, set[int]]:
        """Places of each role in order of nodes, and those between nodes, under an empty name."""
        found: dict[str, set[int]] = {"": {BETWEEN}}
        for place, node in enumerate(self.nodes):
            found.setdefault(node.role, set()).add(place)
        return found

    def check(self) -> None:
        """Raises EmuBug when a sum does not come out."""
        if (self.parts_ps.sum(axis=1) != self.latency_ps).any() or (self.parts_ps < 0).any():
            raise EmuBug(f"{self.cluster.name}: the parts of a request do not sum to its latency, or one is negative")
        for node in self.nodes:
            if sum(sum(causes.values()) for causes in node.cycles.values()) != sum(node.vcpu_cycles):
                raise EmuBug(f"{self.cluster.name}: the causes' cycles of {node.name} do not sum to its vCPUs' time")


@dataclass(frozen=True)
class ClusterOutcome:
    """A run, what it cost the host, and each switch port's frames (when they were asked for)."""

    run: ClusterRun
    host: Host
    capture: dict[str, list[tuple[int, str, Frame]]]
