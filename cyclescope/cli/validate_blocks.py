# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope validate blocks`: basic blocks measured on real processors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cyclescope.cli.options import Json, Quiet, Set, Uarch, changed_rows, check_json_option, write_json_option
from cyclescope.cli.progress import shown
from cyclescope.cli.results import wide
from cyclescope.experiments.validate.blockfile import read_blocks
from cyclescope.experiments.validate.blocks import validate_blocks, within_bounds
from cyclescope.report.blocks import blocks_document, print_blocks
from emu.errors import ConfigError

MISSED = 1
WIDTH = 100


def add_to(app: typer.Typer) -> None:
    app.command("blocks", help="Measured basic blocks: the window model beside llvm-mca and a rule.")(command)


def command(
    file: Annotated[Path, typer.Option("--file", help="CSV of blocks: block_hex, measured_cycles_per_iteration.")],
    uarch: Uarch = "skylake_sp",
    set_rows: Set = None,
    worst: Annotated[int, typer.Option("--worst", help="List this many blocks with the largest errors.")] = 20,
    check: Annotated[bool, typer.Option("--check", help="1 if the mean error is above 9 %, or tau below 0.91.")] = False,
    json: Json = None,
    quiet: Quiet = False,
) -> int:
    """A block that cannot be decoded counts as 100 % wrong."""
    check_json_option(json)
    if worst < 0:
        raise ConfigError(f"--worst is {worst}: give how many blocks to list, 0 or more")
    rows = changed_rows(uarch, set_rows)
    measured = read_blocks(file)
    with shown(quiet) as progress:
        result = validate_blocks(uarch, measured, rows, progress)
    if json is not None:
        write_json_option(json, blocks_document(result, file.name, uarch, rows))
    if json != "-":
        console = wide(WIDTH)
        print_blocks(console, result, f"Measured blocks: {file.name}, {uarch}", worst)
    return MISSED if check and not within_bounds(result) else 0
