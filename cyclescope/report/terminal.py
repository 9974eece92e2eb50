# SPDX-License-Identifier: GPL-2.0-or-later
"""What a person sees: the tables side by side, in a terminal or in a file."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from cyclescope.report.causes import cause_stack, print_causes
from cyclescope.report.chronos import KERNEL, Row, chronos_rows, part_rows, percentile_ns
from cyclescope.report.tables import compact_table
from cyclescope.result import Run

LISTED = 5
"""Functions without a component that are named."""


def print_comparison(console: Console, runs: Sequence[Run], heading: str) -> None:
    """The Chronos-shaped table of the runs, the kernels' own components, the causes; side by side as far as the console is wide."""
    for beside, compact in _layout(console, runs):
        console.print(latency_table(beside, heading, compact=compact))
        console.print()
    for beside, compact in _layout(console, runs):
        console.print(kernel_table(beside, compact=compact))
        console.print()
    print_causes(console, [cause_stack([run]) for run in runs])
    for run in runs:
        _footnotes(console, run)


def _layout(console: Console, runs: Sequence[Run]) -> list[tuple[Sequence[Run], bool]]:
    """Which runs stand side by side, and whether in the compact form: a longer page is better than a figure cut off."""
    for compact in (False, True):
        tables = (latency_table(runs, "", compact=compact), kernel_table(runs, compact=compact))
        roomy = console.options.update(width=10_000)
        if all(Measurement.get(console, roomy, table).maximum <= console.width for table in tables):
            return [(runs, compact)]
    if len(runs) == 1:
        return [(runs, True)]
    half = len(runs) // 2
    return [*_layout(console, runs[:half]), *_layout(console, runs[half:])]


def latency_table(runs: Sequence[Run], heading: str, *, compact: bool = False) -> Table:
    """Mean and p99 in microseconds, share of the mean latency, a column group a personality; `compact` saves width."""
    table = _table(heading, compact)
    if not compact:
        table.add_column("Component", no_wrap=True)
    table.add_column("Description", no_wrap=True)
    for run in runs:
        _three_columns(table, run, compact)
    columns = [chronos_rows(run) for run in runs]
    previous = ""
    for lines in zip(*columns, strict=True):
        group = lines[0].group
        cells = (cell for row in lines for cell in _cells(row, compact))
        if compact:
            table.add_row(f"{group}, {lines[0].name.lower()}" if group == KERNEL else lines[0].name, *cells)
        else:
            table.add_row(group if group != previous else "", lines[0].name, *cells)
        previous = group
    table.add_section()
    sums: list[str] = []
    truth: list[str] = []
    for run, rows in zip(runs, columns, strict=True):
        mean = float(run.latency_ps.mean()) / 1000.0 if run.latency_ps.size else 0.0
        sums += [_us(mean), _us(sum(row.p99_ns for row in rows)), "100.0" if compact else "100.0 %"]
        truth += ["", _us(percentile_ns(run.latency_ps, 99.0)), ""]
    first = ([], []) if compact else (["Total latency"], [""])
    table.add_row(*first[0], "sum of the rows", *sums)
    table.add_row(*first[1], "true end-to-end p99", *truth)
    return table


def kernel_table(runs: Sequence[Run], *, compact: bool = False) -> Table:
    """The parts behind the kernels' rows, side by side, largest first by the first personality that has them."""
    table = _table("Inside the kernels, per request", compact)
    table.add_column("Part", no_wrap=True)
    for run in runs:
        _three_columns(table, run, compact)
    columns = [{row.name: row for row in part_rows(run, KERNEL)} for run in runs]
    for name in dict.fromkeys(name for column in columns for name in column):
        rows = (column.get(name) for column in columns)
        table.add_row(name, *(cell for row in rows for cell in (_cells(row, compact) if row else ("-", "-", "-"))))
    return table


def _table(title: str, compact: bool) -> Table:
    if compact:
        return compact_table(title)
    return Table(title=title, title_justify="left", pad_edge=False, show_edge=False)


def _three_columns(table: Table, run: Run, compact: bool) -> None:
    units = ("us", "p99 us", "%") if compact else ("mean (us)", "99 %ile (us)", "share")
    for name, unit in zip((run.personality, "", ""), units, strict=True):
        table.add_column(f"{name}\n{unit}", justify="right", no_wrap=True)


def _footnotes(console: Console, run: Run) -> None:
    served = max(1, int(run.latency_ps.size))
    capacity = f"capacity {run.capacity_rps:,.0f} requests/s; " if run.capacity_rps else ""  # measured for --load alone
    console.print(
        f"{run.personality}: {run.sent:,} sent at {run.rate_rps:,.0f} requests/s, {run.latency_ps.size:,} answered "
        f"({run.lost:,} lost); "
        f"{capacity}{run.busy_cycles / served:,.0f} busy cycles and "
        f"{run.busy_instructions / served:,.0f} instructions a request",
        highlight=False,
        soft_wrap=not console.is_terminal,
    )
    print_unmapped(console, run)
    for probe, values in run.notes.items():
        listed = ", ".join(f"{value} ({count:,} times)" for value, count in sorted(values.items()))
        console.print(f"  {probe}: {listed}", highlight=False)


def print_unmapped(console: Console, run: Run) -> None:
    """The functions that no pattern gave a component, in a line."""
    if run.unmapped:
        listed = ", ".join(f"{symbol} {cycles:,}" for symbol, cycles in run.unmapped[:LISTED])
        further = f", {len(run.unmapped) - LISTED} more (--json lists them)" if len(run.unmapped) > LISTED else ""
        share = 100 * sum(cycles for _, cycles in run.unmapped) / max(1, run.busy_cycles)
        console.print(
            f"  no component: {share:.2f} % of the busy cycles: {listed}{further}",
            highlight=False,
            soft_wrap=not console.is_terminal,
        )


def _cells(row: Row, compact: bool) -> tuple[str, str, str]:
    return _us(row.mean_ns), _us(row.p99_ns), f"{row.share * 100:.1f}{'' if compact else ' %'}"


def _us(nanoseconds: float) -> str:
    return f"{nanoseconds / 1000.0:,.3f}"
