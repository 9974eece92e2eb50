# SPDX-License-Identifier: GPL-2.0-or-later
"""How a cluster scales with its nodes: the same load on more and more of them, each size booted once and measured three times.

As `scale` does with vCPUs: **one** request at a time; **full**, a closed loop of OUTSTANDING_PER_CPU requests for each vCPU of the
nodes that grow in number, whose rate is the capacity; **near**, an open loop at a share of that. The load has as many keys and
requests for each of those nodes as the file says.

What grows: the file's only node of role back, or else its only node; the client spreads keys over the targets, as in any run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np

from cyclescope.cluster.bed import ClusterBed
from cyclescope.cluster.check import check_cluster
from cyclescope.cluster.experiment import ClusterTraffic
from cyclescope.cluster.host import available_mib, check_memory
from cyclescope.cluster.spec import MAX_NODES, Cluster, ClusterLoad, NodeSpec
from cyclescope.experiments.compare import OUTSTANDING_PER_CPU
from cyclescope.experiments.phases import Progress
from emu.errors import ConfigError

ALONE = 100
"""Requests of `one`."""


@dataclass(frozen=True)
class Measured:
    """One load on one size. Latencies in nanoseconds; cycles are busy ones of all nodes, a request answered."""

    rate_rps: float
    mean_ns: float
    p99_ns: float
    answered: int
    lost: int
    cycles: float


@dataclass(frozen=True)
class ScaledCluster:
    """One file with so many nodes."""

    name: str
    nodes: int
    personality: str
    one: Measured
    full: Measured
    near: Measured

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def grown(cluster: Cluster, nodes: int) -> Cluster:
    """The cluster with so many of the node that grows. Raises ConfigError: there is none, or several that might."""
    backs = cluster.of_role("back") or cluster.nodes
    if len(backs) != 1:
        raise ConfigError(f"{cluster.where}: {len(backs)} nodes might grow in number; give one [[node]] of role back")
    one = backs[0]
    if one.ip or one.mac or cluster.kills or cluster.pools or any(one.name in link.ends for link in cluster.links):
        raise ConfigError(f"{cluster.where}: {one.name} stands for many: give it no address, [[link]], [[kill]] or [[pool]]")
    many = tuple(msgspec.structs.replace(one, name=f"{one.name}{number}") for number in range(1, nodes + 1))
    rest = tuple(node for node in cluster.nodes if node is not one)
    load = cluster.load
    load = msgspec.structs.replace(
        load, requests=load.requests * nodes, warmup=load.warmup * nodes, keys=load.keys * nodes, rate=None, steps=(), closed=1
    )
    return msgspec.structs.replace(cluster, nodes=rest + many, load=load)


@dataclass(frozen=True)
class Size:
    """Everything one ScaledCluster needs, as a value that can travel to another process."""

    cluster: Cluster
    nodes: int
    share: float


def sizes(clusters: Sequence[Cluster], counts: Sequence[int], share: float) -> list[Size]:
    """All that are to be measured, checked. Raises ConfigError."""
    if not counts or counts[0] < 1 or counts[-1] > MAX_NODES or any(a >= b for a, b in pairwise(counts)):
        raise ConfigError(f"--nodes: give rising numbers of nodes up to {MAX_NODES}, each once, such as 1,2,4,8,16")
    if not 0 < share <= 1:
        raise ConfigError(f"--load is {share:g}: give a share of the capacity, above 0 and up to 1")
    for cluster in clusters:
        for count in counts:
            whole = grown(cluster, count)
            check_cluster(whole)
            check_memory(whole, available_mib())
    return [Size(cluster, count, share) for cluster in clusters for count in counts]


def measure(size: Size, progress: Progress) -> ScaledCluster:
    """Boot it and take its three measurements."""
    whole = grown(size.cluster, size.nodes)
    growing = whole.of_role("back") or whole.nodes
    load = whole.load
    with ClusterBed(whole) as bed:
        bed.boot(progress)
        traffic = ClusterTraffic(bed)
        traffic.prepare(progress)
        one = _measured(traffic, msgspec.structs.replace(load, requests=ALONE), 2, progress)
        outstanding = OUTSTANDING_PER_CPU * sum(node.vcpus for node in growing)
        full = _measured(traffic, msgspec.structs.replace(load, closed=outstanding), 3, progress)
        rate = full.rate_rps * size.share
        near = _measured(traffic, msgspec.structs.replace(load, closed=None, rate=rate), 4, progress)
    return ScaledCluster(size.cluster.name, size.nodes, _system(growing[0]), one, full, near)


def _system(node: NodeSpec) -> str:
    return "+".join([node.personality, *node.knobs])


def _measured(traffic: ClusterTraffic, load: ClusterLoad, seed: int, progress: Progress) -> Measured:
    bed = traffic.bed
    traffic.load = load
    before = [node.snapshot() for node in bed.nodes]
    phase = traffic.send(load.requests, seed, "measuring", progress)
    accounts = [node.accounts(earlier, node.snapshot()) for node, earlier in zip(bed.nodes, before, strict=True)]
    places = slice(phase.first, phase.first + phase.count)
    starts, ends = (np.array(times[places], np.int64) for times in (bed.client.starts_ps, bed.client.ends_ps))
    latency_ps = (ends - starts)[ends > 0]
    if not latency_ps.size:
        raise ConfigError(f"{traffic.cluster.where}: none of {phase.count} requests was answered")
    idle = sum(sum(each.cycles().get("idle", {}).values()) for each in accounts)
    busy = sum(sum(each.vcpu_cycles) for each in accounts) - idle
    return Measured(
        phase.rate_rps, float(latency_ps.mean()) / 1000, float(np.percentile(latency_ps, 99)) / 1000, phase.answered, phase.lost,
        busy / phase.answered,
    )  # fmt: skip
