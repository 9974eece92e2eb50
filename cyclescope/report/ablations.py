# SPDX-License-Identifier: GPL-2.0-or-later
"""The ablation table: one line a variant of a kernel."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from cyclescope.report.chronos import KERNEL, chronos_rows, percentile_ns
from cyclescope.report.tables import compact_table
from cyclescope.result import Run

POLLING = "polling"
"""The component of looking at empty rings, in the manifests that have it: busy, and no work."""


def polled_cycles(run: Run) -> int:
    """Cycles spent looking at empty rings."""
    return sum(run.cycles.get(POLLING, {}).values())


def print_ablation(console: Console, runs: Sequence[Run], heading: str) -> None:
    """Latencies in microseconds; `work` is busy cycles a request without polling of empty rings."""
    table = compact_table(heading)
    table.add_column("", no_wrap=True)
    for name in ("mean", "p99", "kernel", "wake-up", "app"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("work", "polling"):
        table.add_column(f"{name}\ncycles", justify="right", no_wrap=True)
    table.add_column("capacity\nk/s", justify="right", no_wrap=True)
    previous = ""
    for run in runs:
        base, *knobs = run.personality.split("+")
        rows = chronos_rows(run)
        kernel = sum(row.mean_ns for row in rows if row.group == KERNEL)
        named = {row.name: row.mean_ns for row in rows}
        polled, served = polled_cycles(run), run.latency_ps.size
        if previous and base != previous:
            table.add_section()
        previous = base
        table.add_row(
            base if not knobs else f"  + {knobs[0]}" if len(knobs) == 1 else "  + all of them",
            *(
                f"{ns / 1000:,.2f}"
                for ns in (
                    float(run.latency_ps.mean()) / 1000.0,
                    percentile_ns(run.latency_ps, 99.0),
                    kernel,
                    named["Processor wake-up"],
                    named["Application"],
                )
            ),
            f"{(run.busy_cycles - polled) / served:,.0f}",
            f"{polled / served:,.0f}" if polled else "-",
            f"{run.capacity_rps / 1000:,.0f}" if run.capacity_rps else "-",
        )
    console.print(table)
    lost = [f"{run.personality} lost {run.lost:,}" for run in runs if run.lost]
    if lost:
        console.print("; ".join(lost), highlight=False)
    first = runs[0]
    console.print(
        f"\nLatencies in us (kernel: running, locks and waiting), cycles a request;\n"
        f"{first.sent:,} requests at {first.rate_rps:,.0f} requests/s each.",
        highlight=False,
    )
