# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands, joined: each lives in a module of its own."""

from __future__ import annotations

import typer

from cyclescope.cli import asm, compare, doctor, personalities, replay, run

app = typer.Typer(
    name="cyclescope",
    help="Run the same program and packets on different operating systems, and see where every cycle of every request went.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (compare, replay, run, asm, personalities, doctor):
    module.add_to(app)
