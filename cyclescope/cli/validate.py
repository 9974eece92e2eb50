# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope validate`: how wrong the model is, figure by figure. Without a subcommand: everything there is."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console

from cyclescope.cli.options import Json, Quiet, Timing, Uarch, check_json_option, write_json_option
from cyclescope.cli.progress import shown
from cyclescope.experiments.validate.micro import run_experiments
from cyclescope.report.validation import print_figures
from emu.uarch.table import load as load_table

MISSED = 1
WIDTH = 150

Only = Annotated[str, typer.Option("--only", help="Experiments' names, joined by commas.")]

validate_app = typer.Typer(no_args_is_help=False, add_completion=False, rich_markup_mode=None)


def add_to(app: typer.Typer) -> None:
    app.add_typer(validate_app, name="validate", help="Hold the processor model against others' figures and the host's.")


@validate_app.callback(invoke_without_command=True)
def everything(context: typer.Context) -> int:
    """Hold the processor model against others' figures and the host's; without a subcommand, everything there is."""
    if context.invoked_subcommand is not None:
        return 0
    return micro()


@validate_app.command("micro", help="Guest microbenchmarks against the processor table's figures; 1 if a bound is missed.")
def micro(
    uarch: Uarch = "skylake_sp", timing: Timing = "fast", only: Only = "", json: Json = None, quiet: Quiet = False
) -> int:
    """Exit code 1 when a bound is missed."""
    check_json_option(json)
    load_table(uarch)
    with shown(quiet) as progress:
        figures = run_experiments(uarch, timing, [name for name in only.split(",") if name], progress)
    missed = sum(not figure.ok for figure in figures)
    if json is not None:
        document = {"uarch": uarch, "timing": timing, "missed": missed, "figures": [f.document() for f in figures]}
        write_json_option(json, document)
    if json != "-":
        print_figures(_console(), figures, f"Microbenchmarks in guests: {uarch}, {timing}")
    return MISSED if missed else 0


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else WIDTH)
