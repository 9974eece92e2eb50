# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of Kapoor et al. (Chronos, SoCC 2012), from the parts of our requests: where a request's latency goes.

Every part of a request belongs to exactly one row, so the rows' means sum to the mean latency. Unlike the original we split
the kernel into running, lock contention and waiting, and print the true end-to-end percentile beside the sum of the rows'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cyclescope.result import Int64, Run

KERNEL = "Kernel"
ROWS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("DC fabric", "Propagation delay", ("run.wire",)),
    ("DC fabric", "Switch, forwarding", ("run.switch",)),
    ("DC fabric", "Network path, queueing", ("wait.switch", "wait.link", "wait.retransmission")),
    ("Endhost", "Net serialization", ("run.serialization",)),
    ("Endhost", "NIC", ("run.nic", "wait.nic", "wait.moderation")),
    ("Endhost", "DMA", ("run.dma",)),
    ("Endhost", "Interrupt delivery", ("run.irq_delivery", "wait.irq")),
    ("Endhost", "Processor wake-up", ("wait.idle_exit",)),
    (KERNEL, "Running", ()),
    (KERNEL, "Lock contention", ("wait.lock",)),
    (KERNEL, "Waiting", ()),
    ("Application", "Application", ("run.app",)),
)
"""Group, row, parts; `Running` takes every other `run.*`, `Waiting` every other `wait.*`."""


@dataclass(frozen=True)
class Row:
    """One line: mean and p99 in nanoseconds, share of the mean latency 0..1."""

    group: str
    name: str
    mean_ns: float
    p99_ns: float
    share: float


def percentile_ns(values_ps: Int64, percent: float) -> float:
    """The nearest-rank percentile (no interpolation: a latency that a request really had) [ns]."""
    if values_ps.size == 0:
        return 0.0
    return float(np.percentile(values_ps, percent, method="inverted_cdf")) / 1000.0


def row_of(part: str) -> tuple[str, str]:
    """The (group, row) a part belongs to."""
    for group, name, parts in ROWS:
        if part in parts:
            return group, name
    return KERNEL, "Running" if part.startswith("run.") else "Waiting"


def chronos_rows(run: Run) -> list[Row]:
    """The rows in the table's order."""
    return rows_of(run.part_names, run.parts_ps, float(run.latency_ps.mean()) if run.latency_ps.size else 0.0)


def rows_of(part_names: Sequence[str], parts_ps: Int64, mean_latency_ps: float) -> list[Row]:
    """The rows of these parts [requests, parts], in the table's order."""
    columns: dict[tuple[str, str], list[int]] = {}
    for index, part in enumerate(part_names):
        columns.setdefault(row_of(part), []).append(index)
    return [
        _row(group, name, parts_ps[:, columns.get((group, name), [])].sum(axis=1), mean_latency_ps) for group, name, _ in ROWS
    ]


def part_rows(run: Run, group: str) -> list[Row]:
    """The parts behind one group, one row each, largest mean first; parts that no request has are left out."""
    mean_latency = float(run.latency_ps.mean()) if run.latency_ps.size else 0.0
    rows = [
        _row(group, part, run.parts_ps[:, index], mean_latency)
        for index, part in enumerate(run.part_names)
        if row_of(part)[0] == group
    ]
    return sorted((row for row in rows if row.mean_ns > 0), key=lambda row: (-row.mean_ns, row.name))


def _row(group: str, name: str, values_ps: Int64, mean_latency_ps: float) -> Row:
    mean = float(values_ps.mean()) if values_ps.size else 0.0
    share = mean / mean_latency_ps if mean_latency_ps else 0.0
    return Row(group, name, mean / 1000.0, percentile_ns(values_ps, 99.0), share)
