# SPDX-License-Identifier: GPL-2.0-or-later
"""What `cyclescope sensitivity` shows: the statements and whether they stand, then which row moves what."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from cyclescope.experiments.sensitivity import FACTORS, Sensitivity, Verdict, headline_figures
from cyclescope.experiments.statements import SCENARIOS
from cyclescope.report.document import SCHEMA
from cyclescope.report.tables import compact_table


def sensitivity_document(config: dict[str, Any], config_hash: str, result: Sensitivity) -> dict[str, Any]:
    """Everything of it; figures are named scenario.personality.figure."""
    return {
        "schema": SCHEMA,
        "config": config,
        "config_hash": config_hash,
        "scenarios": {name: scenario.text for name, scenario in SCENARIOS.items()},
        "statements": [
            {
                "text": v.statement.text,
                "holds": v.holds,
                "survives": v.survives,
                "side": v.statement.side,
                "bound": v.statement.bound,
                "value": v.value,
                "low": {"value": v.low[0], "by": v.low[1]},
                "high": {"value": v.high[0], "by": v.high[1]},
                "broken_by": list(v.broken_by),
                "seeds": {"low": v.seeds[0], "high": v.seeds[1]},
            }
            for v in result.verdicts()
        ],
        "rows": [row.name for row in result.rows],
        "untouched": result.untouched(),
        "unchanged": list(result.unchanged),
        "variations": [
            {
                "name": found.variation.name,
                "row": found.variation.row,
                "value": found.variation.value,
                "seed": found.variation.seed,
                "figures": {f"{f.scenario}.{f.personality}.{f.name}": value for f, value in sorted(
                    found.figures.items(), key=lambda item: (item[0].scenario, item[0].personality, item[0].name))},
            }
            for found in (result.baseline, *result.varied, *result.seeds)
        ],
    }  # fmt: skip


def print_sensitivity(console: Console, result: Sensitivity, heading: str) -> None:
    """Two tables and three sentences."""
    console.print(heading, highlight=False)
    console.print()
    verdicts = result.verdicts()
    console.print(statement_table(verdicts))
    console.print()
    console.print(row_table(result))
    console.print()
    standing = sum(v.holds and v.survives for v in verdicts)
    console.print(
        f"{standing} of {len(verdicts)} statements hold under every one of {len(result.varied)} variations "
        f"({len(result.rows)} rows). A row that moves a figure less than seeds do moves nothing that can be told.",
        highlight=False,
    )
    if result.untouched():
        console.print(f"No run touches: {', '.join(result.untouched())}", highlight=False)
    if result.unchanged:
        console.print(f"No half or double that differs: {', '.join(result.unchanged)}", highlight=False)


def statement_table(verdicts: list[Verdict]) -> Table:
    """Each statement with its number at the baseline and over all variations."""
    table = compact_table("Statements, and the number each is about")
    table.add_column("Statement")
    for name in ("bound", "base", "least", "most", "seeds"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("holds", no_wrap=True)
    for v in verdicts:
        sign = "<" if v.statement.side == "below" else ">"
        table.add_row(
            v.statement.text,
            f"{sign} {v.statement.bound:g}",
            *(_short(value) for value in (v.value, v.low[0], v.high[0])),
            f"{_short(v.seeds[0])}-{_short(v.seeds[1])}",
            _told(v),
        )
    return table


def _told(v: Verdict) -> str:
    if v.survives:
        return "always" if v.holds else "never"
    first, *others = v.broken_by
    more = f" +{len(others)}" if others else ""
    return f"{'not' if v.holds else 'only'} {first}{more}"


def row_table(result: Sensitivity) -> Table:
    """Rows, those that move a headline figure most first: relative changes in percent at each factor."""
    table = compact_table("What each row moves, in percent of the baseline's figure under load")
    figures = headline_figures()
    table.add_column("Row", no_wrap=True)
    for label in figures:
        personality, figure = label.split()
        for number, factor in enumerate(FACTORS):
            head = (personality, figure)[number] if number < 2 else ""
            table.add_column(f"{head}\nx{float(factor):g}", justify="right", no_wrap=True)
    found = {(f.variation.row, f.variation.factor): f for f in result.varied}
    changes = {
        row.name: [
            result.change(found[row.name, factor], figure) if (row.name, factor) in found else 0.0
            for figure in figures.values()
            for factor in FACTORS
        ]
        for row in result.rows
    }
    untouched = result.untouched()
    for name in sorted(changes, key=lambda n: (-max(map(abs, changes[n])), n)):
        if name not in untouched:
            table.add_row(name, *(f"{change * 100:+.1f}" for change in changes[name]))
    table.add_section()
    spread = [result.seed_spread(figure) for figure in figures.values() for _ in FACTORS]
    table.add_row("another seed", *(f"±{change * 100:.1f}" for change in spread))
    return table


def _short(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"
