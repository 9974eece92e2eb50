# SPDX-License-Identifier: GPL-2.0-or-later
"""The profile by function: what each spent itself (exclusive), kernels' and programs' alike, as a document and as a table."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from cyclescope.report.tables import compact_table
from cyclescope.result import Run

DOCUMENTED = 100


def busy_functions(run: Run) -> list[tuple[str, str, int, int]]:
    """(function, component, cycles, instructions) over all vCPUs, dearest first; a row a name and component, none for idling."""
    sums: dict[tuple[str, str], tuple[int, int]] = {}
    for component, name, cycles, instructions in run.symbols:
        if component != "idle":
            had = sums.get((name, component), (0, 0))
            sums[name, component] = had[0] + cycles, had[1] + instructions
    rows = [(name, component, *both) for (name, component), both in sums.items()]
    return sorted(rows, key=lambda row: (-row[2], row[0], row[1]))


def functions_document(run: Run) -> list[dict[str, Any]]:
    """One object a function, DOCUMENTED at most, dearest first; cycles and instructions are totals of the measured interval."""
    return [
        {"function": name, "component": component, "cycles": cycles, "instructions": instructions}
        for name, component, cycles, instructions in busy_functions(run)[:DOCUMENTED]
    ]


def print_functions(console: Console, run: Run, limit: int) -> None:
    """The dearest `limit` functions, a request's share of each."""
    served = max(1, int(run.latency_ps.size))
    rows = busy_functions(run)
    busy = max(1, sum(row[2] for row in rows))
    table = compact_table(f"{run.personality}: the {min(limit, len(rows))} dearest of {len(rows)} functions, a request")
    table.add_column("Function", no_wrap=True)
    table.add_column("component", no_wrap=True)
    for name in ("cycles", "instructions", "share", "sum"):
        table.add_column(name, justify="right", no_wrap=True)
    total = 0
    for name, component, cycles, instructions in rows[:limit]:
        total += cycles
        table.add_row(
            name, component, f"{cycles / served:,.0f}", f"{instructions / served:,.0f}", f"{100 * cycles / busy:.1f} %",
            f"{100 * total / busy:.1f} %",
        )  # fmt: skip
    console.print(table, markup=False)
