# SPDX-License-Identifier: GPL-2.0-or-later
"""The plain table that most of our reports use: no frame, a rule under the head, for terminals of 80 columns."""

from __future__ import annotations

from rich import box
from rich.table import Table


def compact_table(title: str) -> Table:
    """An empty one."""
    return Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
