# SPDX-License-Identifier: GPL-2.0-or-later
"""What a person sees: the tables side by side, in a terminal or in a file."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from cyclescope.report.chronos import KERNEL, Row, chronos_rows, part_rows, percentile_ns
from cyclescope.result import Run


def print_comparison(console: Console, runs: Sequence[Run], heading: str) -> None:
    """The Chronos-shaped table of every run side by side, then the kernels' own components."""
    console.print(latency_table(runs, heading))
    console.print()
    console.print(kernel_table(runs))
    console.print()
    for run in runs:
        _footnotes(console, run)


def latency_table(runs: Sequence[Run], heading: str) -> Table:
    """Mean and p99 in microseconds, share of the mean latency, a column group a personality."""
    table = Table(title=heading, title_justify="left", pad_edge=False, show_edge=False)
    table.add_column("Component", no_wrap=True)
    table.add_column("Description", no_wrap=True)
    for run in runs:
        _three_columns(table, run)
    columns = [chronos_rows(run) for run in runs]
    previous = ""
    for lines in zip(*columns, strict=True):
        group = lines[0].group
        table.add_row(
            group if group != previous else "", lines[0].name, *(cell for row in lines for cell in _cells(row))
        )
        previous = group
    table.add_section()
    sums: list[str] = []
    truth: list[str] = []
    for run, rows in zip(runs, columns, strict=True):
        mean = float(run.latency_ps.mean()) / 1000.0 if run.latency_ps.size else 0.0
        sums += [_us(mean), _us(sum(row.p99_ns for row in rows)), "100.0 %"]
        truth += ["", _us(percentile_ns(run.latency_ps, 99.0)), ""]
    table.add_row("Total latency", "sum of the rows", *sums)
    table.add_row("", "true end-to-end p99", *truth)
    return table


def kernel_table(runs: Sequence[Run]) -> Table:
    """The parts behind the kernels' rows, side by side, largest first by the first personality that has them."""
    table = Table(title="Inside the kernels, per request", title_justify="left", pad_edge=False, show_edge=False)
    table.add_column("Part", no_wrap=True)
    for run in runs:
        _three_columns(table, run)
    columns = [{row.name: row for row in part_rows(run, KERNEL)} for run in runs]
    for name in dict.fromkeys(name for column in columns for name in column):
        rows = (column.get(name) for column in columns)
        table.add_row(name, *(cell for row in rows for cell in (_cells(row) if row else ("-", "-", "-"))))
    return table


def _three_columns(table: Table, run: Run) -> None:
    table.add_column(f"{run.personality}\nmean (us)", justify="right", no_wrap=True)
    table.add_column("\n99 %ile (us)", justify="right", no_wrap=True)
    table.add_column("\nshare", justify="right", no_wrap=True)


def _footnotes(console: Console, run: Run) -> None:
    busy = run.cycles_total - run.component_cycles().get("idle", 0)
    served = max(1, int(run.latency_ps.size))
    console.print(
        f"{run.personality}: {run.latency_ps.size:,} answered of {run.sent:,} sent ({run.lost:,} lost) "
        f"at {run.rate_rps:,.0f} requests/s; "
        f"capacity {run.capacity_rps:,.0f} requests/s; {busy / served:,.0f} busy cycles and "
        f"{run.busy_instructions / served:,.0f} instructions a request",
        highlight=False,
        soft_wrap=True,
    )
    for symbol, cycles in run.unmapped:
        console.print(f"  no component: {symbol} {cycles:,} cycles", highlight=False)
    for probe, values in run.notes.items():
        listed = ", ".join(f"{value} ({count:,} times)" for value, count in sorted(values.items()))
        console.print(f"  {probe}: {listed}", highlight=False)


def _cells(row: Row) -> tuple[str, str, str]:
    return _us(row.mean_ns), _us(row.p99_ns), f"{row.share * 100:.1f} %"


def _us(nanoseconds: float) -> str:
    return f"{nanoseconds / 1000.0:,.3f}"
