# SPDX-License-Identifier: GPL-2.0-or-later
"""Effort against utility, as a table, as JSON, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console

from cyclescope.experiments.effort import Measured
from cyclescope.report.bars import bar_chart
from cyclescope.report.document import SCHEMA, run_document
from cyclescope.report.figures import figures
from cyclescope.report.svg import panels
from cyclescope.report.tables import compact_table

MISSES = ("l1i_miss", "l1d_miss", "l2_miss", "llc_miss")


def effort_figures(each: Measured) -> dict[str, Any]:
    """One port's: lines, bytes, and what the run came to; cycles, instructions, misses and system calls a request."""
    run, port = each.outcome.run, each.port
    found = figures(run)
    return {
        "name": port.name,
        "lines": {**asdict(port.lines), "layer": port.layer, "system": port.system},
        "bytes": {**asdict(each.size), "loaded": each.size.loaded},
        "kept": asdict(each.kept),
        "capacity_rps": run.capacity_rps,
        **{name: found[name] for name in ("rate_rps", "mean_ns", "p99_ns", "cycles", "instructions", "syscalls", "lost")},
        "misses": {name: sum(vcpu[name] for vcpu in run.counters) / found["answered"] for name in MISSES},
    }


def effort_document(config: dict[str, Any], config_hash: str, title: str, found: Sequence[Measured]) -> dict[str, Any]:
    """Everything: each port's figures, and its run as `compare` documents it."""
    return {
        "schema": SCHEMA,
        "config": config,
        "config_hash": config_hash,
        "title": title,
        "ports": [{**effort_figures(each), "run": run_document(each.outcome.run)} for each in found],
    }


def print_effort(console: Console, found: Sequence[Measured], heading: str) -> None:
    """A row a quantity, a column a port."""
    rows = [effort_figures(each) for each in found]
    console.print(heading, highlight=False)
    table = compact_table("")
    table.add_column("", no_wrap=True)
    for row in rows:
        table.add_column(row["name"], justify="right")

    def section(*lines: tuple[str, list[str]]) -> None:
        for name, cells in lines:
            table.add_row(name, *cells)
        table.add_section()

    def numbers(*path: str, scale: float = 1.0, form: str = ",.0f") -> list[str]:
        cells = []
        for row in rows:
            value: Any = row
            for key in path:
                value = value[key]
            cells.append(format(value * scale, form))
        return cells

    section(
        ("lines reused", numbers("lines", "reused")),
        ("lines left out", numbers("lines", "left_out")),
        ("lines written", numbers("lines", "written")),
        ("layer, once for all", numbers("lines", "layer")),
        ("system", numbers("lines", "system")),
    )
    section(
        ("text, KiB", numbers("bytes", "text", scale=1 / 1024, form=",.1f")),
        ("constants, KiB", numbers("bytes", "constants", scale=1 / 1024, form=",.1f")),
        ("data, KiB", numbers("bytes", "data", scale=1 / 1024, form=",.1f")),
        ("loaded, KiB", numbers("bytes", "loaded", scale=1 / 1024, form=",.1f")),
        ("zeroed, KiB", numbers("bytes", "zero", scale=1 / 1024, form=",.1f")),
        ("functions kept", [f"{row['kept']['functions']} of {row['kept']['of']}" for row in rows]),
        ("their text, KiB", numbers("kept", "bytes", scale=1 / 1024, form=",.1f")),
    )
    section(
        ("capacity, k/s", numbers("capacity_rps", scale=1e-3)),
        ("latency, mean, us", numbers("mean_ns", scale=1e-3, form=".2f")),
        ("latency, p99, us", numbers("p99_ns", scale=1e-3, form=".2f")),
    )
    section(
        ("cycles", numbers("cycles")),
        ("instructions", numbers("instructions")),
        ("system calls", numbers("syscalls", form=".2f")),
        ("L1I misses", numbers("misses", "l1i_miss", form=".1f")),
        ("L1D misses", numbers("misses", "l1d_miss", form=".1f")),
        ("L2 misses", numbers("misses", "l2_miss", form=".1f")),
        ("LLC misses", numbers("misses", "llc_miss", form=".2f")),
    )
    console.print(table, markup=False)


def effort_picture(found: Sequence[Measured], title: str) -> str:
    """Four panels of bars: lines written, capacity, busy cycles a request, L1 misses a request."""
    rows = [effort_figures(each) for each in found]

    def bars(value: str, scale: float = 1.0) -> list[tuple[str, float]]:
        return [(row["name"], row[value] * scale) for row in rows]

    misses = [(row["name"], row["misses"]["l1i_miss"] + row["misses"]["l1d_miss"]) for row in rows]
    charts = [
        bar_chart(f"{title}: lines written for the port", [(row["name"], row["lines"]["written"]) for row in rows]),
        bar_chart("Capacity, thousand requests a second", bars("capacity_rps", 1e-3)),
        bar_chart("Busy cycles a request", bars("cycles")),
        bar_chart("L1 misses a request, instructions and data", misses, ",.1f"),
    ]
    return panels(charts, 2)
