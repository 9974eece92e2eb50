# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope compare`: the main job."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console

from cyclescope.cli.options import (
    DEFAULT_NAMES,
    Cpus,
    Events,
    Flows,
    Functions,
    Jobs,
    Json,
    Keys,
    KvdLocks,
    Memory,
    Names,
    Net,
    Out,
    Quiet,
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
)
from cyclescope.cli.progress import shown
from cyclescope.cli.seeds import parse_seeds
from cyclescope.cli.starts import SHAPE, locks_in, refuse_decided, starts_of
from cyclescope.config import DEFAULT_TIMING, Hardware, Load
from cyclescope.experiments.ablation import ablate
from cyclescope.experiments.compare import compare
from cyclescope.experiments.saved import Start
from cyclescope.experiments.seeds import Repetition, compare_seeds
from cyclescope.report.ablations import print_ablation
from cyclescope.report.document import comparison_document, with_host
from cyclescope.report.events import print_events
from cyclescope.report.functions import print_functions
from cyclescope.report.replicated import print_replicated, replicated_document
from cyclescope.report.rundir import check_output, write_run_directory, write_seeds_directory
from cyclescope.report.terminal import print_comparison
from cyclescope.result import Outcome
from emu.errors import ConfigError


def add_to(app: typer.Typer) -> None:
    app.command("compare", help="Run several personalities under the same load and print one table.")(command)


def command(
    context: typer.Context,
    personality: Names = DEFAULT_NAMES,
    cpus: Cpus = 4,
    mem: Memory = "256M",
    uarch: Uarch = "skylake_sp",
    set_rows: Set = None,
    net: Net = "10G",
    timing: Timing = DEFAULT_TIMING,
    requests: Requests = 10_000,
    warmup: Warmup = 1_000,
    seed: Seed = 1,
    load: Annotated[
        float, typer.Option("--load", help="Offered load, as a share of the slowest one's capacity.")
    ] = 0.7,
    rate: Annotated[float | None, typer.Option("--rate", help="Offered load [requests/s].")] = None,
    closed: Annotated[int | None, typer.Option("--closed", help="Closed loop with this many outstanding.")] = None,
    keys: Keys = 1_000,
    flows: Flows = 64,
    tcp: Annotated[
        bool, typer.Option("--tcp", help="memcached over TCP; of the personalities linux alone has it.")
    ] = False,
    connections: Annotated[
        int | None, typer.Option("--connections", help="With --tcp: the client's connections; 64 if not given.")
    ] = None,
    loss: Annotated[float, typer.Option("--loss", help="With --tcp: share of frames lost on the link, each way.")] = 0.0,
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
    json: Json = None,
    out: Out = None,
    quiet: Quiet = False,
) -> None:
    """Checks every option before the first guest boots."""
    starts: list[Start] = []
    if start is not None:
        refuse_decided(context, {**SHAPE, "locks": "--locks", "seeds": "--seeds", "ablated": "--ablate", "tcp": "--tcp"})
        refuse_decided(context, {"quantum": "--quantum", "moderation": "--moderation", "cross_traffic": "--cross-traffic"})
        starts = starts_of(start)
    hardware = starts[0].hardware if starts else Hardware(
        cpus=cpus, memory_mib=memory_mib(mem), uarch=uarch, link_bps=rate_bps(net), quantum_cycles=quantum,
        moderation_us=moderation, cross_traffic=cross_traffic, rows=changed_rows(uarch, set_rows),
    )  # fmt: skip
    offered = Load(
        requests=requests, warmup=warmup, seed=seed, load=load, rate=rate, closed=closed, keys=keys, flows=flows,
        locks=locks_of(locks_in(starts) if starts else locks), connections=_connections(tcp, connections), loss=loss,
    )  # fmt: skip
    contenders = [each.personality for each in starts] or personalities_of(personality)
    check_json_option(json)
    check_functions(functions)
    if out is not None:
        check_output(out)
    config = {"hardware": msgspec.to_builtins(hardware), "load": msgspec.to_builtins(offered), "timing": timing}
    if ablated:
        if seeds is not None:
            raise ConfigError("--ablate and --seeds exclude each other: give one of them")
        with shown(quiet) as progress:
            digest, outcomes = ablate(
                contenders, hardware, offered, timing=timing, keep_wire=out is not None, jobs=job_count(jobs),
                progress=progress,
            )  # fmt: skip
        write_outcomes(config, digest, outcomes, json, out)
        if json != "-":
            _print_ablation(digest, hardware, offered, timing, outcomes, out)
            if events:
                _print_events(outcomes)
        return
    if seeds is not None:
        wanted = parse_seeds(seeds, seed)
        with shown(quiet) as progress:
            repetitions = compare_seeds(
                contenders, hardware, offered, wanted, timing=timing, keep_wire=out is not None, jobs=job_count(jobs),
                progress=progress,
            )  # fmt: skip
        _deliver_seeds(config, repetitions, json, out)
        return
    with shown(quiet) as progress:
        digest, outcomes = compare(
            contenders, hardware, offered, timing=timing, keep_wire=out is not None, progress=progress, starts=starts
        )
    write_outcomes(config, digest, outcomes, json, out)
    if json != "-":
        print_outcomes(digest, hardware, offered, timing, outcomes, out)
        if events:
            _print_events(outcomes)
        list_functions(outcomes, functions)


