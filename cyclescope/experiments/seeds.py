# SPDX-License-Identifier: GPL-2.0-or-later
"""The comparison over several seeds: whole and independent repetitions, each with its own keys, arrivals and measured capacity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from cyclescope.config import DEFAULT_TIMING, Hardware, Load
from cyclescope.experiments.compare import compare
from cyclescope.experiments.phases import Progress, no_progress
from cyclescope.experiments.workers import run_all
from cyclescope.result import Outcome
from emu.errors import ConfigError
from personalities.base import Personality


@dataclass(frozen=True)
class Repetition:
    """One seed's comparison: its configuration's hash, and an outcome a personality."""

    load: Load
    digest: str
    outcomes: list[Outcome]


@dataclass(frozen=True)
class Comparison:
    """Everything `compare` takes, as one value that can travel to another process."""

    personalities: tuple[Personality, ...]
    hardware: Hardware
    load: Load
    timing: str
    keep_wire: bool = False


def run_comparison(what: Comparison, progress: Progress) -> tuple[str, list[Outcome]]:
    """`compare` of that."""
    return compare(
        what.personalities, what.hardware, what.load, timing=what.timing, keep_wire=what.keep_wire, progress=progress
    )


def compare_seeds(
    personalities: Sequence[Personality],
    hardware: Hardware,
    load: Load,
    seeds: Sequence[int],
    *,
    timing: str = DEFAULT_TIMING,
    keep_wire: bool = False,
    jobs: int = 1,
    progress: Progress = no_progress,
) -> list[Repetition]:
    """A comparison for each seed, in their order; `load.seed` is not used.

    Raises:
        ConfigError: fewer than two seeds, or one of them twice; and as `compare`.
        GuestError: as `compare`.
    """
    if len(seeds) < 2 or len(set(seeds)) != len(seeds):
        raise ConfigError("--seeds: give two different seeds or more; with one there is no interval")
    loads = [msgspec.structs.replace(load, seed=seed) for seed in seeds]
    hardware.check()
    for each in loads:
        each.check()
    wanted = [Comparison(tuple(personalities), hardware, each, timing, keep_wire) for each in loads]
    found = run_all(run_comparison, wanted, f"{len(seeds)} seeds", jobs, progress)
    return [Repetition(each, digest, outcomes) for each, (digest, outcomes) in zip(loads, found, strict=True)]
