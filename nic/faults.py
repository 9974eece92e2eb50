# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes wrong on a link: frames lost, duplicated, late, out of order, or all of them lost for a while. By a seeded generator.

Each direction draws on its own. Five draws a frame, whatever happens, so that one fault's rate does not move the others'.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from emu.errors import ConfigError


@dataclass(frozen=True, slots=True)
class LinkFaults:
    """Shares of the frames, 0..1, and times in picoseconds.

    jitter_ps: each frame arrives up to this much later, none before one sent earlier. reorder: of these frames each is held back
    `reorder_ps`, and what was sent behind it overtakes it. down_ps: [from, to) intervals; what would arrive then is lost.
    """

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    reorder_ps: int = 20_000_000
    jitter_ps: int = 0
    down_ps: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if not all(0 <= share <= 1 for share in (self.loss, self.duplicate, self.reorder)):
            raise ConfigError("a fault's share of the frames is from 0 to 1")
        if min(self.reorder_ps, self.jitter_ps) < 0 or any(not 0 <= begin < end for begin, end in self.down_ps):
            raise ConfigError("a fault's times are at least 0, and an interval ends after it begins")

    @property
    def any(self) -> bool:
        """Whether anything may go wrong."""
        return bool(self.loss or self.duplicate or self.reorder or self.jitter_ps or self.down_ps)


class Fates:
    """One direction's."""

    def __init__(self, faults: LinkFaults, seed: tuple[int, ...]) -> None:
        self.faults = faults
        self.counters: Counter[str] = Counter()
        self.cut = False  # for good, from now on
        self._rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
        self._last_ps = 0

    def arrivals(self, arrival_ps: int) -> tuple[int, ...]:
        """When a frame arrives that otherwise would at `arrival_ps`: never, once, or twice."""
        lose, duplicate, reorder, late, late_too = self._rng.random(5).tolist()
        faults, counters = self.faults, self.counters
        if self.cut or any(begin <= arrival_ps < end for begin, end in faults.down_ps):
            counters["down"] += 1
            return ()
        if lose < faults.loss:
            counters["lost"] += 1
            return ()
        if reorder < faults.reorder:
            counters["reordered"] += 1
            first = arrival_ps + faults.reorder_ps
        else:
            first = self._last_ps = max(self._last_ps, arrival_ps + int(late * faults.jitter_ps))
        if duplicate < faults.duplicate:
            counters["duplicated"] += 1
            return first, max(first, arrival_ps + int(late_too * faults.jitter_ps))
        return (first,)
