# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures as Markdown tables, printed, or put in the place of those between their marks in a page.

A mark is `<!-- table NAME -->` and `<!-- end -->`, each on a line of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lines of a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float) -> str:
    """A count: whole, with commas; small ones as they are."""
    return "·" if not value else f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def us(nanoseconds: float) -> str:
    """Microseconds with two places."""
    return f"{nanoseconds / 1000:,.2f}"


def deliver(tables: Mapping[str, str], page: Path | None) -> None:
    """Print them, or replace those of the page. Raises SystemExit where the page has no such mark."""
    if page is None:
        for name, text in tables.items():
            print(f"{name}:\n\n{text}\n")
        return
    text = page.read_text()
    for name, made in tables.items():
        before, *rest = re.split(rf"(?ms)^<!-- table {re.escape(name)} -->$.*?^<!-- end -->$", text)
        if len(rest) != 1:
            raise SystemExit(f"{page}: holds {len(rest)} tables named {name}, not one")
        text = f"{before}<!-- table {name} -->\n{made}\n<!-- end -->{rest[0]}"
    page.write_text(text)
