# SPDX-License-Identifier: GPL-2.0-or-later
"""The profile by function, kernels' and programs' alike, as a document and as tables: what each spent itself (exclusive)
and, where call stacks were followed, what it spent with all that it called (inclusive)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console

from cyclescope.report.tables import compact_table
from cyclescope.result import Run
from emu.ledger.profile import ROOTS, FunctionCost
from emu.ledger.slow import SlowFunction

DOCUMENTED = 100


def busy_functions(run: Run) -> list[FunctionCost]:
    """Over all vCPUs, dearest by their own cycles first; a row a name and component, none for idling.

    Without a profile, inclusive figures and calls are 0.
    """
    if run.profile is not None:
        return [row for row in run.profile.functions() if row.component != "idle"]
    sums: dict[tuple[str, str], tuple[int, int]] = {}
    for component, name, cycles, instructions in run.symbols:
        if component != "idle":
            had = sums.get((name, component), (0, 0))
            sums[name, component] = had[0] + cycles, had[1] + instructions
    rows = [FunctionCost(*name, cycles, 0, instructions, 0, 0) for name, (cycles, instructions) in sums.items()]
    return sorted(rows, key=lambda row: (-row.cycles, row.function, row.component))


def functions_document(run: Run) -> list[dict[str, Any]]:
    """One object a function, DOCUMENTED at most, dearest by their own cycles first; figures are totals of the measured interval."""
    rows = [row._asdict() for row in busy_functions(run)[:DOCUMENTED]]
    if run.profile is None:
        rows = [{name: row[name] for name in ("function", "component", "cycles", "instructions")} for row in rows]
    return rows


def roots_document(run: Run) -> dict[str, int]:
    """Where call stacks begin -> busy cycles of those that begin there."""
    if run.profile is None:
        return {}
    return {
        name: int(cycles)
        for name, cycles in zip(ROOTS, run.profile.inclusive(run.profile.cycles), strict=False)
        if cycles
    }


def print_functions(console: Console, run: Run, limit: int) -> None:
    """The dearest `limit` functions, a request's share of each: themselves and, with a profile, with what they called."""
    rows = busy_functions(run)
    of = f"dearest of {len(rows)} functions"
    each = ", a request" if run.latency_ps.size else ""
    _print(console, run, f"{run.personality}: the {min(limit, len(rows))} {of} themselves{each}", rows[:limit])
    if run.profile is None:
        return
    rows.sort(key=lambda row: (-row.inclusive_cycles, -row.cycles, row.function, row.component))
    _print(
        console,
        run,
        f"{run.personality}: the {min(limit, len(rows))} {of} with what they call{each}",
        rows[:limit],
    )
    total = max(1, run.busy_cycles)
    parts = ", ".join(f"{name} {100 * cycles / total:.1f} %" for name, cycles in roots_document(run).items())
    console.print(f"Call stacks begin at: {parts}", highlight=False, markup=False)
    if run.profile.lost:
        lost = ", ".join(f"{count:,} {name}" for name, count in run.profile.lost.items())
        console.print(f"No room for: {lost}; their callers are not known", highlight=False)
    print_slow(console, run, limit)


def print_slow(console: Console, run: Run, limit: int) -> None:
    """The `limit` functions in which slow requests spend most beyond median ones, while they are current."""
    slow = run.slow
    if slow is None:
        return
    table = compact_table(
        f"{run.personality}: the {slow.slow} slowest requests ({slow.slow_ps / 1e6:.2f} us) beside {slow.median} median ones "
        f"({slow.median_ps / 1e6:.2f} us)"
    )
    table.add_column("Function", no_wrap=True)
    table.add_column("component", no_wrap=True)
    for name in ("cycles", "of median ones", "more", "instructions", "of median ones", "more"):
        table.add_column(name, justify="right", no_wrap=True)
    total = SlowFunction(
        "all", "", *(sum(column) for column in zip(*(row[2:] for row in slow.functions), strict=True))
    ) if slow.functions else None  # fmt: skip
    for row in [*slow.functions[:limit], *([total] if total is not None else [])]:
        figures = [
            f"{figure:,.0f}"
            for mine, theirs in ((row.slow_cycles, row.median_cycles), (row.slow_instructions, row.median_instructions))
            for figure in (mine, theirs, mine - theirs)
        ]
        table.add_row(row.function, row.component, *figures, end_section=row is total)
    console.print(table, markup=False)
    if slow.missing:
        console.print(f"No room to tell apart the functions of {slow.missing:,} requests: left out.", highlight=False)


def slow_document(run: Run) -> dict[str, Any]:
    """The same, DOCUMENTED functions at most; {} without a profile."""
    if run.slow is None:
        return {}
    functions = [row._asdict() for row in run.slow.functions[:DOCUMENTED]]
    means = {"slow_latency_ns": run.slow.slow_ps / 1000, "median_latency_ns": run.slow.median_ps / 1000}
    counts = {"slow": run.slow.slow, "median": run.slow.median, "missing": run.slow.missing}
    return {"slow_requests": {**counts, **means, "functions": functions}}


def _print(console: Console, run: Run, title: str, rows: Sequence[FunctionCost]) -> None:
    served, busy = max(1, int(run.latency_ps.size)), max(1, run.busy_cycles)
    inclusive = run.profile is not None
    table = compact_table(title)
    table.add_column("Function", no_wrap=True)
    table.add_column("component", no_wrap=True)
    shown = ("cycles", "with callees", "instructions", "with callees", "calls", "share", "with callees")
    for name in shown if inclusive else ("cycles", "instructions", "share", "sum"):
        table.add_column(name, justify="right", no_wrap=True)
    total = 0
    for row in rows:
        total += row.cycles
        own = f"{row.cycles / served:,.0f}", f"{row.instructions / served:,.0f}", f"{100 * row.cycles / busy:.1f} %"
        if not inclusive:
            table.add_row(row.function, row.component, *own, f"{100 * total / busy:.1f} %")
            continue
        table.add_row(
            row.function, row.component, own[0], f"{row.inclusive_cycles / served:,.0f}", own[1],
            f"{row.inclusive_instructions / served:,.0f}", f"{row.calls / served:,.2f}", own[2],
            f"{100 * row.inclusive_cycles / busy:.1f} %",
        )  # fmt: skip
    console.print(table, markup=False)
