# SPDX-License-Identifier: GPL-2.0-or-later
"""A sweep as a table, as JSON, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console

from cyclescope.experiments.sweep import Curve
from cyclescope.report.document import SCHEMA
from cyclescope.report.svg import COLOURS, Line, line_chart
from cyclescope.report.tables import compact_table

P99_FACTOR = 3.0
KNEE = "the swept load with the highest throughput over mean latency"


def sweep_document(config: dict[str, Any], config_hash: str, curves: Sequence[Curve]) -> dict[str, Any]:
    """Everything of a sweep."""
    return {
        "schema": SCHEMA,
        "config": config,
        "config_hash": config_hash,
        "knee_is": KNEE,
        "curves": [
            {
                "personality": curve.personality,
                "capacity_rps": curve.capacity_rps,
                "points": [{**asdict(point), "power": point.power} for point in curve.points],
                "knee": {"share": curve.knee.share, "offered_rps": curve.knee.offered_rps},
                "p99_limit": {"factor": P99_FACTOR, "offered_rps": curve.p99_limit(P99_FACTOR)},
            }
            for curve in curves
        ],
    }


def print_sweep(console: Console, curves: Sequence[Curve], heading: str) -> None:
    """A table a personality; the knee's row is marked."""
    console.print(heading, highlight=False)
    for curve in curves:
        table = compact_table(f"\n{curve.personality}: capacity {curve.capacity_rps:,.0f} requests/s")
        for name in ("load", "offered/s", "answered/s", "mean us", "p50 us", "p99 us", "busy", "lost", ""):
            table.add_column(name, justify="right" if name else "left", no_wrap=True)
        for point in curve.points:
            table.add_row(
                f"{point.share * 100:.0f} %",
                f"{point.offered_rps:,.0f}",
                f"{point.throughput_rps:,.0f}",
                *(f"{ns / 1000:,.2f}" for ns in (point.mean_ns, point.p50_ns, point.p99_ns)),
                f"{point.busy * 100:.0f} %",
                f"{point.lost:,}",
                "< knee" if point is curve.knee else "",
            )
        console.print(table)
        limit = curve.p99_limit(P99_FACTOR)
        told = f"at {limit:,.0f} requests/s" if limit else "nowhere here"
        console.print(f"p99 passes {P99_FACTOR:g} times the lightest load's {told}", highlight=False)
    console.print(f"\nThe knee is {KNEE}. Beyond capacity latencies grow with the run's length.", highlight=False)


def sweep_picture(curves: Sequence[Curve], title: str) -> str:
    """Mean and 99th percentile over offered load, the knees ringed."""
    lines = []
    for number, curve in enumerate(curves):
        colour = COLOURS[number % len(COLOURS)]
        for dashed, what in ((False, "mean"), (True, "p99")):
            points = [(p.offered_rps / 1e6, (p.p99_ns if dashed else p.mean_ns) / 1e3) for p in curve.points]
            ringed = [] if dashed else [(curve.knee.offered_rps / 1e6, curve.knee.mean_ns / 1e3)]
            lines.append(Line(f"{curve.personality}, {what}", colour, points, dashed, ringed))
    return line_chart(title, "offered load (M requests/s); the knee is ringed", "latency (us)", lines)
