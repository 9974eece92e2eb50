# SPDX-License-Identifier: GPL-2.0-or-later
"""Events as a document and as a table: how often, at what each, to whose account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console

from cyclescope.report.tables import compact_table
from emu.ledger.events import EventCost


def events_document(events: Sequence[EventCost]) -> list[dict[str, Any]]:
    """One object a kind, dearest first."""
    return [
        {
            "row": event.row, "count": event.count, "each_cycles": event.each_cycles, "cycles": event.cycles,
            "charged_to": event.charged_to, "grade": event.grade,
        }
        for event in events
    ]  # fmt: skip


def print_events(console: Console, title: str, events: Sequence[EventCost], requests: int | None = None) -> None:
    """A row a kind; with `requests`, counts and cycles are a request's share."""
    table = compact_table(title)
    table.add_column("Event (row)", no_wrap=True)
    for name in ("count", "each", "cycles"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("charged to", no_wrap=True)
    table.add_column("grade", no_wrap=True)
    for event in events:
        count, cycles = f"{event.count:,}", f"{event.cycles:,}"
        if requests:
            count, cycles = f"{event.count / requests:,.2f}", f"{event.cycles / requests:,.1f}"
        table.add_row(event.row, count, f"{event.each_cycles:,}", cycles, event.charged_to, event.grade)
    console.print(table)
