# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope scale`: capacity, latency, cycles and locks as vCPUs grow."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from cyclescope.cli.expand import expanded
from cyclescope.cli.options import (
    DEFAULT_NAMES,
    Flows,
    Jobs,
    Keys,
    KvdLocks,
    Memory,
    Names,
    Net,
    Output,
    Requests,
    Seed,
    Set,
    Timing,
    Uarch,
    Warmup,
    changed_rows,
    check_json_option,
    job_count,
    locks_of,
    memory_mib,
    personalities_of,
    rate_bps,
    row_changes,
    write_json_option,
    write_option,
)
from cyclescope.cli.progress import shown
from cyclescope.config import DEFAULT_TIMING, Hardware, Load
from cyclescope.experiments.scale import CPUS, scale
from cyclescope.report.rundir import write_experiment_directory
from cyclescope.report.scales import print_scale, scale_document, scale_picture
from emu.errors import ConfigError

PICTURE = "scale.svg"


def add_to(app: typer.Typer) -> None:
    app.command("scale", help="Capacity, latency, cycles by component and locks' share, as vCPUs grow.")(command)


@expanded
def command(
    personality: Names = DEFAULT_NAMES,
    cpus: Annotated[str, typer.Option("--cpus", help="Rising numbers of vCPUs, joined by commas.")] = "1,2,4,8",
    mem: Memory = "256M",
    uarch: Uarch = "skylake_sp",
    set_rows: Set = None,
    net: Net = "100G",
    timing: Timing = DEFAULT_TIMING,
    requests: Requests = 3_000,
    warmup: Warmup = 300,
    seed: Seed = 1,
    load: Annotated[float, typer.Option("--load", help="Offered load near capacity, as a share of it.")] = 0.9,
    keys: Keys = 1_000,
    flows: Flows = 256,
    locks: KvdLocks = "striped",
    svg: Annotated[Path | None, typer.Option("--svg", help="Write the picture to this file.")] = None,
    jobs: Jobs = 0,
    output: Output = Output(),
) -> None:
    """Checks every option before the first guest boots."""
    hardware = Hardware(
        cpus=CPUS[0], memory_mib=memory_mib(mem), uarch=uarch, link_bps=rate_bps(net), rows=changed_rows(uarch, set_rows)
    )  # fmt: skip
    offered = Load(requests=requests, warmup=warmup, seed=seed, load=load, keys=keys, flows=flows, locks=locks_of(locks))
    counts = _counts(cpus)
    chosen = personalities_of(personality)
    output.check()
    check_json_option(None if svg is None else str(svg), "--svg")
    with shown(output.quiet) as progress:
        digest, found = scale(chosen, hardware, offered, counts, timing=timing, jobs=job_count(jobs), progress=progress)
    shape = {name: value for name, value in msgspec.to_builtins(hardware).items() if name != "cpus"}
    config = {"hardware": shape, "cpus": list(counts), "load": msgspec.to_builtins(offered), "timing": timing}
    picture = scale_picture(found, f"{uarch}, {timing}, {locks} locks", load)
    document = scale_document(config, digest, found) if output.out is not None or output.json is not None else {}
    if output.out is not None:
        write_experiment_directory(output.out, document, {PICTURE: picture})
    if svg is not None:
        write_option("--svg", str(svg), picture.encode())
    if output.json is not None:
        write_json_option(output.json, document)
    if output.json == "-":
        return
    heading = (
        f"As vCPUs grow ({uarch}, {timing}): {requests:,} requests one at a time (one), at capacity (full) and at "
        f"{load * 100:.0f} % of it;\nseed {seed}, configuration {digest}"
    )
    console = Console(width=None if sys.stdout.isatty() else 180)
    print_scale(console, found, heading, load)
    if hardware.rows:
        console.print(f"Rows changed: {row_changes(uarch, hardware.rows)}", highlight=False)
    if output.out is not None:
        console.print(f"Written to {output.out}", highlight=False)


def _counts(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise ConfigError(f"--cpus is {text!r}: give rising numbers of vCPUs joined by commas, such as 1,2,4,8") from None
