# SPDX-License-Identifier: GPL-2.0-or-later
"""How personalities scale, as tables, as JSON, as a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console

from cyclescope.experiments.scale import PHASES, Scaled
from cyclescope.report.document import SCHEMA, run_document
from cyclescope.report.figures import by_cause, by_component, figures
from cyclescope.report.svg import COLOURS, Line, line_chart, panels
from cyclescope.report.tables import compact_table
from cyclescope.result import Run

UNKNOWN = 0.01
"""A component or cause below this share of the cycles everywhere is not listed by itself."""


def scale_document(config: dict[str, Any], config_hash: str, found: Sequence[Scaled]) -> dict[str, Any]:
    """Everything: each phase's figures, and its run as `compare` documents it."""
    return {
        "schema": SCHEMA,
        "config": config,
        "config_hash": config_hash,
        "machines": [
            {
                "personality": each.personality,
                "cpus": each.cpus,
                "capacity_rps": each.capacity_rps,
                "outstanding": each.outstanding,
                **{
                    phase: {"figures": figures(getattr(each, phase)), "run": run_document(getattr(each, phase))}
                    for phase in PHASES
                },
            }
            for each in found
        ],
    }


def print_scale(console: Console, found: Sequence[Scaled], heading: str, share: float) -> None:
    """One line a machine; then, a personality, instructions and cycles by component and by cause, all at capacity."""
    console.print(heading, highlight=False)
    table = compact_table("")
    table.add_column("", no_wrap=True)
    near = f"{share * 100:.0f} %"
    for name in (
        "\nvCPUs", "capacity\nk/s", "\nper vCPU", "one\nmean us", "\np99", f"{near}\nmean us", "\np99", "full\ninstr.",
        "\ncycles", "\nIPC", "\nbusy", "locks\nof busy", "\nspin", "\natomic", "\nwait us", "all\ncoher.",
        "\nsyscalls", "\nlost",
    ):  # fmt: skip
        table.add_column(name, justify="right", no_wrap=True)
    first: dict[str, Scaled] = {}
    for each in found:
        if each.personality not in first and first:
            table.add_section()
        table.add_row(*row(each, first.setdefault(each.personality, each)))
    console.print(table, markup=False)
    for name in first:
        mine = [each for each in found if each.personality == name]
        console.print()
        _print_split(console, f"{name} at capacity, by component", mine, _components)
        console.print()
        _print_split(console, f"{name} at capacity, by cause", mine, _causes)


def row(each: Scaled, first: Scaled) -> list[str]:
    """A machine's cells; `first` is the same personality's smallest."""
    one, full, near = (figures(run) for run in (each.one, each.full, each.near))
    per_vcpu = each.capacity_rps / each.cpus / (first.capacity_rps / first.cpus)
    return [
        each.personality, str(each.cpus), f"{each.capacity_rps / 1e3:,.0f}", f"{per_vcpu * 100:.0f} %",
        *(f"{ns / 1e3:,.2f}" for ns in (one["mean_ns"], one["p99_ns"], near["mean_ns"], near["p99_ns"])),
        f"{full['instructions']:,.0f}", f"{full['cycles']:,.0f}", f"{full['ipc']:.2f}",
        *(f"{full[key] * 100:.1f} %" for key in ("busy", "lock_share", "lock_spin_share", "lock_atomic_share")),
        f"{full['lock_wait_ns'] / 1e3:.2f}", f"{full['coherence_share'] * 100:.1f} %", f"{full['syscalls']:.2f}",
        str(sum(getattr(each, phase).lost for phase in PHASES)),
    ]  # fmt: skip


def _components(run: Run) -> dict[str, tuple[float, ...]]:
    return {**by_component([run])}


def _causes(run: Run) -> dict[str, tuple[float, ...]]:
    return {name: (cycles,) for name, cycles in by_cause(run).items()}


def _print_split(
    console: Console, title: str, mine: Sequence[Scaled], split: Callable[[Run], dict[str, tuple[float, ...]]]
) -> None:
    """A row a part (instructions and) cycles a request, columns by vCPUs; small ones in one row."""
    columns = [split(each.full) for each in mine]
    busy = [sum(values[-1] for values in column.values()) for column in columns]
    kept = [
        name
        for name in dict.fromkeys(name for column in columns for name in column)
        if any(column[name][-1] > UNKNOWN * total for column, total in zip(columns, busy, strict=True) if name in column)
    ]
    width = max(len(values) for column in columns for values in column.values())
    kinds = ("instr.", "cycles")[-width:]
    console.print(title, highlight=False, markup=False)
    table = compact_table("")
    table.add_column("", no_wrap=True)
    for kind in kinds:
        for each in mine:
            head = kind if each is mine[0] else ""
            table.add_column(f"{head}\n{each.cpus}", justify="right", no_wrap=True)
    nothing = (0.0,) * width
    for name in kept:
        table.add_row(name, *(_number(column.get(name, nothing)[at]) for at in range(width) for column in columns))
    rest = [[sum(v[at] for n, v in column.items() if n not in kept) for at in range(width)] for column in columns]
    if any(any(values) for values in rest):
        table.add_row("the rest", *(_number(values[at]) for at in range(width) for values in rest))
    table.add_section()
    table.add_row("all", *(_number(sum(v[at] for v in column.values())) for at in range(width) for column in columns))
    console.print(table, markup=False)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 0.5 else "-" if not value else f"{value:.1f}"


def scale_picture(found: Sequence[Scaled], title: str, share: float) -> str:
    """As `picture`."""
    return picture([point(each) for each in found], title, share)


def point(each: Scaled) -> dict[str, Any]:
    """A machine's figures, a dictionary a phase."""
    phases = {phase: figures(getattr(each, phase)) for phase in PHASES}
    return {"personality": each.personality, "cpus": each.cpus, "capacity_rps": each.capacity_rps, **phases}


def picture(points: Sequence[Mapping[str, Any]], title: str, share: float) -> str:
    """Four panels over vCPUs: capacity, latency, locks' share of the busy cycles, busy cycles a request."""
    names = list(dict.fromkeys(each["personality"] for each in points))
    counts = sorted({each["cpus"] for each in points})
    ticks = [(float(cpus), str(cpus)) for cpus in counts]

    def lines(*curves: Callable[[Mapping[str, Any]], float]) -> list[Line]:
        """The second curve is dashed, and not in the legend: the title names it."""
        return [
            Line(
                "" if dashed else name, COLOURS[number % len(COLOURS)],
                [(float(each["cpus"]), value(each)) for each in points if each["personality"] == name], dashed=dashed > 0,
            )
            for number, name in enumerate(names)
            for dashed, value in enumerate(curves)
        ]  # fmt: skip

    charts = [
        line_chart(f"{title}: capacity", "vCPUs", "requests/s (M)", lines(lambda each: each["capacity_rps"] / 1e6), ticks),
        line_chart(
            f"Mean latency, one request at a time; dashed: at {share * 100:.0f} % of capacity", "vCPUs", "us",
            lines(lambda each: each["one"]["mean_ns"] / 1e3, lambda each: each["near"]["mean_ns"] / 1e3), ticks,
        ),
        line_chart(
            "Locks' share of busy cycles at capacity; dashed: spinning", "vCPUs", "%",
            lines(lambda each: 100 * each["full"]["lock_share"], lambda each: 100 * each["full"]["lock_spin_share"]),
            ticks, linear=True,
        ),
        line_chart("Busy cycles a request at capacity", "vCPUs", "cycles", lines(lambda each: each["full"]["cycles"]), ticks),
    ]  # fmt: skip
    return panels(charts, 2)
