# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope validate micro`: guest microbenchmarks against the processor table's own figures."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from cyclescope.config import Hardware
from cyclescope.experiments.phases import Progress, no_progress
from cyclescope.experiments.validate import core, memory, system
from cyclescope.experiments.validate.figures import Figure
from cyclescope.experiments.validate.guest import GuestRun, run_micro
from emu.errors import ConfigError
from emu.uarch.table import UarchTable
from emu.uarch.table import load as load_table
from personalities.base import get_personality


@dataclass(frozen=True)
class Experiment:
    """One guest program and who judges what it prints; no `cpus`: as many as memory.vcpus_for says."""

    name: str
    judge: Callable[[GuestRun, UarchTable, int], list[Figure]]
    personality: str = "libos"
    program: str = ""
    arguments: tuple[str, ...] = ()
    cpus: tuple[int, ...] = (1,)
    memory_mib: int = 128
    timed_boot: bool = field(default=False, kw_only=True)


EXPERIMENTS = (
    Experiment("chase", memory.judge_chase, cpus=(), memory_mib=512),
    Experiment("reach", memory.judge_reach),
    Experiment("bandwidth", memory.judge_bandwidth, cpus=(), memory_mib=256),
    Experiment("branch", core.judge_branch),
    Experiment("forward", core.judge_forward),
    Experiment("lines", system.judge_lines, cpus=(2,)),
    Experiment(
        "lock", system.judge_lock, program="lockbench", arguments=("-i", "300"), cpus=(1, 2, 4, 8), timed_boot=True
    ),
    Experiment("interrupt", system.judge_interrupt, cpus=(2,)),
    Experiment("null_call", system.judge_null_call, "linux_like+unmitigated"),
    Experiment("fault", system.judge_fault, "linux_like+unmitigated"),
    Experiment("switch", system.judge_switch, "linux_like+unmitigated"),
    Experiment("tick", system.judge_tick, "linux_like+unmitigated"),
)


def run_experiments(
    uarch: str,
    timing: str,
    only: Collection[str] = (),
    rows: Mapping[str, int] | None = None,
    progress: Progress = no_progress,
) -> list[Figure]:
    """All experiments, or those of these names, in their order. The references are the table's own, whatever `rows` changes.

    Raises:
        ConfigError: no such experiment, table or level.
        GuestError: a guest ended badly.
    """
    if unknown := sorted(set(only) - {e.name for e in EXPERIMENTS}):
        raise ConfigError(f"validate: there is no {unknown[0]!r}; there are: {', '.join(e.name for e in EXPERIMENTS)}")
    table = load_table(uarch)
    chosen = [e for e in EXPERIMENTS if not only or e.name in only]
    found: list[Figure] = []
    for number, experiment in enumerate(chosen):
        progress(f"validate: {experiment.name}", number, len(chosen))
        for cpus in experiment.cpus or (memory.vcpus_for(table),):
            run = run_micro(
                get_personality(experiment.personality),
                experiment.program or f"micro_{experiment.name}",
                experiment.arguments,
                Hardware(cpus=cpus, memory_mib=experiment.memory_mib, uarch=uarch, rows=dict(rows or {})),
                timing,
                timed_boot=experiment.timed_boot,
            )
            found += experiment.judge(run, table, cpus)
    return found
