# SPDX-License-Identifier: GPL-2.0-or-later
"""The load-latency sweep: each personality from a tenth of its own capacity to beyond it, each load on a machine of its own.

The **knee** is the swept load with the highest power, throughput over mean latency (Kleinrock 1979): before it, more load costs
little latency; behind it, latency grows faster than throughput. Beyond capacity an open loop's queue grows until the run ends, so
latencies there say how long the run was, and what the socket's buffer could not hold is lost: they are drawn, not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import msgspec

from cyclescope.config import DEFAULT_TIMING, Hardware, Load
from cyclescope.experiments.compare import Contender
from cyclescope.experiments.phases import Progress, no_progress
from cyclescope.experiments.seeds import Comparison, run_comparison
from cyclescope.experiments.workers import run_all
from cyclescope.report.chronos import percentile_ns
from cyclescope.result import Run
from emu.errors import ConfigError
from emu.uarch.table import load as load_table
from personalities.base import Personality

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0, 1.1, 1.2)
BEYOND = (1.4, 1.6, 1.8, 2.0, 2.5, 3.0)
"""Further shares, as long as a personality still keeps up: capacity is measured in a closed loop, with its fill and drain."""
MOST_SHARE = 3.0
KEEPS_UP = 0.95


@dataclass(frozen=True)
class Point:
    """One offered load: rates in requests/s, latencies in nanoseconds over the answered requests."""

    share: float
    offered_rps: float
    throughput_rps: float
    mean_ns: float
    p50_ns: float
    p99_ns: float
    answered: int
    lost: int
    busy: float
    """Busy cycles as a share of the vCPUs' time from the first arrival to the last answer."""

    @property
    def saturated(self) -> bool:
        """Answers came at less than KEEPS_UP of the offered rate, or not at all."""
        return self.lost > 0 or self.throughput_rps < KEEPS_UP * self.offered_rps

    @property
    def power(self) -> float:
        """Throughput over mean latency [requests/s/ns]."""
        return self.throughput_rps / self.mean_ns


@dataclass(frozen=True)
class Curve:
    """One personality's points, by rising load."""

    personality: str
    capacity_rps: float
    points: tuple[Point, ...]

    @property
    def knee(self) -> Point:
        return max(self.points, key=lambda point: point.power)

    def p99_limit(self, factor: float) -> float | None:
        """The offered load [requests/s] at which p99 first passes `factor` times the lightest load's, by straight lines
        between points; None when it never does."""
        limit = factor * self.points[0].p99_ns
        for before, after in pairwise(self.points):
            if after.p99_ns > limit:
                rise = (limit - before.p99_ns) / (after.p99_ns - before.p99_ns)
                return before.offered_rps + rise * (after.offered_rps - before.offered_rps)
        return None


def sweep(
    personalities: Sequence[Personality],
    hardware: Hardware,
    load: Load,
    shares: Sequence[float] = SHARES,
    *,
    timing: str = DEFAULT_TIMING,
    jobs: int = 1,
    progress: Progress = no_progress,
) -> list[Curve]:
    """A curve a personality, in their order; `load` gives everything but the rate.

    Raises:
        ConfigError: shares that do not rise, or out of range; and as `compare`.
        GuestError: as `compare`.
    """
    if not shares or any(not 0 < share <= MOST_SHARE for share in shares):
        raise ConfigError(f"--loads: give shares of capacity above 0 and at most {MOST_SHARE:g}")
    if any(a >= b for a, b in pairwise(shares)):
        raise ConfigError("--loads: give rising shares of capacity, each once")
    hardware.check()
    load.check()
    alone = [Comparison((personality,), hardware, load, timing) for personality in personalities]
    capacities = run_all(capacity, alone, "capacity", jobs, progress)
    points: list[list[Point]] = [[] for _ in personalities]
    wanted = [(i, share) for i in range(len(personalities)) for share in shares]
    further = list(BEYOND) if tuple(shares) == SHARES else []
    hz = load_table(hardware.uarch).hz
    while wanted:
        loads = [msgspec.structs.replace(load, rate=share * capacities[i]) for i, share in wanted]
        runs = [Comparison((personalities[i],), hardware, at, timing) for (i, _), at in zip(wanted, loads, strict=True)]
        for (i, share), (_, outcomes) in zip(wanted, run_all(run_comparison, runs, "sweep", jobs, progress), strict=True):
            points[i].append(_point(share, outcomes[0].run, hardware.cpus * hz))
        unsaturated = [i for i, mine in enumerate(points) if not mine[-1].saturated]
        wanted = [(i, further[0]) for i in unsaturated] if further else []
        further = further[1:]
    return [Curve(p.name, c, tuple(mine)) for p, c, mine in zip(personalities, capacities, points, strict=True)]


def capacity(what: Comparison, progress: Progress) -> float:
    """The only personality's capacity [requests/s], as `compare` measures it."""
    (personality,) = what.personalities
    contender = Contender(personality, what.hardware, what.load, what.timing, keep_wire=False)
    try:
        contender.prepare(progress)
        contender.measure_capacity(progress)
        return contender.capacity_rps
    finally:
        contender.bed.close()


def _point(share: float, run: Run, cycles_a_second: int) -> Point:
    ends = run.start_ps + run.latency_ps
    lasted = int(ends.max() - run.start_ps.min())
    return Point(
        share=share,
        offered_rps=run.rate_rps,
        throughput_rps=run.latency_ps.size * 1e12 / lasted,
        mean_ns=float(run.latency_ps.mean()) / 1000.0,
        p50_ns=percentile_ns(run.latency_ps, 50.0),
        p99_ns=percentile_ns(run.latency_ps, 99.0),
        answered=int(run.latency_ps.size),
        lost=run.lost,
        busy=min(1.0, run.busy_cycles / (cycles_a_second * lasted / 1e12)),
    )
