# SPDX-License-Identifier: GPL-2.0-or-later
"""Progress on standard error: a bar on a terminal, nothing when it is not one, or when asked to be quiet."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cyclescope.experiments.phases import Progress as Report
from cyclescope.experiments.phases import no_progress


@contextmanager
def shown(quiet: bool) -> Iterator[Report]:
    """Yields what an experiment reports to."""
    if quiet or not sys.stderr.isatty():
        yield no_progress
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True, markup=False), transient=True) as bar:
        task = bar.add_task("", total=None)

        def report(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total or None)

        yield report
