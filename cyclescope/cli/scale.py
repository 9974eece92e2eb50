# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope scale`: capacity, latency, cycles and locks as vCPUs grow."""

from __future__ import annotations

from typing import Annotated

import typer

from cyclescope.cli.expand import expanded
from cyclescope.cli.options import (
    DEFAULT_NAMES,
    Flows,
    Jobs,
    Keys,
    KvdLocks,
    Measurement,
    Memory,
    Names,
    Net,
    Set,
    Uarch,
    changed_rows,
    job_count,
    locks_of,
    memory_mib,
    personalities_of,
    rate_bps,
)
from cyclescope.cli.progress import shown
from cyclescope.cli.results import Drawn, config_of, print_rows_changed, print_written, wide, write_results
from cyclescope.config import Hardware, Load
from cyclescope.experiments.scale import CPUS, scale
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
    measured: Measurement = Measurement(requests=3_000, warmup=300),
    load: Annotated[float, typer.Option("--load", help="Offered load near capacity, as a share of it.")] = 0.9,
    keys: Keys = 1_000,
    flows: Flows = 256,
    locks: KvdLocks = "striped",
    jobs: Jobs = 0,
    output: Drawn = Drawn(),
) -> None:
    """Checks every option before the first guest boots."""
    hardware = Hardware(
        cpus=CPUS[0], memory_mib=memory_mib(mem), uarch=uarch, link_bps=rate_bps(net), rows=changed_rows(uarch, set_rows)
    )  # fmt: skip
    offered = Load(load=load, keys=keys, flows=flows, locks=locks_of(locks), **measured.amount)
    counts, timing = _counts(cpus), measured.timing
    chosen = personalities_of(personality)
    output.check()
    with shown(output.quiet) as progress:
        digest, found = scale(chosen, hardware, offered, counts, timing=timing, jobs=job_count(jobs), progress=progress)
    config = config_of(hardware, offered, timing)
    del config["hardware"]["cpus"]
    document = scale_document({**config, "cpus": list(counts)}, digest, found)
    picture = scale_picture(found, f"{uarch}, {timing}, {locks} locks", load)
    if not write_results(output, document, PICTURE, picture):
        return
    heading = (
        f"As vCPUs grow ({uarch}, {timing}): {measured.requests:,} requests one at a time (one), at capacity (full) and at "
        f"{load * 100:.0f} % of it;\nseed {measured.seed}, configuration {digest}"
    )
    console = wide(180)
    print_scale(console, found, heading, load)
    print_rows_changed(console, hardware.uarch, hardware.rows)
    print_written(console, output.out)


def _counts(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise ConfigError(f"--cpus is {text!r}: give rising numbers of vCPUs joined by commas, such as 1,2,4,8") from None
