# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope personalities`: which there are, and the knobs they have."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.table import Table

from personalities.base import all_personalities


def add_to(app: typer.Typer) -> None:
    app.command("personalities", help="List the personalities that are installed.")(personalities)


def personalities() -> None:
    """Prints name, kind and title, one a line."""
    table = Table(show_edge=False, pad_edge=False)
    for heading in ("Name", "Kind", "Title"):
        table.add_column(heading, no_wrap=heading != "Title")
    for personality in all_personalities():
        table.add_row(personality.name, personality.kind, personality.title)
    for personality in all_personalities():
        for name, knob in personality.knobs.items():
            table.add_row(f"{personality.name}+{name}", "", knob.title)
    Console(markup=False).print(table)
