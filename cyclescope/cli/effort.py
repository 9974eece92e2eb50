# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope effort`: what ports of a program took, and what they give."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cyclescope.cli.expand import expanded
from cyclescope.cli.options import KvdLocks, Measurement, Shape, Share, Traffic, locks_of
from cyclescope.cli.progress import shown
from cyclescope.cli.results import Drawn, config_of, print_rows_changed, print_written, wide, write_results
from cyclescope.experiments.effort import measure_ports, read_ports
from cyclescope.report.efforts import effort_document, effort_picture, print_effort

PICTURE = "effort.svg"


def add_to(app: typer.Typer) -> None:
    app.command("effort", help="Lines, bytes, latency, capacity, cycles and misses of a program's ports, side by side.")(command)


@expanded
def command(
    ports: Annotated[Path, typer.Argument(metavar="FILE", help="A TOML file that lists the ports, the base first.")],
    shape: Shape = Shape(),
    measured: Measurement = Measurement(),
    load: Share = 0.7,
    traffic: Traffic = Traffic(),
    locks: KvdLocks = "striped",
    output: Drawn = Drawn(),
) -> None:
    """Checks every option, and the whole file, before the first guest boots."""
    hardware = shape.hardware()
    offered = traffic.load(load=load, locks=locks_of(locks), **measured.amount)
    output.check()
    title, listed = read_ports(ports)
    with shown(output.quiet) as progress:
        digest, found = measure_ports(listed, hardware, offered, timing=measured.timing, progress=progress)
    document = effort_document(config_of(hardware, offered, measured.timing), digest, title, found)
    if not write_results(output, document, PICTURE, effort_picture(found, title)):
        return
    console = wide()
    heading = (
        f"{title}: {hardware.cpus} vCPUs ({hardware.uarch}, {measured.timing}), {measured.requests:,} requests, "
        f"seed {measured.seed}, configuration {digest};\n"
        f"latency, cycles and misses a request at {found[0].outcome.run.rate_rps:,.0f} requests/s"
    )
    print_effort(console, found, heading)
    print_rows_changed(console, hardware.uarch, hardware.rows)
    print_written(console, output.out)
