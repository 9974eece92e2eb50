# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope effort`: what ports of a program took, and what they give."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from cyclescope.cli.expand import expanded
from cyclescope.cli.options import (
    KvdLocks,
    Output,
    Requests,
    Seed,
    Shape,
    Timing,
    Traffic,
    Warmup,
    check_json_option,
    locks_of,
    row_changes,
    write_json_option,
    write_option,
)
from cyclescope.cli.progress import shown
from cyclescope.config import DEFAULT_TIMING
from cyclescope.experiments.effort import measure_ports, read_ports
from cyclescope.report.efforts import effort_document, effort_picture, print_effort
from cyclescope.report.rundir import write_experiment_directory

PICTURE = "effort.svg"


def add_to(app: typer.Typer) -> None:
    app.command("effort", help="Lines, bytes, latency, capacity, cycles and misses of a program's ports, side by side.")(command)


@expanded
def command(
    ports: Annotated[Path, typer.Argument(metavar="FILE", help="A TOML file that lists the ports, the base first.")],
    shape: Shape = Shape(),
    timing: Timing = DEFAULT_TIMING,
    requests: Requests = 10_000,
    warmup: Warmup = 1_000,
    seed: Seed = 1,
    load: Annotated[
        float, typer.Option("--load", help="Offered load, as a share of the slowest one's capacity.")
    ] = 0.7,
    traffic: Traffic = Traffic(),
    locks: KvdLocks = "striped",
    svg: Annotated[Path | None, typer.Option("--svg", help="Write the picture to this file.")] = None,
    output: Output = Output(),
) -> None:
    """Checks every option, and the whole file, before the first guest boots."""
    hardware = shape.hardware()
    offered = traffic.load(requests=requests, warmup=warmup, seed=seed, load=load, locks=locks_of(locks))
    output.check()
    check_json_option(None if svg is None else str(svg), "--svg")
    title, listed = read_ports(ports)
    with shown(output.quiet) as progress:
        digest, found = measure_ports(listed, hardware, offered, timing=timing, progress=progress)
    config = {"hardware": msgspec.to_builtins(hardware), "load": msgspec.to_builtins(offered), "timing": timing}
    document = effort_document(config, digest, title, found) if output.out is not None or output.json is not None else {}
    picture = effort_picture(found, title)
    if output.out is not None:
        write_experiment_directory(output.out, document, {PICTURE: picture})
    if svg is not None:
        write_option("--svg", str(svg), picture.encode())
    if output.json is not None:
        write_json_option(output.json, document)
    if output.json == "-":
        return
    console = Console(width=None if sys.stdout.isatty() else 160)
    heading = (
        f"{title}: {hardware.cpus} vCPUs ({hardware.uarch}, {timing}), {requests:,} requests, seed {seed}, "
        f"configuration {digest};\n"
        f"latency, cycles and misses a request at {found[0].outcome.run.rate_rps:,.0f} requests/s"
    )
    print_effort(console, found, heading)
    if hardware.rows:
        console.print(f"Rows changed: {row_changes(hardware.uarch, hardware.rows)}", highlight=False)
    if output.out is not None:
        console.print(f"Written to {output.out}", highlight=False)
