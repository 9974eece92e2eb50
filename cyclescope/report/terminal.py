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
    for run in runs:
        console.print(kernel_table(run))
    for run in runs:
        _footnotes(console, run)


def latency_table(runs: Sequence[Run], heading: str) -> Table:
    """Mean and p99 in microseconds, share of the mean latency, a column group a personality."""
    table = Table(title=heading, title_justify="left", pad_edge=False, show_edge=False)
    table.add_column("Component", no_wrap=True)
    table.add_column("Description", no_wrap=True)
    for run in runs:
        table.add_column(f"{run.personality}\nmean (us)", justify="right", no_wrap=True)
        table.add_column("\n99 %ile (us)", justify="right", no_wrap=True)
        table.add_column("\nshare", justify="right", no_wrap=True)
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


def kernel_table(run: Run) -> Table:
    """The parts behind the kernel's rows, and the cycles each component took in all."""
    table = Table(
        title=f"{run.personality}: inside the kernel, per request",
        title_justify="left",
        pad_edge=False,
        show_edge=False,
    )
    for name in ("Part", "mean (us)", "99 %ile (us)", "share"):
        table.add_column(name, justify="left" if name == "Part" else "right", no_wrap=True)
    for row in part_rows(run, KERNEL):
        table.add_row(row.name, *_cells(row))
    return table


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
