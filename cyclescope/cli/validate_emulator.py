# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope validate emulator`: blocks as guest code against the same blocks predicted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cyclescope.cli.options import Json, Quiet, Set, Uarch, changed_rows, check_json_option, write_json_option
from cyclescope.cli.progress import shown
from cyclescope.cli.results import wide
from cyclescope.experiments.validate.blockfile import read_blocks
from cyclescope.experiments.validate.emulator import compare_blocks
from cyclescope.report.emulator import agreement_document, print_agreement
from emu.errors import ConfigError

MISSED = 1
WIDTH = 110


def add_to(app: typer.Typer) -> None:
    app.command("emulator", help="Blocks run as guests beside the same blocks predicted; 1 if they disagree.")(command)


def command(
    file: Annotated[Path, typer.Option("--file", help="CSV of blocks: block_hex, measured_cycles_per_iteration.")],
    uarch: Uarch = "skylake_sp",
    set_rows: Set = None,
    worst: Annotated[int, typer.Option("--worst", help="List this many blocks with the largest differences.")] = 10,
    json: Json = None,
    quiet: Quiet = False,
) -> int:
    """Exit code 1 when the median or the 95th percentile of the differences is above its bound."""
    check_json_option(json)
    if worst < 0:
        raise ConfigError(f"--worst is {worst}: give how many blocks to list, 0 or more")
    rows = changed_rows(uarch, set_rows)
    blocks = [block.code for block in read_blocks(file)]
    with shown(quiet) as progress:
        result = compare_blocks(uarch, blocks, rows, progress)
    if json is not None:
        write_json_option(json, agreement_document(result, file.name, uarch, rows))
    if json != "-":
        console = wide(WIDTH)
        print_agreement(console, result, f"Blocks as guests, detailed, and predicted: {file.name}, {uarch}", worst)
    return 0 if result.holds else MISSED
