# SPDX-License-Identifier: GPL-2.0-or-later
"""How each personality scales: the same load on machines of more and more vCPUs, each booted once and measured three times.

1. **one**: one request at a time: what a request costs when nothing else goes on (and all other vCPUs are idle).
2. **full**: a closed loop, with OUTSTANDING_PER_CPU requests under way a vCPU and with twice as many for as long as that gives
   GAIN more answers a second and loses no request: its rate is the *capacity*, and what it spends its cycles on is what holds it.
3. **near**: an open loop, Poisson, at a share (`load.load`) of that capacity: latency as it is when the machine is in use.

All three are of the same machine, one after the other, each with a warm-up of its own; `one` is what `compare --closed 1` gives.
The NIC has a queue pair a vCPU, and RSS spreads the client's flows over them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import msgspec

from cyclescope.config import DEFAULT_TIMING, Hardware, Load, config_hash
from cyclescope.experiments.compare import OUTSTANDING_PER_CPU, Contender
from cyclescope.experiments.phases import Progress, no_progress
from cyclescope.experiments.workers import run_all
from cyclescope.result import Run
from emu.errors import ConfigError
from personalities.base import Personality

CPUS = (1, 2, 4, 8)
PHASES = ("one", "full", "near")
GAIN = 1.05
MOST_PER_CPU = 64


@dataclass(frozen=True)
class Scaled:
    """One personality on one machine."""

    personality: str
    cpus: int
    one: Run
    full: Run
    near: Run
    outstanding: int
    """Requests under way in `full`."""

    @property
    def capacity_rps(self) -> float:
        """Answers a second in `full`."""
        return self.full.rate_rps


@dataclass(frozen=True)
class Machine:
    """Everything one Scaled needs, as a value that can travel to another process."""

    personality: Personality
    hardware: Hardware
    load: Load
    timing: str


def scale(
    personalities: Sequence[Personality],
    hardware: Hardware,
    load: Load,
    counts: Sequence[int] = CPUS,
    *,
    timing: str = DEFAULT_TIMING,
    jobs: int = 1,
    progress: Progress = no_progress,
) -> tuple[str, list[Scaled]]:
    """The configuration's hash, and a Scaled for each personality and count of vCPUs, in that order; `hardware.cpus` is not used.

    Raises:
        ConfigError: counts that do not rise, a load with a rate or a closed loop of its own; and as `compare`.
        GuestError: as `compare`.
    """
    if not counts or any(a >= b for a, b in pairwise(counts)):
        raise ConfigError("--cpus: give rising numbers of vCPUs, each once, such as 1,2,4,8")
    if load.rate is not None or load.closed is not None:
        raise ConfigError("scale has its own three loads: give neither a rate nor a closed loop")
    if not personalities or len({p.name for p in personalities}) != len(personalities):
        raise ConfigError("--personality: name each personality once")
    load.check()
    shapes = [msgspec.structs.replace(hardware, cpus=cpus) for cpus in counts]
    for shape in shapes:
        shape.check()
    machines = [Machine(personality, shape, load, timing) for personality in personalities for shape in shapes]
    digest = config_hash(hardware, load, timing, "scale", *(str(cpus) for cpus in counts))
    return digest, run_all(measure, machines, "scale", jobs, progress)


def measure(machine: Machine, progress: Progress) -> Scaled:
    """Boot it and take its three measurements."""
    hardware, load = machine.hardware, machine.load
    alone = msgspec.structs.replace(load, closed=1)
    contender = Contender(machine.personality, hardware, alone, machine.timing, keep_wire=False)

    def run(offered: Load, rate_rps: float = 0.0) -> Run:
        contender.load = offered
        return contender.measure(rate_rps, config_hash(hardware, offered, machine.timing), progress).run

    try:
        contender.prepare(progress)
        one = run(alone)
        outstanding = OUTSTANDING_PER_CPU * hardware.cpus
        full = run(msgspec.structs.replace(load, closed=outstanding))
        while not full.lost and 2 * outstanding <= MOST_PER_CPU * hardware.cpus:
            more = run(msgspec.structs.replace(load, closed=2 * outstanding))
            if more.lost or more.rate_rps < GAIN * full.rate_rps:
                break
            full, outstanding = more, 2 * outstanding
        contender.capacity_rps = capacity = full.rate_rps
        near = run(load, load.load * capacity)
    finally:
        contender.bed.close()
    one, full = (replace(each, capacity_rps=capacity) for each in (one, full))
    return Scaled(machine.personality.name, hardware.cpus, one, full, near, outstanding)
