# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests, latency, drops and nodes over the time of a run, and what each scale-up's time went to.

Times are in picoseconds since measuring began; those of machines that were there before are negative. A request counts where it
was sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cyclescope.cluster.lives import NEVER, Life

BINS = 60
PARTS = ("ask", "image", "firmware", "kernel", "hello", "first request")
"""Of a scale-up, in order: until the image's first byte leaves; its last is acknowledged; the kernel's first instruction; the
program's ready line; the machine's first UDP datagram; the first request's arrival there."""


@dataclass(frozen=True)
class Start:
    """One machine of a pool. `parts_ps`: of PARTS, those that came to pass; they sum to the time from the question to the last."""

    number: int
    name: str
    kind: str
    warm: bool
    started_ps: int
    asked_ps: int | None
    ready_ps: int | None
    request_ps: int | None
    ended_ps: int | None
    why: str
    image_bytes: int
    blocks: int
    repeated: int
    parts_ps: dict[str, int]


@dataclass(frozen=True)
class Bin:
    """An interval: requests sent in it, and what became of them; latency of those answered (0: none was); machines at its end.

    powered: nodes, and machines that were started and have not ended; serving: nodes, and allocated machines that are ready.
    """

    start_ps: int
    sent: int
    answered: int
    lost: int
    refused: int
    missed: int
    mean_ps: float
    p99_ps: float
    powered: int
    serving: int


@dataclass(frozen=True)
class Timeline:
    """`end_ps`: the last request's answer, or when it was given up."""

    end_ps: int
    bin_ps: int
    bins: tuple[Bin, ...]
    starts: tuple[Start, ...]


def start_of(life: Life, origin_ps: int) -> Start:
    """What became of a machine, since `origin_ps`."""

    def since(time_ps: int) -> int | None:
        return None if time_ps == NEVER else time_ps - origin_ps

    marks = (life.image_ps, life.firmware_ps, life.kernel_ps, life.ready_ps, life.hello_ps, life.request_ps)
    reached = life.allocated_ps if life.warm or life.allocated_ps != NEVER else life.started_ps
    parts: dict[str, int] = {}
    for part, mark in zip(PARTS, marks, strict=True):
        if mark == NEVER:
            break
        parts[part] = max(0, mark - reached)
        reached = max(reached, mark)
    return Start(
        number=life.number, name=life.name, kind=life.kind, warm=life.warm, started_ps=life.started_ps - origin_ps,
        asked_ps=since(life.allocated_ps), ready_ps=since(life.ready_ps), request_ps=since(life.request_ps),
        ended_ps=since(life.ended_ps), why=life.why, image_bytes=life.image_bytes, blocks=life.blocks, repeated=life.repeated,
        parts_ps=parts,
    )  # fmt: skip


def timeline(
    starts_ps: Sequence[int], ends_ps: Sequence[int], kinds: Sequence[str], origin_ps: int, lives: Sequence[Life], nodes: int,
    killed_ps: Mapping[str, int],
) -> Timeline:  # fmt: skip
    """Of a measured phase.

    Args:
        starts_ps, ends_ps: of each request; an end of 0: none came.
        kinds: what its answer was (truth.py); empty: none.
        nodes: the cluster's own; killed_ps: when some of those lost their power.
    """
    sent = np.asarray(starts_ps, np.int64) - origin_ps
    ended = np.asarray(ends_ps, np.int64)
    latency = np.where(ended > 0, ended - origin_ps - sent, 0)
    kind = np.asarray(kinds)
    end_ps = int(max((sent + latency).max(initial=1), 1))
    bin_ps = -(-end_ps // BINS)
    place = np.clip(sent // bin_ps, 0, BINS - 1)
    bins = []
    for number in range(BINS):
        mine = place == number
        answered = mine & (ended > 0)
        there = latency[answered]
        at_ps = origin_ps + (number + 1) * bin_ps
        own = nodes - sum(time_ps <= at_ps for time_ps in killed_ps.values())
        powered = [life for life in lives if NEVER < life.started_ps <= at_ps and not NEVER < life.ended_ps <= at_ps]
        serving = [life for life in powered if NEVER < life.ready_ps <= at_ps and NEVER < life.allocated_ps <= at_ps]
        bins.append(
            Bin(
                start_ps=number * bin_ps, sent=int(mine.sum()), answered=int(answered.sum()), lost=int((mine & (ended == 0)).sum()),
                refused=int((mine & (kind == "refused")).sum()), missed=int((mine & (kind == "miss")).sum()),
                mean_ps=float(there.mean()) if there.size else 0.0, p99_ps=float(np.percentile(there, 99)) if there.size else 0.0,
                powered=own + len(powered), serving=own + len(serving),
            )
        )
    return Timeline(end_ps, bin_ps, tuple(bins), tuple(start_of(life, origin_ps) for life in lives))
