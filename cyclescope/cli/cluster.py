# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope cluster run`: several machines on a network, described by a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cyclescope.cli.follow import add_to as add_follow
from cyclescope.cli.operator import add_verbs_to
from cyclescope.cli.options import Json, Out, Quiet, check_json_option, write_json_option
from cyclescope.cli.progress import shown
from cyclescope.cli.results import Svg, check_svg_option, wide, write_svg_option
from cyclescope.cluster.check import check_cluster
from cyclescope.cluster.experiment import run_cluster
from cyclescope.cluster.file import read_cluster
from cyclescope.cluster.spec import Cluster
from cyclescope.experiments.machines import level_of
from cyclescope.report.clusterdir import write_cluster_directory
from cyclescope.report.clusters import cluster_document, latency_picture, print_clusters
from cyclescope.report.rundir import check_output
from cyclescope.report.timelines import print_timeline
from emu.errors import ConfigError

cluster_app = typer.Typer(help="Several machines in one World, on switches.", no_args_is_help=True, rich_markup_mode=None)


def add_to(app: typer.Typer) -> None:
    add_follow(cluster_app)
    add_verbs_to(cluster_app)
    app.add_typer(cluster_app, name="cluster")


@cluster_app.callback()
def _group() -> None:
    """Several machines in one World, on switches (docs/cluster.md)."""


@cluster_app.command("run", help="Run clusters from files, one after the other, and print one table; exit 1 after a wrong answer.")
def run(
    files: Annotated[list[Path], typer.Argument(help="TOML files; several are shown side by side.", metavar="FILE...")],
    seed: Annotated[int | None, typer.Option("--seed", help="Instead of the files'.")] = None,
    timing: Annotated[str | None, typer.Option("--timing", help="Instead of the files': detailed, fast or functional.")] = None,
    timeline: Annotated[
        bool, typer.Option("--timeline", help="Also requests, latency and nodes over time, and what each scale-up's time went to.")
    ] = False,
    svg: Svg = None,
    json: Json = None,
    out: Out = None,
    quiet: Quiet = False,
) -> None:
    """Every file is read and checked before the first guest boots."""
    clusters = [changed(read_cluster(path), seed, timing) for path in files]
    for number, cluster in enumerate(clusters):
        if cluster.name in {other.name for other in clusters[:number]}:
            raise ConfigError(f"{cluster.where}: two of the clusters are called {cluster.name}; give each its own [cluster] name")
    check_json_option(json)
    check_svg_option(svg)
    if out is not None:
        check_output(out)
    with shown(quiet) as progress:
        outcomes = [run_cluster(cluster, keep_wire=out is not None, progress=progress) for cluster in clusters]
    runs = [outcome.run for outcome in outcomes]
    if out is not None:
        write_cluster_directory(out, outcomes)
    if svg is not None:
        write_svg_option(svg, latency_picture(runs))
    if json is not None:
        write_json_option(json, {"clusters": [cluster_document(each) for each in runs]})
    if json != "-":
        console = wide()
        print_clusters(console, runs)
        for each in runs if timeline else ():
            console.print()
            print_timeline(console, each)
        for outcome in outcomes:
            text = f"{outcome.run.cluster.name}: measured in {outcome.host.wall_s:.1f} s of host time, {outcome.host.mips:.0f} MIPS"
            console.print(text, style="dim", highlight=False)
        if out is not None:
            console.print(f"Written to {out}", highlight=False)
    if any(each.answers.get("wrong") for each in runs):
        raise typer.Exit(1)


def changed(cluster: Cluster, seed: int | None, timing: str | None) -> Cluster:
    """With the options' values, checked."""
    changes = {name: value for name, value in (("seed", seed), ("timing", timing)) if value is not None}
    cluster = msgspec.structs.replace(cluster, **changes)
    level_of(cluster.timing)
    check_cluster(cluster)
    return cluster
