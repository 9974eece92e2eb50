# SPDX-License-Identifier: GPL-2.0-or-later
"""The cause stack: busy cycles by component and cause, a request. Integers of cycles underneath, so it sums exactly to busy cycles.

Busy cycles are those of every component but `idle`, over all vCPUs and the whole measured interval; "a request" divides by the
requests answered. So what the kernel did for nobody in particular (timer ticks, ring refills) is in here too, and in no latency.
At the detailed level the last line, "for it", is what ran for the very request: the cycles of each one, by cause, are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from cyclescope.report.tables import compact_table
from cyclescope.result import Run
from emu.ledger.components import CAUSES

GROUPS: Mapping[str, tuple[str, ...]] = {
    "retire": ("retiring",),
    "front": ("frontend",),
    "core": ("core", "core_bound", "dependency"),
    "memory": ("l1", "l2", "llc", "dram", "tlb"),
    "coher.": ("coherence",),
    "events": ("serialising", "event", "device"),
    "spin": ("lock_spin",),
}
"""Columns of a narrow page; a cause in none of them keeps its own."""


@dataclass(frozen=True)
class CauseStack:
    """One personality's busy cycles: component -> cause -> cycles, largest component first, and the requests they are shared by."""

    personality: str
    cycles: dict[str, dict[str, int]]
    requests: int
    for_requests: dict[str, int]
    """Cause -> cycles that ran for those requests, each its own (the detailed level; else nothing): part of the whole."""

    @property
    def total(self) -> int:
        return sum(sum(causes.values()) for causes in self.cycles.values())

    def by_cause(self) -> dict[str, int]:
        """Cause -> cycles over all components, in the ledger's order; only those that occur."""
        totals = {cause: sum(row.get(cause, 0) for row in self.cycles.values()) for cause in CAUSES}
        return {cause: cycles for cause, cycles in totals.items() if cycles}


def cause_stack(runs: Sequence[Run]) -> CauseStack:
    """Over one run, or several of the same personality (seeds)."""
    cycles: dict[str, dict[str, int]] = {}
    for run in runs:
        for component, causes in run.cycles.items():
            if component == "idle":
                continue
            row = cycles.setdefault(component, {})
            for cause, n in causes.items():
                row[cause] = row.get(cause, 0) + n
    order = sorted(cycles, key=lambda component: (-sum(cycles[component].values()), component))
    mine = {cause: sum(int(run.request_cycles[:, i].sum()) for run in runs) for i, cause in enumerate(CAUSES)}
    stack = CauseStack(
        runs[0].personality,
        {name: cycles[name] for name in order},
        sum(int(run.latency_ps.size) for run in runs),
        {cause: n for cause, n in mine.items() if n},
    )
    assert stack.total == sum(run.busy_cycles for run in runs)
    return stack


def print_causes(console: Console, stacks: Sequence[CauseStack]) -> None:
    """A table a personality; where the page is too narrow, related causes share a column."""
    roomy = console.options.update(width=10_000)
    tables = [cause_table(stack) for stack in stacks]
    if any(Measurement.get(console, roomy, table).maximum > console.width for table in tables):
        tables = [cause_table(stack, grouped=True) for stack in stacks]
    for table in tables:
        console.print(table)
        console.print()


def cause_table(stack: CauseStack, *, grouped: bool = False) -> Table:
    """Rows are components, columns causes, figures cycles a request."""
    columns: dict[str, tuple[str, ...]] = {}
    for cause in stack.by_cause():
        group = next((name for name, causes in GROUPS.items() if cause in causes), cause) if grouped else cause
        columns[group] = (*columns.get(group, ()), cause)
    table = compact_table(f"{stack.personality}: busy cycles a request, by component and cause")
    table.add_column("Component", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("all", justify="right", no_wrap=True)
    requests = max(1, stack.requests)
    rows = [*stack.cycles.items(), ("all", stack.by_cause())]
    if stack.for_requests:
        rows.append(("for it", stack.for_requests))
    for component, causes in rows:
        if component == "all":
            table.add_section()
        cells = [sum(causes.get(cause, 0) for cause in members) for members in columns.values()]
        table.add_row(component, *(_cycles(n / requests) for n in (*cells, sum(causes.values()))))
    return table


def _cycles(value: float) -> str:
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.1f}" if value else "-"
