# SPDX-License-Identifier: GPL-2.0-or-later
"""What a cluster is: nodes, links, switches, what goes wrong, the load. Frozen; check.py says what does not fit together.

docs/cluster.md explains the fields; file.py reads them from TOML.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from cyclescope.cluster.operator import CommandSpec
from cyclescope.cluster.poolspec import PoolSpec
from cyclescope.config import DEFAULT_TIMING
from nic.matching import EndpointConfig

CLIENT = "client"
"""The load's source, as links and captures name it."""
CLIENT_IP = EndpointConfig().ip
MAX_NODES = 64
"""Machines in one World, those that were freed among them."""
FIRST_IP = 15
ROUTER, STORE, GPOS = "kvd_router", "kvd", "gpos"
Spread = Literal["modulo", "consistent"]


def ip_of_number(number: int) -> str:
    """Of a machine without an address of its own."""
    return f"10.0.2.{FIRST_IP + number}"


def mac_of_number(number: int) -> str:
    """Likewise."""
    return f"52:54:00:12:34:{(0x56 + number) & 0xFF:02x}"


class NodeSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One machine.

    Attributes:
        role: `front`, `back`, or any word; nodes of a role share a column of the table.
        program: None: kvd_router for the role front, else kvd.
        runs: with the program gpos: what it starts beside itself; None: kvd_router for the role front, else nothing.
        arguments: the program's words (with gpos: those of what it runs); None: those for its role.
        words: further `key=value` words: for a libos kernel's command line, or gpos's own.
        files: with linux: the user's own files and folders, by their places in the guest.
        ready: with linux: by what the node is known to serve, `udp PORT` or `asleep`; None: as the personality thinks.
        ip, mac: None: 10.0.2.15 and up, 52:54:00:12:34:56 and up, in the order of nodes.
    """

    name: str
    personality: str = "linux_like"
    knobs: tuple[str, ...] = ()
    program: str | None = None
    runs: str | None = None
    words: tuple[str, ...] = ()
    arguments: tuple[str, ...] | None = None
    files: dict[str, str] = {}
    ready: str | None = None
    role: str = "server"
    vcpus: int = 2
    memory_mib: int = 128
    uarch: str = "skylake_sp"
    ip: str | None = None
    mac: str | None = None


class LinkSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A link between a node (or `client`, or a switch) and a switch; `down_us`: intervals since measuring began.

    Faults begin with the measured requests. Shares are of the frames, each way.
    """

    ends: tuple[str, str]
    rate_bps: int = 10_000_000_000
    propagation_ns: int = 50
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    reorder_us: float = 20.0
    jitter_us: float = 0.0
    down_us: tuple[tuple[float, float], ...] = ()


class SwitchSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A learning switch."""

    name: str = "switch"
    forwarding_ns: int = 1_000
    queue_kib: int = 512


class KillSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A node loses its power, so many microseconds after measuring began."""

    node: str
    at_us: float


class ClusterLoad(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """memcached requests of the ETC distributions, from one client.

    Attributes:
        to: nodes that the keys are spread over; empty: those of role front, or else all.
        rate: requests/s of the open loop, Poisson; or
        closed: requests kept outstanding; or
        steps: (time since measuring began [us], requests/s from then on), Poisson; the last rate is 0, and ends the load
            (`requests` does not count then). Warm-up has the first rate.
        timeout_us: when an unanswered request counts as lost.
    """

    requests: int = 2_000
    warmup: int = 200
    keys: int = 1_000
    flows: int = 64
    rate: float | None = None
    closed: int | None = None
    steps: tuple[tuple[float, float], ...] = ()
    to: tuple[str, ...] = ()
    spread: Spread = "modulo"
    timeout_us: float = 20_000.0


class Cluster(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of it; `where` begins messages: the file it comes from."""

    nodes: tuple[NodeSpec, ...]
    links: tuple[LinkSpec, ...] = ()
    switches: tuple[SwitchSpec, ...] = (SwitchSpec(),)
    kills: tuple[KillSpec, ...] = ()
    commands: tuple[CommandSpec, ...] = ()
    pools: tuple[PoolSpec, ...] = ()
    load: ClusterLoad = ClusterLoad(closed=16)
    name: str = "cluster"
    seed: int = 1
    timing: str = DEFAULT_TIMING
    where: str = "the cluster"

    def of_role(self, role: str) -> tuple[NodeSpec, ...]:
        """Nodes in the order given."""
        return tuple(node for node in self.nodes if node.role == role)

    @property
    def targets(self) -> tuple[NodeSpec, ...]:
        """Nodes that the client sends to."""
        if self.load.to:
            return tuple(node for name in self.load.to for node in self.nodes if node.name == name)
        return self.of_role("front") or self.nodes

    @property
    def gpos(self) -> NodeSpec | None:
        """The node whose program is gpos."""
        return next((node for node in self.nodes if node.program == GPOS), None)

    def number_of(self, node: NodeSpec) -> int:
        """As nodes call each other: 0 is gpos's, others count from 1 in the order given; a pool's machines count on."""
        if node.program == GPOS:
            return 0
        place = self.nodes.index(node) if node in self.nodes else int(self.ip_of(node).rpartition(".")[2]) - FIRST_IP
        return place + (self.gpos is not None and place < self.nodes.index(self.gpos))

    def ip_of(self, node: NodeSpec) -> str:
        """As given, or by its place."""
        return node.ip or ip_of_number(self.nodes.index(node))

    def mac_of(self, node: NodeSpec) -> str:
        """As given, or by its place."""
        return node.mac or mac_of_number(self.nodes.index(node))

    @property
    def most_machines(self) -> int:
        """Nodes, and all that pools may start."""
        return len(self.nodes) + sum(pool.most_starts for pool in self.pools)
