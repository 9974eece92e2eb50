# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope cluster follow`: a cluster whose programs need no load, step by step of one node's console."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cyclescope.cli.options import Json, Quiet, check_json_option, write_json_option
from cyclescope.cli.progress import shown
from cyclescope.cli.results import check_svg_option, wide, write_svg_option
from cyclescope.cluster.file import read_cluster
from cyclescope.cluster.follow import follow_cluster
from cyclescope.experiments.machines import level_of
from cyclescope.report.follows import follow_document, follow_picture, print_follow
from emu.errors import ConfigError


def add_to(app: typer.Typer) -> None:
    app.command("follow", help="Run a cluster without a load: steps end with lines of a node's console; exit 1 without the end.")(
        follow
    )


def follow(
    file: Annotated[Path, typer.Argument(help="A cluster's TOML file.", metavar="FILE")],
    node: Annotated[str, typer.Option("--node", help="Whose console.")] = "front",
    steps: Annotated[str, typer.Option("--steps", metavar="PREFIX", help="A line that begins so ends a step.")] = "# ",
    until: Annotated[str, typer.Option("--until", metavar="TEXT", help="A line that holds this ends the run.")] = " ended with ",
    limit_ms: Annotated[float, typer.Option("--limit-ms", help="And so much simulated time, in any case.")] = 10_000.0,
    timing: Annotated[str | None, typer.Option("--timing", help="Instead of the file's: detailed, fast or functional.")] = None,
    svg: Annotated[Path | None, typer.Option("--svg", help="Draw where cycles went, step by step, to this file.")] = None,
    console: Annotated[bool, typer.Option("--console", help="Print the console lines of all nodes, too.")] = False,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """The file is read and checked before the first guest boots."""
    cluster = read_cluster(file)
    if timing is not None:
        cluster = msgspec.structs.replace(cluster, timing=timing)
    level_of(cluster.timing)
    check_json_option(json)
    check_svg_option(svg)
    if not 0 < limit_ms <= 1e6:
        raise ConfigError(f"--limit-ms is {limit_ms:g}: give more than 0 and at most 1e6")
    with shown(quiet) as progress:
        followed = follow_cluster(cluster, node, steps, until, limit_ms, progress)
    if svg is not None and followed.steps:
        write_svg_option(svg, follow_picture(cluster, followed))
    if json is not None:
        write_json_option(json, follow_document(cluster, followed))
    if json != "-":
        out = wide()
        print_follow(out, cluster, followed, lines=console)
    if not followed.ended:
        raise typer.Exit(1)
