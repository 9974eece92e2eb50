# SPDX-License-Identifier: GPL-2.0-or-later
"""A comparison over several seeds: each figure with its confidence interval, on a terminal and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from cyclescope.experiments.seeds import Repetition
from cyclescope.report.causes import cause_stack, print_causes
from cyclescope.report.chronos import KERNEL, Row, chronos_rows, percentile_ns
from cyclescope.report.document import SCHEMA, comparison_document
from cyclescope.report.intervals import METHOD, Interval, interval
from cyclescope.report.tables import compact_table
from cyclescope.result import Run

Figure = Callable[[Run], float]

FIGURES: dict[str, Figure] = {
    "mean_ns": lambda run: float(run.latency_ps.mean()) / 1000.0,
    "p99_ns": lambda run: percentile_ns(run.latency_ps, 99.0),
    "busy_cycles_per_request": lambda run: run.busy_cycles / run.latency_ps.size,
    "capacity_rps": lambda run: run.capacity_rps,
    "lost": lambda run: float(run.lost),
}
"""What of a run gets an interval, besides the table's rows."""


def columns(repetitions: Sequence[Repetition]) -> list[list[Run]]:
    """For each personality, its run of each seed."""
    return [[outcome.run for outcome in same] for same in zip(*(r.outcomes for r in repetitions), strict=True)]


def intervals(runs: Sequence[Run]) -> dict[str, Interval]:
    """FIGURES over one personality's runs."""
    return {name: interval([figure(run) for run in runs]) for name, figure in FIGURES.items()}


def differences(runs: Sequence[Run], first: Sequence[Run]) -> dict[str, Interval]:
    """Mean and p99 less those of the first personality, seed by seed: keys and arrivals of a pair are the same."""
    return {
        name: interval([FIGURES[name](run) - FIGURES[name](other) for run, other in zip(runs, first, strict=True)])
        for name in ("mean_ns", "p99_ns")
    }


def replicated_document(config: dict[str, Any], repetitions: Sequence[Repetition]) -> dict[str, Any]:
    """`personalities` holds the intervals, `comparisons` each seed's whole document."""
    all_runs = columns(repetitions)
    return {
        "schema": SCHEMA,
        "config": config,
        "seeds": [repetition.load.seed for repetition in repetitions],
        "method": METHOD,
        "personalities": [
            {
                "personality": runs[0].personality,
                **{name: _plain(value) for name, value in intervals(runs).items()},
                "rows": [
                    {"group": rows[0].group, "name": rows[0].name, "mean_ns": _plain(mean), "p99_ns": _plain(p99)}
                    for rows, mean, p99 in _rows(runs)
                ],
                "less_than_first": {name: _plain(value) for name, value in differences(runs, all_runs[0]).items()},
                "causes": cause_stack(runs).cycles,
                "requests": cause_stack(runs).requests,
            }
            for runs in all_runs
        ],
        "comparisons": [
            comparison_document(
                {**config, "load": {**config["load"], "seed": repetition.load.seed}},
                repetition.digest,
                [outcome.run for outcome in repetition.outcomes],
            )
            for repetition in repetitions
        ],
    }


def print_replicated(console: Console, repetitions: Sequence[Repetition], heading: str) -> None:
    """The table with its intervals, the differences, the cause stacks over all seeds."""
    all_runs = columns(repetitions)
    for beside in _beside(console, all_runs):
        console.print(replicated_table(beside, heading))
        console.print()
    print_causes(console, [cause_stack(runs) for runs in all_runs])
    for runs in all_runs:
        _footnote(console, runs)
    for runs in all_runs[1:]:
        _difference(console, runs, all_runs[0])
    console.print(f"± is half of a {METHOD}.", highlight=False)


def replicated_table(all_runs: Sequence[Sequence[Run]], heading: str) -> Table:
    """Mean and p99 of each row in microseconds, each with its half-width."""
    table = compact_table(heading)
    table.add_column("us", no_wrap=True)
    for runs in all_runs:
        table.add_column(f"{runs[0].personality}\nmean", justify="right", no_wrap=True)
        table.add_column("\np99", justify="right", no_wrap=True)
    for lines in zip(*(_rows(runs) for runs in all_runs), strict=True):
        row = lines[0][0][0]
        name = f"{row.group}, {row.name.lower()}" if row.group == KERNEL else row.name
        table.add_row(name, *(_us(value) for _, mean, p99 in lines for value in (mean, p99)))
    table.add_section()
    totals = [intervals(runs) for runs in all_runs]
    table.add_row("end to end", *(_us(total[name]) for total in totals for name in ("mean_ns", "p99_ns")))
    return table


def _rows(runs: Sequence[Run]) -> list[tuple[tuple[Row, ...], Interval, Interval]]:
    by_row = zip(*(chronos_rows(run) for run in runs), strict=True)
    return [(rows, interval([row.mean_ns for row in rows]), interval([row.p99_ns for row in rows])) for rows in by_row]


def _beside(console: Console, all_runs: list[list[Run]]) -> list[list[list[Run]]]:
    roomy = console.options.update(width=10_000)
    fits = Measurement.get(console, roomy, replicated_table(all_runs, "")).maximum <= console.width
    if fits or len(all_runs) == 1:
        return [all_runs]
    half = len(all_runs) // 2
    return [*_beside(console, all_runs[:half]), *_beside(console, all_runs[half:])]


def _footnote(console: Console, runs: Sequence[Run]) -> None:
    found = intervals(runs)
    parts = [f"{_number(found['busy_cycles_per_request'], 0)} busy cycles a request"]
    if found["capacity_rps"].mean:
        parts.append(f"capacity {_number(found['capacity_rps'], 0)} requests/s")
    lost = sum(run.lost for run in runs)
    console.print(
        f"{runs[0].personality}: {'; '.join(parts)}; {lost:,} of {sum(run.sent for run in runs):,} lost", highlight=False
    )


def _difference(console: Console, runs: Sequence[Run], first: Sequence[Run]) -> None:
    found = differences(runs, first)
    told = []
    for name, what in (("mean_ns", "mean"), ("p99_ns", "p99")):
        apart = "" if abs(found[name].mean) > found[name].half_width else " (none that these seeds show)"
        told.append(f"{what} {_us(found[name])} us{apart}")
    console.print(f"{runs[0].personality} less {first[0].personality}, seed by seed: {', '.join(told)}", highlight=False)


def _plain(value: Interval) -> dict[str, Any]:
    return {"mean": value.mean, "half_width": value.half_width, "samples": list(value.samples)}


def _us(value: Interval) -> str:
    return _number(Interval(value.mean / 1000, value.half_width / 1000, ()), 2)


def _number(value: Interval, digits: int) -> str:
    return f"{value.mean:,.{digits}f} ±{value.half_width:,.{digits}f}"
