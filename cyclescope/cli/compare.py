# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope compare`: the main job."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from cyclescope.cli.expand import expanded
from cyclescope.cli.options import (
    DEFAULT_NAMES,
    Events,
    Functions,
    Jobs,
    KvdLocks,
    Measurement,
    Names,
    Output,
    Shape,
    Share,
    Traffic,
    check_functions,
    job_count,
    locks_of,
    personalities_of,
    write_json_option,
)
from cyclescope.cli.progress import shown
from cyclescope.cli.results import config_of, print_rows_changed, print_written, wide
from cyclescope.cli.seeds import parse_seeds
from cyclescope.cli.starts import SHAPE, locks_in, refuse_decided, starts_of
from cyclescope.config import Hardware, Load
from cyclescope.experiments.ablation import ablate
from cyclescope.experiments.compare import compare
from cyclescope.experiments.saved import Start
from cyclescope.experiments.seeds import Repetition, compare_seeds
from cyclescope.report.ablations import print_ablation
from cyclescope.report.document import comparison_document, with_host
from cyclescope.report.events import print_events
from cyclescope.report.functions import print_functions
from cyclescope.report.replicated import print_replicated, replicated_document
from cyclescope.report.rundir import write_run_directory, write_seeds_directory
from cyclescope.report.terminal import print_comparison
from cyclescope.result import Outcome
from emu.errors import ConfigError


def add_to(app: typer.Typer) -> None:
    app.command("compare", help="Run several personalities under the same load and print one table.")(command)


@expanded
def command(
    context: typer.Context,
    personality: Names = DEFAULT_NAMES,
    shape: Shape = Shape(),
    measured: Measurement = Measurement(),
    load: Share = 0.7,
    traffic: Traffic = Traffic(),
    locks: KvdLocks = "striped",
    quantum: Annotated[int, typer.Option("--quantum", help="vCPU quantum at timed levels [cycles].")] = 400,
    moderation: Annotated[int, typer.Option("--moderation", help="Interrupt moderation [us], 0 is off.")] = 0,
    cross_traffic: Annotated[
        float, typer.Option("--cross-traffic", help="Other load on the switch port, 0 to 0.9.")
    ] = 0.0,
    seeds: Annotated[
        str | None, typer.Option("--seeds", help="Repeat with several seeds and give intervals: 5, 1..5 or 1,3,7.")
    ] = None,
    ablated: Annotated[
        bool, typer.Option("--ablate", help="Each personality also with its knobs turned, one by one and all.")
    ] = False,
    start: Annotated[
        str | None, typer.Option("--from", help="Snapshots, joined by commas: they say personalities, hardware and locks.")
    ] = None,
    jobs: Jobs = 0,
    events: Events = False,
    functions: Functions = None,
    output: Output = Output(),
) -> None:
    """Checks every option before the first guest boots."""
    starts: list[Start] = []
    if start is not None:
        refuse_decided(context, {**SHAPE, "locks": "--locks", "seeds": "--seeds", "ablated": "--ablate", "tcp": "--tcp"})
        refuse_decided(context, {"quantum": "--quantum", "moderation": "--moderation", "cross_traffic": "--cross-traffic"})
        starts = starts_of(start)
    hardware = (
        starts[0].hardware
        if starts
        else shape.hardware(quantum_cycles=quantum, moderation_us=moderation, cross_traffic=cross_traffic)
    )
    offered = traffic.load(load=load, locks=locks_of(locks_in(starts) if starts else locks), **measured.amount)
    timing = measured.timing
    contenders = [each.personality for each in starts] or personalities_of(personality)
    output.check()
    check_functions(functions)
    if functions is not None and (seeds is not None or ablated):
        raise ConfigError("--functions lists one comparison's: give it without --seeds and --ablate")
    config = config_of(hardware, offered, timing)
    if ablated:
        if seeds is not None:
            raise ConfigError("--ablate and --seeds exclude each other: give one of them")
        with shown(output.quiet) as progress:
            digest, outcomes = ablate(
                contenders, hardware, offered, timing=timing, keep_wire=output.out is not None, jobs=job_count(jobs),
                progress=progress,
            )  # fmt: skip
        write_outcomes(config, digest, outcomes, output)
        if output.json != "-":
            _print_ablation(digest, hardware, offered, timing, outcomes, output.out)
            if events:
                _print_events(outcomes)
        return
    if seeds is not None:
        wanted = parse_seeds(seeds, measured.seed)
        with shown(output.quiet) as progress:
            repetitions = compare_seeds(
                contenders, hardware, offered, wanted, timing=timing, keep_wire=output.out is not None, jobs=job_count(jobs),
                progress=progress,
            )  # fmt: skip
        _deliver_seeds(config, repetitions, output)
        return
    with shown(output.quiet) as progress:
        digest, outcomes = compare(
            contenders, hardware, offered, timing=timing, keep_wire=output.out is not None, profiled=functions is not None,
            progress=progress, starts=starts,
        )  # fmt: skip
    write_outcomes(config, digest, outcomes, output)
    if output.json != "-":
        print_outcomes(digest, hardware, offered, timing, outcomes, output.out)
        if events:
            _print_events(outcomes)
        list_functions(outcomes, functions)


