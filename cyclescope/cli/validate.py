# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope validate`: how wrong the model is, figure by figure. Without a subcommand: all that needs no file."""

from __future__ import annotations

from typing import Annotated

import typer

from cyclescope.cli import validate_blocks, validate_emulator
from cyclescope.cli.options import (
    Json,
    Quiet,
    Set,
    Timing,
    Uarch,
    changed_rows,
    check_json_option,
    write_json_option,
)
from cyclescope.cli.progress import shown
from cyclescope.cli.results import Svg, check_svg_option, wide, write_svg_option
from cyclescope.experiments.validate.kernels import compare_kernels
from cyclescope.experiments.validate.micro import run_experiments
from cyclescope.report.validation import print_figures, print_kernels
from cyclescope.report.validation_pictures import chase_picture, kernels_picture
from emu.errors import ConfigError

MISSED = 1
WIDTH = 150

Only = Annotated[str, typer.Option("--only", help="Names, joined by commas, of what to run.")]

validate_app = typer.Typer(no_args_is_help=False, add_completion=False, rich_markup_mode=None)
validate_blocks.add_to(validate_app)
validate_emulator.add_to(validate_app)


def add_to(app: typer.Typer) -> None:
    app.add_typer(validate_app, name="validate", help="Hold the processor model against others' figures and the host's.")


@validate_app.callback(invoke_without_command=True)
def everything(context: typer.Context) -> int:
    """Hold the processor model against others' figures and the host's; without a subcommand, all that needs no file."""
    if context.invoked_subcommand is not None:
        return 0
    return max(micro(), kernels())


@validate_app.command("micro", help="Guest microbenchmarks against the processor table's figures; 1 if a bound is missed.")
def micro(
    uarch: Uarch = "skylake_sp",
    set_rows: Set = None,
    timing: Timing = "detailed",
    only: Only = "",
    svg: Svg = None,
    json: Json = None,
    quiet: Quiet = False,
) -> int:
    """Exit code 1 when a bound is missed."""
    check_json_option(json)
    check_svg_option(svg)
    rows = changed_rows(uarch, set_rows)
    with shown(quiet) as progress:
        figures = run_experiments(uarch, timing, _names(only), rows, progress)
    missed = sum(not figure.ok for figure in figures)
    if svg is not None:
        picture = chase_picture(figures, f"Pointer chase, random order: {uarch}, {timing}")
        if picture is None:
            raise ConfigError("--svg draws the pointer chase: let --only hold chase")
        write_svg_option(svg, picture)
    if json is not None:
        told = [figure.document() for figure in figures]
        write_json_option(json, {"uarch": uarch, "rows": rows, "timing": timing, "missed": missed, "figures": told})
    if json != "-":
        print_figures(wide(WIDTH), figures, f"Microbenchmarks in guests: {uarch}, {timing}")
    return MISSED if missed else 0


@validate_app.command("kernels", help="The same real kernels on this host and in a guest; 1 if their costs' orders differ.")
def kernels(
    uarch: Uarch = "skylake_sp",
    set_rows: Set = None,
    timing: Timing = "detailed",
    only: Only = "",
    svg: Svg = None,
    json: Json = None,
    quiet: Quiet = False,
) -> int:
    """Exit code 1 when the rank correlation over all points is below its bound."""
    check_json_option(json)
    check_svg_option(svg)
    rows = changed_rows(uarch, set_rows)
    with shown(quiet) as progress:
        comparison = compare_kernels(uarch, timing, _names(only), rows, progress)
    figures = comparison.figures()
    missed = sum(not figure.ok for figure in figures)
    heading = f"Kernels on the host and in a guest: {uarch}, {timing}"
    if svg is not None:
        write_svg_option(svg, kernels_picture(comparison, heading))
    if json is not None:
        document = {
            "uarch": uarch, "rows": rows, "timing": timing, "host": comparison.host, "missed": missed,
            "points": [point.document() for point in comparison.points],
            "figures": [figure.document() for figure in figures],
        }  # fmt: skip
        write_json_option(json, document)
    if json != "-":
        print_kernels(wide(WIDTH), comparison, heading)
    return MISSED if missed else 0


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]
