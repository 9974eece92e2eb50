# SPDX-License-Identifier: GPL-2.0-or-later
"""Modifying an existing OS: a personality with each of its knobs turned alone, with all of them, beside the others.

All of them get one offered load, a share of the slowest one's capacity, each on a machine of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from cyclescope.config import DEFAULT_TIMING, Hardware, Load, config_hash
from cyclescope.experiments.phases import Progress, no_progress
from cyclescope.experiments.seeds import Comparison, run_comparison
from cyclescope.experiments.sweep import capacity
from cyclescope.experiments.workers import run_all
from cyclescope.result import Outcome
from personalities.base import Personality, get_personality


def variants(personalities: Sequence[Personality]) -> list[Personality]:
    """Each personality, followed by itself with each knob and (where there are several) with all."""
    found: list[Personality] = []
    for personality in personalities:
        knobs = list(personality.knobs)
        turned = [[knob] for knob in knobs] + ([knobs] if len(knobs) > 1 else [])
        found += [personality, *(get_personality("+".join([personality.name, *some])) for some in turned)]
    return found


def ablate(
    personalities: Sequence[Personality],
    hardware: Hardware,
    load: Load,
    *,
    timing: str = DEFAULT_TIMING,
    keep_wire: bool = False,
    jobs: int = 1,
    progress: Progress = no_progress,
) -> tuple[str, list[Outcome]]:
    """The configuration's hash, and an outcome for each of `variants(personalities)`.

    Raises:
        ConfigError, GuestError: as `compare`.
    """
    hardware.check()
    load.check()
    tried = variants(personalities)
    alone = [Comparison((personality,), hardware, load, timing, keep_wire) for personality in tried]
    capacities, at = [0.0] * len(tried), load
    if load.rate is None and load.closed is None:
        capacities = run_all(capacity, alone, "capacity", jobs, progress)
        at = msgspec.structs.replace(load, rate=load.load * min(capacities))
    runs = [replace(what, load=at) for what in alone]
    digest = config_hash(hardware, load, timing, "ablate", *(personality.name for personality in tried))
    outcomes = [found[0] for _, found in run_all(run_comparison, runs, "ablation", jobs, progress)]
    return digest, [
        replace(outcome, run=replace(outcome.run, capacity_rps=c, config_hash=digest))
        for outcome, c in zip(outcomes, capacities, strict=True)
    ]
