# SPDX-License-Identifier: GPL-2.0-or-later
"""Running a cluster: boot all nodes, store the keys, warm up, measure. Faults begin with the measured requests."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from cyclescope.cluster.bed import Capture, ClusterBed
from cyclescope.cluster.check import check_cluster
from cyclescope.cluster.follow import accounts_since
from cyclescope.cluster.host import available_mib, check_memory
from cyclescope.cluster.programs import hardware_of
from cyclescope.cluster.result import ClusterOutcome, ClusterRun, CommandRun, NodeRun
from cyclescope.cluster.spec import Cluster, NodeSpec
from cyclescope.cluster.timeline import Timeline, timeline
from cyclescope.cluster.topology import links_of
from cyclescope.cluster.truth import Truth, request_of
from cyclescope.config import config_hash
from cyclescope.experiments.compare import PRELOAD_OUTSTANDING
from cyclescope.experiments.inputs import digests, input_files
from cyclescope.experiments.node import Node
from cyclescope.experiments.phases import Phase, Progress, no_progress
from cyclescope.experiments.workload import frames
from cyclescope.result import Host
from emu.errors import GuestError
from emu.ledger.accounts import Accounts
from emu.ledger.flame import collapsed
from emu.units import PS_PER_US
from nic.frames import parse_ip
from nic.sharding import sharding
from nic.sources.arrivals import poisson, steps
from nic.sources.etc import EtcLoad


def run_cluster(
    cluster: Cluster, *, keep_wire: bool = False, progress: Progress = no_progress,
    on_measuring: Callable[[ClusterBed], object] = lambda bed: None,
) -> ClusterOutcome:  # fmt: skip
    """Runs it; `on_measuring` is called when the measured requests are about to begin.

    Raises:
        ConfigError: something in it does not fit, or this computer has too little memory.
        GuestError: a guest crashed or hung, a key could not be stored, or nothing was answered and nothing was to go wrong.
    """
    check_cluster(cluster)
    links_of(cluster)
    for node in cluster.nodes:
        hardware_of(node).check()
    check_memory(cluster, available_mib())
    capture: Capture | None = {} if keep_wire else None
    truth = Truth()
    with ClusterBed(cluster, truth.answer, capture) as bed:
        bed.boot(progress)
        return ClusterTraffic(bed, truth).measured(progress, on_measuring)


class ClusterTraffic:
    """The client's requests to a booted cluster: `prepare` stores the keys and warms up, `send` is a phase."""

    def __init__(self, bed: ClusterBed, truth: Truth | None = None) -> None:
        self.bed, self.truth, self.cluster = bed, truth or Truth(), bed.cluster
        self.load = bed.cluster.load  # of the phases to come: how requests arrive
        self.traffic = EtcLoad(self.cluster.seed, self.cluster.load.keys)
        targets = self.cluster.targets
        self.addresses = [parse_ip(self.cluster.ip_of(node)) for node in targets]
        self.server_of = sharding(self.cluster.load.spread, [node.name for node in targets])

    def _frames(self, datagrams: Iterable[bytes]) -> Iterator[bytes]:
        def guest_of(datagram: bytes) -> bytes:
            request = request_of(datagram)
            self.truth.ask(request)
            return self.addresses[self.server_of(request.key)]

        return frames(datagrams, self.cluster.load.flows, guest_of=guest_of)

    def send(self, count: int, seed: int, label: str, progress: Progress = no_progress) -> Phase:
        """So many more requests, as `load` says they come; `seed` draws their times."""
        load, bed = self.load, self.bed
        sent = self._frames(self.traffic.requests(count))
        if load.rate is None and not load.steps:
            return bed.send(count, sent, label, progress, closed=load.closed or 1)
        times = poisson(count, load.rate or load.steps[0][1], seed, bed.world.now_ps)
        return bed.send(count, sent, label, progress, times_ps=times.tolist())

    def _measure(self, progress: Progress) -> Phase:
        """The measured requests: so many, or as many as the load's steps come to."""
        load, bed, seed = self.cluster.load, self.bed, self.cluster.seed
        if not load.steps:
            return self.send(load.requests, seed, "measuring", progress)
        *rates, (end_us, _) = [(round(at * PS_PER_US), rate) for at, rate in load.steps]
        times = steps(rates, end_us, seed, bed.world.now_ps).tolist()
        sent = self._frames(self.traffic.requests(len(times)))
        return bed.send(len(times), sent, "measuring", progress, times_ps=times)

    def prepare(self, progress: Progress = no_progress) -> None:
        """Raises GuestError: a key could not be stored."""
        bed, cluster, load = self.bed, self.cluster, self.cluster.load
        stored = self._frames(self.traffic.preload())
        phase = bed.send(load.keys, stored, "storing the keys", progress, closed=PRELOAD_OUTSTANDING)
        if phase.lost:
            raise GuestError(f"{cluster.where}: {phase.lost} of {phase.count} keys could not be stored")
        if load.warmup:
            self.send(load.warmup, cluster.seed + 1, "warming up", progress)

    def measured(
        self, progress: Progress = no_progress, on_measuring: Callable[[ClusterBed], object] = lambda bed: None
    ) -> ClusterOutcome:
        """All phases; the last is what is reported."""
        bed, cluster = self.bed, self.cluster
        self.prepare(progress)
        before = [node.snapshot() for node in bed.nodes]
        self.truth.counts.clear()
        bed.capturing = True
        begun, cpu, host_s, events = time.perf_counter(), time.process_time(), bed.host_s, bed.world.events
        start_ps = bed.world.now_ps
        bed.begin_faults()
        bed.commands.begin()
        on_measuring(bed)
        phase = self._measure(progress)
        wall_s, cpu_s, in_guest_s = time.perf_counter() - begun, time.process_time() - cpu, bed.host_s - host_s
        bed.capturing = False
        accounts = accounts_since(bed, before)
        bed.commands.end()
        if not phase.answered and not cluster.kills and not bed.faults():
            raise GuestError(f"{cluster.where}: none of {phase.count} requests was answered")
        run = self._run(phase, accounts, start_ps)
        run.check()
        instructions = sum(each.instructions for each in accounts)
        host = Host(
            wall_s=wall_s, cpu_s=cpu_s, mips=instructions / max(in_guest_s, 1e-9) / 1e6, events=bed.world.events - events,
            peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        )  # fmt: skip
        return ClusterOutcome(run, host, bed.capture or {})

    def _run(self, phase: Phase, accounts: list[Accounts], start_ps: int) -> ClusterRun:
        bed, cluster = self.bed, self.cluster
        table = bed.requests.table()
        first = bed.client.config.first_token + phase.first
        mine = (table.token >= first) & (table.token < first + phase.count)
        columns = [i for i in range(len(table.part_names)) if table.parts_ps[mine, i].any()]
        return ClusterRun(
            cluster=cluster,
            config_hash=config_hash(msgspec.structs.replace(cluster, name="", where="")),
            tokens=table.token[mine],
            latency_ps=(table.end_ps - table.start_ps)[mine],
            start_ps=table.start_ps[mine],
            part_names=tuple(table.part_names[i] for i in columns),
            places=tuple(table.places[i] for i in columns),
            parts_ps=table.parts_ps[mine][:, columns],
            nodes=tuple(_node_run(*each) for each in zip(bed.specs, bed.nodes, accounts, strict=True)),
            sent=phase.count,
            lost=phase.lost,
            rate_rps=cluster.load.rate or phase.rate_rps,
            timeline=self._timeline(phase, start_ps),
            answers=dict(sorted(self.truth.counts.items())),
            first_wrong=self.truth.first_wrong,
            faults=bed.faults(),
            drops=sum(switch.drops for switch in bed.switches.values()),
            killed={name: when - start_ps for name, when in bed.killed.items()},
            ended={name: when - start_ps for name, when in bed.ended.items()},
            commands=_commands(bed, start_ps),
            inputs=_inputs(bed.nodes),
        )

    def _timeline(self, phase: Phase, start_ps: int) -> Timeline:
        bed, own = self.bed, len(self.cluster.nodes)
        requests = range(phase.first, phase.first + phase.count)
        kinds = [self.truth.kinds.get(index, "") for index in requests]
        starts, ends = (times[phase.first : phase.first + phase.count] for times in (bed.client.starts_ps, bed.client.ends_ps))
        lives = bed.pools.lives if bed.pools is not None else []
        killed = {name: when for name, when in bed.killed.items() if name in [node.name for node in self.cluster.nodes]}
        return timeline(starts, ends, kinds, start_ps, lives, own, killed)


def _commands(bed: ClusterBed, start_ps: int) -> tuple[CommandRun, ...]:
    return tuple(
        CommandRun(
            command=each.text,
            asked_ps=each.asked_ps - start_ps,
            answered_ps=None if each.answered_ps is None else each.answered_ps - start_ps,
            done=each.done,
            answer=each.answer,
        )
        for each in bed.commands.put
    )


def _node_run(spec: NodeSpec, node: Node, accounts: Accounts) -> NodeRun:
    return NodeRun(
        name=spec.name,
        role=spec.role,
        personality=node.personality.name,
        vcpu_cycles=accounts.vcpu_cycles,
        cycles=accounts.cycles(),
        instructions=accounts.instructions,
        unmapped=accounts.unmapped(),
        flame=collapsed(spec.name, accounts),
    )


def _inputs(nodes: Iterable[Node]) -> dict[str, str]:
    """SHA-256 of every file that the nodes are made of."""
    files: dict[str, Path] = {}
    for node in nodes:
        manifest = node.manifest.path
        own = input_files(node.spec, manifest, node.hardware.uarch)
        del own[manifest.name]  # each personality has one of that name
        files |= own | {f"{node.personality.folder.name}/{manifest.name}": manifest}
    return digests(files)
