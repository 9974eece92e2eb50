# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope cluster faults` and `cluster scale`: many runs of one cluster."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cyclescope.cli.cluster import changed, cluster_app
from cyclescope.cli.options import Jobs, Json, Quiet, check_json_option, job_count, write_json_option
from cyclescope.cli.progress import shown
from cyclescope.cli.results import Svg, check_svg_option, wide, write_svg_option
from cyclescope.cluster.faultruns import drawn, fault_run
from cyclescope.cluster.file import read_cluster
from cyclescope.cluster.host import available_mib, check_memory
from cyclescope.cluster.scaling import measure, sizes
from cyclescope.experiments.workers import run_all
from cyclescope.report.clusterscales import cluster_scale_document, cluster_scale_picture, print_cluster_scale
from cyclescope.report.faultruns import fault_document, print_fault_runs
from emu.errors import ConfigError


def add_to(app: typer.Typer) -> None:
    """The verbs are the group's: cluster.py adds it."""


@cluster_app.command(
    "faults", help="Run a cluster under faults that seeds draw (docs/faults.md), a line a run; exit 1 when something did not hold."
)
def faults(
    file: Annotated[Path, typer.Argument(help="A TOML file, without faults of its own.", metavar="FILE")],
    runs: Annotated[int, typer.Option("--runs", help="How many seeds.")] = 20,
    seed: Annotated[int, typer.Option("--seed", help="The first of them.")] = 1,
    again: Annotated[int, typer.Option("--again", help="So many of them are run twice, to compare what they did.")] = 0,
    timing: Annotated[str | None, typer.Option("--timing", help="Instead of the file's: detailed, fast or functional.")] = None,
    jobs: Jobs = 0,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Every seed is a run of its own: `--seed 17 --runs 1` is the 17th alone."""
    if not 1 <= runs <= 100_000 or not 0 <= again <= runs:
        raise ConfigError(f"--runs {runs}, --again {again}: give 1 to 100000 runs, and at most as many of them again")
    if not 0 <= seed <= 2**63 - runs:
        raise ConfigError(f"--seed is {seed}: give 0 or more, and no seed above 2^63 - 1")
    cluster = changed(read_cluster(file), None, timing)
    drawn(cluster, seed)
    check_memory(cluster, available_mib())
    check_json_option(json)
    seeds = [*range(seed, seed + runs), *range(seed, seed + again)]
    with shown(quiet) as progress:
        found = run_all(partial(fault_run, cluster), seeds, "fault runs", job_count(jobs), progress)
    for first, second in zip(found, found[runs:], strict=False):
        if first.digest != second.digest:
            first.complaints.append(f"run again, it did something else: {second.digest} instead of {first.digest}")
    del found[runs:]
    if json is not None:
        write_json_option(json, {"again": again, **fault_document(found)})
    if json != "-":
        print_fault_runs(wide(220), found)
        if again:
            print(f"{again} of them were run twice, and compared")
    if any(each.complaints for each in found):
        raise typer.Exit(1)


@cluster_app.command("scale", help="Capacity and latency as nodes grow in number (docs/scale.md); several files side by side.")
def scale(
    files: Annotated[list[Path], typer.Argument(help="TOML files with one node that stands for many.", metavar="FILE...")],
    nodes: Annotated[str, typer.Option("--nodes", help="Rising numbers of nodes, joined by commas.")] = "1,2,4,8,16",
    load: Annotated[float, typer.Option("--load", help="Share of the capacity at which latency is measured.")] = 0.5,
    seed: Annotated[int | None, typer.Option("--seed", help="Instead of the files'.")] = None,
    timing: Annotated[str | None, typer.Option("--timing", help="Instead of the files': detailed, fast or functional.")] = None,
    jobs: Jobs = 0,
    svg: Svg = None,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """What grows is each file's only node of role back, or else its only node."""
    try:
        counts = tuple(int(word) for word in nodes.split(","))
    except ValueError:
        raise ConfigError(f"--nodes is {nodes!r}: give rising numbers joined by commas, such as 1,2,4,8,16") from None
    clusters = [changed(read_cluster(path), seed, timing) for path in files]
    wanted = sizes(clusters, counts, load)
    check_json_option(json)
    check_svg_option(svg)
    with shown(quiet) as progress:
        found = run_all(measure, wanted, "scale", job_count(jobs), progress)
    title = f"{clusters[0].timing}, {sum(node.vcpus for node in clusters[0].nodes)} vCPU a node"
    if svg is not None:
        write_svg_option(svg, cluster_scale_picture(found, title, load))
    if json is not None:
        write_json_option(json, cluster_scale_document(clusters, found, load))
    if json != "-":
        print_cluster_scale(wide(), found, load)