def _connections(tcp: bool, connections: int | None) -> int:
    if connections is not None and not tcp:
        raise ConfigError("--connections needs --tcp; over UDP --flows gives the client's ports")
    if connections is not None and connections < 1:
        raise ConfigError(f"--connections is {connections}: give 1 to 1000 TCP connections")
    return (64 if connections is None else connections) if tcp else 0


def check_functions(functions: int | None) -> None:
    """Raises ConfigError for a `--functions` out of range."""
    if functions is not None and not 1 <= functions <= 100_000:
        raise ConfigError(f"--functions is {functions}: give 1 to 100000")


def list_functions(outcomes: list[Outcome], functions: int | None) -> None:
    """`--functions N`."""
    for outcome in outcomes if functions else []:
        print_functions(Console(width=None if sys.stdout.isatty() else 160), outcome.run, functions or 0)


def write_outcomes(
    config: dict[str, Any], digest: str, outcomes: list[Outcome], json: str | None, out: Path | None
) -> None:
    """The run directory and the JSON document that were asked for."""
    document = comparison_document(config, digest, [outcome.run for outcome in outcomes])
    if out is not None:
        write_run_directory(out, document, outcomes)
    if json is not None:
        write_json_option(json, with_host(document, [outcome.host for outcome in outcomes]))


def _print_events(outcomes: list[Outcome]) -> None:
    for run in (outcome.run for outcome in outcomes):
        served = int(run.latency_ps.size)
        print_events(Console(), f"Events of {run.personality}, a request, all vCPUs", run.events, served)


def _print_ablation(
    digest: str, hardware: Hardware, load: Load, timing: str, outcomes: list[Outcome], out: Path | None
) -> None:
    console = Console(width=None if sys.stdout.isatty() else 160)
    print_ablation(
        console,
        [outcome.run for outcome in outcomes],
        f"Modifying an existing OS: {hardware.cpus} vCPUs ({hardware.uarch}, {timing}), seed {load.seed}, "
        f"configuration {digest}",
    )
    _remarks(console, hardware.uarch, hardware.rows, timing)
    if out is not None:
        console.print(f"Written to {out}", highlight=False)


def _deliver_seeds(config: dict[str, Any], repetitions: list[Repetition], json: str | None, out: Path | None) -> None:
    document = replicated_document(config, repetitions)
    if out is not None:
        write_seeds_directory(out, document, repetitions)
    if json is not None:
        write_json_option(json, document)
    if json == "-":
        return
    hardware, load = config["hardware"], config["load"]
    console = Console(width=None if sys.stdout.isatty() else 160)
    print_replicated(
        console,
        repetitions,
        f"Where a request's latency goes: {hardware['cpus']} vCPUs ({hardware['uarch']}, {config['timing']}), "
        f"{load['requests']:,} requests, seeds {', '.join(str(seed) for seed in document['seeds'])}",
    )
    _remarks(console, hardware["uarch"], hardware["rows"], config["timing"])
    if out is not None:
        console.print(f"Written to {out}", highlight=False)


def _remarks(console: Console, uarch: str, rows: dict[str, int], timing: str) -> None:
    if rows:
        console.print(f"Rows changed: {row_changes(uarch, rows)}", highlight=False)
    if timing == "functional":
        console.print(
            "Timed at the functional level: one cycle an instruction, no caches; not a result.", highlight=False
        )


def print_outcomes(
    digest: str, hardware: Hardware, load: Load, timing: str, outcomes: list[Outcome], out: Path | None
) -> None:
    """The tables."""
    console = Console(width=None if sys.stdout.isatty() else 160)
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
    if out is not None:
        console.print(f"Written to {out}", highlight=False)
