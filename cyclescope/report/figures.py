# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run comes to, a request: instructions and cycles by component, and what locks cost.

Locks cost in three ways, which are told apart. The component `lock` is all that taking and giving back locks executes. Within it,
`spin` is the waiting of those that come while a lock is held, and `atomic` what LOCKed instructions take, with the transfer of a
line that another vCPU had (the causes serialising, which has CLI and STI, too, and coherence). Beside it, `wait.lock` is what
requests lost by it, asleep (futexes) or spinning. What compilers put inline is its callers', and a program's locks are the
program's, unless its personality's manifest says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cyclescope.report.chronos import percentile_ns
from cyclescope.result import Run
from emu.ledger.components import CAUSES

LOCK, SPIN, COHERENCE, WAIT_LOCK = "lock", "lock_spin", "coherence", "wait.lock"
ATOMIC = ("serialising", COHERENCE)


@dataclass(frozen=True)
class Locks:
    """Cycles over all requests, all of them within `component`, and the mean wait of one [ns]."""

    component: int
    spin: int
    atomic: int
    wait_ns: float


def locks(run: Run) -> Locks:
    """What locks cost in a run."""
    causes = run.cycles.get(LOCK, {})
    waits = [float(run.parts_ps[:, i].mean()) / 1000 for i, name in enumerate(run.part_names) if name == WAIT_LOCK]
    return Locks(sum(causes.values()), causes.get(SPIN, 0), sum(causes.get(each, 0) for each in ATOMIC), sum(waits))


def by_component(runs: Sequence[Run]) -> dict[str, tuple[float, float]]:
    """Component -> (instructions, cycles) a request over one run or several, dearest first, without `idle`."""
    served = max(1, sum(int(run.latency_ps.size) for run in runs))
    sums: dict[str, list[int]] = {}
    for run in runs:
        for component, cycles in run.component_cycles().items():
            if component != "idle":
                had = sums.setdefault(component, [0, 0])
                had[0] += run.component_instructions.get(component, 0)
                had[1] += cycles
    order = sorted(sums, key=lambda name: (-sums[name][1], name))
    return {name: (sums[name][0] / served, sums[name][1] / served) for name in order}


def by_cause(run: Run) -> dict[str, float]:
    """Cause -> busy cycles a request, in the ledger's order; only those that occur."""
    served = max(1, int(run.latency_ps.size))
    rows = [causes for component, causes in run.cycles.items() if component != "idle"]
    totals = {cause: sum(row.get(cause, 0) for row in rows) / served for cause in CAUSES}
    return {cause: cycles for cause, cycles in totals.items() if cycles}


def figures(run: Run) -> dict[str, Any]:
    """The figures of one run that tables and pictures are made of; latencies in nanoseconds, cycles and counts a request."""
    served, busy = max(1, int(run.latency_ps.size)), max(1, run.busy_cycles)
    lock = locks(run)
    return {
        "answered": int(run.latency_ps.size),
        "lost": run.lost,
        "rate_rps": run.rate_rps,
        "mean_ns": float(run.latency_ps.mean()) / 1000,
        "p50_ns": percentile_ns(run.latency_ps, 50.0),
        "p99_ns": percentile_ns(run.latency_ps, 99.0),
        "instructions": run.busy_instructions / served,
        "cycles": run.busy_cycles / served,
        "ipc": run.busy_instructions / busy,
        "busy": run.busy_cycles / run.cycles_total,
        "lock_share": lock.component / busy,
        "lock_spin_share": lock.spin / busy,
        "lock_atomic_share": lock.atomic / busy,
        "lock_wait_ns": lock.wait_ns,
        "coherence_share": by_cause(run).get(COHERENCE, 0.0) * served / busy,
        "syscalls": sum(vcpu["syscall"] for vcpu in run.counters) / served,
        "ipis": sum(vcpu["ipi"] for vcpu in run.counters) / served,
        "interrupts": [vcpu["interrupt"] / served for vcpu in run.counters],
        "components": {
            name: {"instructions": each[0], "cycles": each[1]} for name, each in by_component([run]).items()
        },
        "causes": by_cause(run),
    }