def list_functions(outcomes: list[Outcome], functions: int | None) -> None:
    """`--functions N`."""
    for outcome in outcomes if functions else []:
        print_functions(wide(), outcome.run, functions or 0)


def write_outcomes(config: dict[str, Any], digest: str, outcomes: list[Outcome], output: Output) -> None:
    """The run directory and the JSON document that were asked for."""
    document = comparison_document(config, digest, [outcome.run for outcome in outcomes])
    if output.out is not None:
        write_run_directory(output.out, document, outcomes)
    if output.json is not None:
        write_json_option(output.json, with_host(document, [outcome.host for outcome in outcomes]))


def _print_events(outcomes: list[Outcome]) -> None:
    for run in (outcome.run for outcome in outcomes):
        served = int(run.latency_ps.size)
        print_events(Console(markup=False), f"Events of {run.personality}, a request, all vCPUs", run.events, served)


def _print_ablation(
    digest: str, hardware: Hardware, load: Load, timing: str, outcomes: list[Outcome], out: Path | None
) -> None:
    console = wide()
    print_ablation(
        console,
        [outcome.run for outcome in outcomes],
        f"Modifying an existing OS: {hardware.cpus} vCPUs ({hardware.uarch}, {timing}), seed {load.seed}, "
        f"configuration {digest}",
    )
    _remarks(console, hardware.uarch, hardware.rows, timing)
    print_written(console, out)


def _deliver_seeds(config: dict[str, Any], repetitions: list[Repetition], output: Output) -> None:
    document = replicated_document(config, repetitions)
    if output.out is not None:
        write_seeds_directory(output.out, document, repetitions)
    if output.json is not None:
        write_json_option(output.json, document)
    if output.json == "-":
        return
    hardware, load = config["hardware"], config["load"]
    console = wide()
    print_replicated(
        console,
        repetitions,
        f"Where a request's latency goes: {hardware['cpus']} vCPUs ({hardware['uarch']}, {config['timing']}), "
        f"{load['requests']:,} requests, seeds {', '.join(str(seed) for seed in document['seeds'])}",
    )
    _remarks(console, hardware["uarch"], hardware["rows"], config["timing"])
    print_written(console, output.out)


def _remarks(console: Console, uarch: str, rows: dict[str, int], timing: str) -> None:
    print_rows_changed(console, uarch, rows)
    if timing == "functional":
        console.print(
            "Timed at the functional level: one cycle an instruction, no caches; not a result.", highlight=False
        )


def print_outcomes(
    digest: str, hardware: Hardware, load: Load, timing: str, outcomes: list[Outcome], out: Path | None
) -> None:
    """The tables."""
    console = wide()
    print_comparison(
        console,
        [outcome.run for outcome in outcomes],
        f"Where a request's latency goes: {hardware.cpus} vCPUs ({hardware.uarch}), {load.requests:,} requests "
        f"after {load.warmup:,} of warm-up, seed {load.seed}, configuration {digest}",
    )
    _remarks(console, hardware.uarch, hardware.rows, timing)
    for outcome in outcomes:
        host = asdict(outcome.host)
        console.print(
            f"{outcome.run.personality}: measured in {host['wall_s']:.1f} s of host time, {host['mips']:.0f} MIPS",
            style="dim", highlight=False,
        )  # fmt: skip
    print_written(console, out)
