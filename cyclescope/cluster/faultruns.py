# SPDX-License-Identifier: GPL-2.0-or-later
"""A cluster under faults that a seed draws: what its links do to frames, who loses power when. Each run is a function of its seed.

What must hold in every run, whatever was drawn:

- an answer is true, or there is none (`Truth`);
- the run ends: every request is answered or given up, no guest crashes or hangs;
- once the links are sound again, and where a node that clients ask and one behind it live, requests are answered;
- while gpos lives, what it acknowledged of recorders' lines and keys, and of the operator's keys, is there (records.py).
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field

import msgspec

from cyclescope.cluster.bed import ClusterBed
from cyclescope.cluster.experiment import ClusterTraffic
from cyclescope.cluster.programs import personality_of, program_of
from cyclescope.cluster.records import Records, commands, judge, recorders
from cyclescope.cluster.result import ClusterRun
from cyclescope.cluster.spec import ROUTER, Cluster, KillSpec, LinkSpec, NodeSpec
from cyclescope.cluster.topology import links_of
from cyclescope.cluster.truth import Truth
from cyclescope.experiments.phases import Progress, no_progress
from emu.errors import ConfigError, GuestError
from emu.units import PS_PER_MS

MOST_SHARE = 0.08
"""Of the frames, that a link loses, doubles, or holds back."""
SOUND = 0.4
"""Of the links, without faults."""
SPARED = {True: 0.25, False: 0.5}
"""Of the runs, in which no library OS (True) and no general-purpose node is killed."""
KEYS = 5
"""That the operator sets while requests are under way, where there are recorders."""
JOINING_MS = 500
AFTERWARDS = 24
"""Requests sent when the links are sound again."""


def drawn(cluster: Cluster, seed: int) -> Cluster:
    """The cluster with this seed's load, faulty links, and at most one library OS and one general-purpose node that lose power.

    Raises ConfigError: the load has no rate, so nobody can say when it is under way.
    """
    if cluster.load.rate is None:
        raise ConfigError(f"{cluster.where}: [load]: fault runs need a rate, to know when requests are under way")
    if cluster.kills:
        raise ConfigError(f"{cluster.where}: [[kill]]: a fault run's seed says who is killed; take it away")
    dice = random.Random(seed)
    length_us = cluster.load.requests / cluster.load.rate * 1e6
    links = tuple(_faulty(link, dice) for link in links_of(cluster))
    kills = []
    for asymmetric in (True, False):
        kind = [node for node in cluster.nodes if _asymmetric(node, cluster.where) is asymmetric]
        spared, at_us, victim = dice.random() < SPARED[asymmetric], dice.uniform(0, 1.1 * length_us), dice.random()
        if kind and not spared:
            kills.append(KillSpec(node=kind[int(victim * len(kind))].name, at_us=round(at_us, 3)))
    asks = commands(cluster, sorted(round(dice.uniform(0, length_us), 3) for _ in range(KEYS)))
    return msgspec.structs.replace(cluster, links=links, kills=tuple(kills), seed=seed, commands=asks)


def _asymmetric(node: NodeSpec, where: str) -> bool:
    try:
        return personality_of(node).kind == "asymmetric"
    except ConfigError as error:
        raise ConfigError(f"{where}: [[node]] {node.name}: {error}") from None


def _faulty(link: LinkSpec, dice: random.Random) -> LinkSpec:
    sound = dice.random() < SOUND
    loss, duplicate, reorder = (round(dice.uniform(0, MOST_SHARE), 4) for _ in range(3))
    held_us, jitter_us = round(dice.uniform(5, 60), 3), round(dice.uniform(0, 10), 3)
    if sound:
        return link
    return msgspec.structs.replace(
        link, loss=loss, duplicate=duplicate, reorder=reorder, reorder_us=held_us, jitter_us=jitter_us
    )


@dataclass
class FaultRun:
    """One run. `complaints` is empty when all held; `digest` is of everything that the run did."""

    seed: int
    kills: dict[str, float] = field(default_factory=dict)  # when [us since measuring began]; by the seed, not whether it came to it
    faults: dict[str, int] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)
    sent: int = 0
    lost: int = 0
    afterwards: dict[str, int] = field(default_factory=dict)
    records: Records = field(default_factory=Records)
    complaints: list[str] = field(default_factory=list)
    digest: str = ""


def fault_run(cluster: Cluster, seed: int, progress: Progress = no_progress) -> FaultRun:
    """Draws and runs it. What a guest does wrong is in the result; what our user does raises ConfigError."""
    this = drawn(cluster, seed)
    found = FaultRun(seed, kills={kill.node: kill.at_us for kill in this.kills})
    truth = Truth()
    with ClusterBed(this, truth.answer) as bed:
        consoles = [_Said() for _ in bed.nodes]
        for node, console in zip(bed.nodes, consoles, strict=True):
            node.on_console = console.put
        try:
            bed.boot(progress)
            _joined(bed, consoles)
            traffic = ClusterTraffic(bed, truth)
            run = traffic.measured(progress).run
            _counted(found, run)
            _recorded(found, bed, {node.name: console for node, console in zip(this.nodes, consoles, strict=True)})
            _afterwards(found, bed, traffic)
        except GuestError as error:
            found.complaints.append(str(error))
            run = None
        found.digest = _digest(found, run, [console.text for console in consoles])
    return found


def _joined(bed: ClusterBed, consoles: list[_Said]) -> None:
    """Library OSes boot sooner than gpos, and ask it again later: nothing goes wrong before all of them have joined."""
    cluster = bed.cluster
    if cluster.gpos is None:
        return
    said = consoles[cluster.nodes.index(cluster.gpos)]
    joining = (node for node in cluster.nodes if program_of(node) != ROUTER)  # a native router joins nothing
    nodes = sum(_asymmetric(node, cluster.where) for node in joining)
    for _ in range(JOINING_MS):
        if said.text.count(b" has joined as node ") >= nodes:
            return
        bed.wait(PS_PER_MS, "while nodes were to join")
    raise GuestError(f"{cluster.where}: after {JOINING_MS} ms, not all of {nodes} library OSes have joined gpos")


class _Said:
    def __init__(self) -> None:
        self.text = bytearray()

    def put(self, data: bytes, time_ps: int) -> None:
        self.text += data


def _counted(found: FaultRun, run: ClusterRun) -> None:
    for counts in run.faults.values():
        for what, count in counts.items():
            found.faults[what] = found.faults.get(what, 0) + count
    found.answers, found.sent, found.lost = run.answers, run.sent, run.lost
    if run.answers.get("wrong"):
        found.complaints.append(f"a wrong answer: {run.first_wrong}")
    if sum(run.answers.values()) + run.lost != run.sent:
        found.complaints.append(f"{run.sent} requests were sent, and {sum(run.answers.values())} answered, {run.lost} given up")


def _recorded(found: FaultRun, bed: ClusterBed, consoles: dict[str, _Said]) -> None:
    cluster = bed.cluster
    if not cluster.commands or cluster.gpos is None or not recorders(cluster):
        return
    texts = {name: consoles[name].text.decode(errors="replace") for name in recorders(cluster)}
    dead = set(bed.killed) | set(bed.ended)
    found.records, wrong = judge(texts, bed.commands.put, dead, cluster.gpos.name not in dead)
    found.complaints += wrong


def _afterwards(found: FaultRun, bed: ClusterBed, traffic: ClusterTraffic) -> None:
    """Sound links, and a few more requests."""
    for _, link in bed.links:
        for port in (link.a, link.b):
            if port.fates is not None and not port.fates.cut:
                port.fates = None
    dead = set(bed.killed) | set(bed.ended)
    cluster = bed.cluster
    alive = [node for node in cluster.nodes if node.name not in dead]
    backs = cluster.of_role("back")
    serving = all(node in alive for node in cluster.targets) and (not backs or any(node in alive for node in backs))
    traffic.truth.counts.clear()
    phase = traffic.send(AFTERWARDS, cluster.seed + 1, "afterwards")
    found.afterwards = {**dict(sorted(traffic.truth.counts.items())), "lost": phase.lost}
    if traffic.truth.counts["wrong"]:
        found.complaints.append(f"a wrong answer: {traffic.truth.first_wrong}")
    if serving and not phase.answered:
        found.complaints.append(f"with sound links and {len(alive)} nodes alive, none of {AFTERWARDS} requests was answered")


def _digest(found: FaultRun, run: ClusterRun | None, consoles: list[bytearray]) -> str:
    """Of all that is to be the same when the seed is."""
    digest = hashlib.sha256(repr(found).encode())
    if run is not None:
        for array in (run.tokens, run.start_ps, run.latency_ps, run.parts_ps):
            digest.update(array.tobytes())
        digest.update(repr([(node.instructions, node.vcpu_cycles) for node in run.nodes]).encode())
    for text in consoles:
        digest.update(bytes(text) + b"\0")
    return digest.hexdigest()[:16]
