# SPDX-License-Identifier: GPL-2.0-or-later
"""A cluster without a load: its programs do what they do, and one node's console says what was done by when.

A *step* ends with each line of that node that begins with a prefix. What each node's vCPUs did in between is its ledgers'
difference: a step has the cycles of everything that ran meanwhile, also of what has nothing to do with it. A line is seen when
its last byte leaves the serial port.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cyclescope.cluster.bed import ClusterBed
from cyclescope.cluster.check import check_cluster
from cyclescope.cluster.host import available_mib, check_memory
from cyclescope.cluster.spec import Cluster
from cyclescope.cluster.topology import links_of
from cyclescope.experiments.phases import Progress, no_progress
from emu.errors import ConfigError, GuestError
from emu.ledger.accounts import Accounts, Snapshot, later_of
from emu.units import PS_PER_MS
from emu.world import Reason

IDLE = "idle"


@dataclass(frozen=True)
class Step:
    """What happened up to a line.

    Attributes:
        cycles: by node and component, idle ones left out; of nodes that had power in it.
        machines: that have power now.
        frames, frame_bytes: that machines sent.
    """

    line: str
    start_ps: int
    end_ps: int
    cycles: dict[str, dict[str, int]]
    machines: int
    frames: int
    frame_bytes: int


@dataclass
class Followed:
    """A run: its steps, all console lines of the cluster's own nodes as (time [ps], node, line), each node's role, and whether
    its end came."""

    steps: list[Step] = field(default_factory=list)
    console: list[tuple[int, str, str]] = field(default_factory=list)
    roles: dict[str, str] = field(default_factory=dict)
    ended: bool = False


def follow_cluster(
    cluster: Cluster, node: str, prefix: str, until: str, limit_ms: float, progress: Progress = no_progress
) -> Followed:
    """Boot it, and follow that node's console to a line that holds `until`, at most for so long after the boot.

    Faults, kills and timed commands begin when all are booted. Raises ConfigError, and GuestError when a guest breaks down.
    """
    check_cluster(cluster)
    links_of(cluster)
    check_memory(cluster, available_mib())
    names = [each.name for each in cluster.nodes]
    if node not in names:
        raise ConfigError(f"{cluster.where}: there is no node {node!r}; there are: {', '.join(names)}")
    with ClusterBed(cluster) as bed:
        return _Follower(bed, node, prefix, until).run(limit_ms, progress)


class _Follower:
    def __init__(self, bed: ClusterBed, node: str, prefix: str, until: str) -> None:
        self.bed, self.node, self.prefix, self.until = bed, node, prefix, until
        self.found = Followed()
        self.halves: dict[str, bytes] = {}
        self.waiting: list[tuple[int, str]] = []  # lines that a step, or the run, ends with
        self.booted = False  # what is said before is no step
        for spec, each in zip(bed.specs, bed.nodes, strict=True):
            each.on_console = lambda data, time_ps, name=spec.name: self.take(name, data, time_ps)

    def take(self, name: str, data: bytes, time_ps: int) -> None:
        *lines, self.halves[name] = (self.halves.get(name, b"") + data).split(b"\n")
        for raw in lines:
            line = raw.decode("utf-8", "replace").rstrip("\r")
            self.found.console.append((time_ps, name, line))
            if self.booted and name == self.node and (line.startswith(self.prefix) or self.until in line):
                self.waiting.append((time_ps, line))
                self.bed.world.stop()

    def run(self, limit_ms: float, progress: Progress) -> Followed:
        bed = self.bed
        bed.boot(progress)
        self.booted = True
        bed.begin_faults()
        bed.commands.begin()
        end_ps = bed.world.now_ps + round(limit_ms * PS_PER_MS)
        before, start_ps, sent = [node.snapshot() for node in bed.nodes], bed.world.now_ps, self.sent()
        while not self.found.ended:
            stop = bed.run(end_ps)
            if stop.reason is Reason.UNTIL:
                break
            if not self.waiting:
                if stop.reason is Reason.REQUESTED:
                    continue
                raise GuestError(bed.explain(stop, "before the end that was waited for"))
            for time_ps, line in self.waiting:
                if line.startswith(self.prefix):
                    accounts = accounts_since(bed, before)
                    shown = line.removeprefix(self.prefix)
                    now = self.sent()
                    frames = (now[0] - sent[0], now[1] - sent[1])
                    self.found.steps.append(Step(shown, start_ps, time_ps, self.busy(accounts), self.machines(), *frames))
                    before, start_ps, sent = [node.snapshot() for node in bed.nodes], time_ps, now
                    progress(bed.name, len(self.found.steps), len(self.found.steps))
                self.found.ended |= self.until in line
            self.waiting.clear()
        self.found.roles = {spec.name: spec.role for spec in bed.specs}
        return self.found

    def busy(self, accounts: list[Accounts]) -> dict[str, dict[str, int]]:
        found = {}
        for spec, each in zip(self.bed.specs, accounts, strict=True):
            cycles = {name: sum(causes.values()) for name, causes in each.cycles().items() if name != IDLE}
            if cycles:
                found[spec.name] = cycles
        return found

    def sent(self) -> tuple[int, int]:
        """Frames and bytes, by all machines since they began."""
        ends = [link.a for spec, link in self.bed.links if spec.ends[0] not in self.bed.switches]
        return sum(end.frames for end in ends), sum(end.bytes for end in ends)

    def machines(self) -> int:
        bed = self.bed
        gone = sum(name in bed.killed or name in bed.ended for name in (node.name for node in bed.cluster.nodes))
        pools = [] if bed.pools is None else [life for life in bed.pools.lives if life.alive and bed.pools.holds(life.number)]
        return len(bed.cluster.nodes) - gone + len(pools)


def accounts_since(bed: ClusterBed, before: list[Snapshot]) -> list[Accounts]:
    """Each machine's, while it had power: since then or its vCPUs began, up to now or its end."""
    pools, found = bed.pools, []
    for number, node in enumerate(bed.nodes):
        after = pools.finished.get(number) if pools is not None else None
        after = after or node.snapshot()
        if number < len(before):
            earlier = before[number]
            if pools is not None and number in pools.begun:
                earlier = later_of(earlier, pools.begun[number])
        else:
            earlier = pools.begun.get(number, after) if pools is not None else after
        found.append(node.accounts(earlier, later_of(earlier, after)))
    return found
