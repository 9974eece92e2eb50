# SPDX-License-Identifier: GPL-2.0-or-later
"""Where an experiment's results go: a run directory, files, the terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console

from cyclescope.cli.options import Output, check_json_option, row_changes, write_json_option, write_option
from cyclescope.config import Hardware, Load
from cyclescope.report.rundir import write_experiment_directory

Svg = Annotated[Path | None, typer.Option("--svg", help="Write the picture to this file.")]


@dataclass(frozen=True)
class Drawn(Output):
    """Where results go of which there is a picture."""

    svg: Svg = None

    def check(self) -> None:
        """As the output's."""
        super().check()
        check_svg_option(self.svg)


def check_svg_option(svg: Path | None) -> None:
    """Raises ConfigError when the picture cannot be written: before the run, not after it."""
    check_json_option(None if svg is None else str(svg), "--svg")


def write_svg_option(svg: Path, picture: str) -> None:
    """`--svg FILE`."""
    write_option("--svg", str(svg), picture.encode())


def config_of(hardware: Hardware, load: Load, timing: str) -> dict[str, Any]:
    """What was asked for, as documents have it."""
    return {"hardware": msgspec.to_builtins(hardware), "load": msgspec.to_builtins(load), "timing": timing}


def write_results(output: Output, document: dict[str, Any], name: str = "", picture: str = "") -> bool:
    """All that was asked for; the name is the picture's, in a run directory. False: standard output is the document's."""
    if output.out is not None:
        write_experiment_directory(output.out, document, {name: picture} if name else {})
    if isinstance(output, Drawn) and output.svg is not None:
        write_svg_option(output.svg, picture)
    if output.json is not None:
        write_json_option(output.json, document)
    return output.json != "-"


def wide(columns: int = 160) -> Console:
    """The terminal; where it is none, lines of so many columns."""
    return Console(width=None if sys.stdout.isatty() else columns, markup=False)


def print_rows_changed(console: Console, uarch: str, rows: Mapping[str, int]) -> None:
    """`--set`, if it was given."""
    if rows:
        console.print(f"Rows changed: {row_changes(uarch, rows)}", highlight=False)


def print_written(console: Console, out: Path | None) -> None:
    """`--out`, if it was given."""
    if out is not None:
        console.print(f"Written to {out}", highlight=False)
