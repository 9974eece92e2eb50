# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope linux`: a distribution's kernel and a program, both unmodified; `cyclescope linux fetch` gets the kernel."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cyclescope.cli.compare import check_functions, list_functions, print_outcomes, write_outcomes
from cyclescope.cli.options import (
    Cpus,
    Flows,
    Functions,
    Json,
    Keys,
    Memory,
    Net,
    Out,
    Quiet,
    Set,
    Uarch,
    Warmup,
    changed_rows,
    check_json_option,
    memory_mib,
    rate_bps,
)
from cyclescope.cli.progress import shown
from cyclescope.cli.replay import deliver
from cyclescope.cli.snapshot import take
from cyclescope.config import DEFAULT_TIMING, Hardware, Load
from cyclescope.experiments.compare import compare
from cyclescope.experiments.replay import load_exchanges, replay
from cyclescope.experiments.run import run_guest
from cyclescope.report.rundir import check_output
from emu.errors import ConfigError
from personalities.linux.fetch import PACKAGE, fetch
from personalities.linux.personality import MODULES, LinuxProgram, Options

FETCH = ["fetch"]
MAX_LIMIT_S = 1e6


def add_to(app: typer.Typer) -> None:
    app.command(
        "linux",
        help="Unmodified Linux with an unmodified program: `linux -- PROGRAM ARGS`; `linux fetch` gets a kernel.",
    )(command)


def command(
    program: Annotated[list[str], typer.Argument(help="The program and its arguments, behind --; or fetch [PACKAGE].")],
    kernel: Annotated[
        Path | None, typer.Option("--kernel", help="vmlinuz or vmlinux; default: the fetched one.")
    ] = None,
    modules: Annotated[Path | None, typer.Option("--modules", help="Its folder lib/modules/VERSION.")] = None,
    load: Annotated[
        list[str] | None, typer.Option("--load", metavar="MODULE", help="Load this kernel module, too; repeatable.")
    ] = None,
    file: Annotated[
        list[str] | None, typer.Option("--file", metavar="GUEST=FILE", help="A file for the guest; repeatable.")
    ] = None,
    env: Annotated[
        list[str] | None, typer.Option("--env", metavar="NAME=VALUE", help="Of the program; repeatable.")
    ] = None,
    append: Annotated[str, typer.Option("--append", help="Words for the kernel's command line.")] = "",
    boot: Annotated[
        str | None, typer.Option("--boot", help="Enter the kernel by pvh or linux64; default: PVH where it can.")
    ] = None,
    ready: Annotated[
        str | None, typer.Option("--ready", help="When the program serves: udp:PORT, tcp:PORT, or asleep.")
    ] = None,
    replayed: Annotated[Path | None, typer.Option("--replay", help="Replay this capture's memcached requests.")] = None,
    check: Annotated[bool, typer.Option("--check", help="One at a time; exit 1 if any answer differs.")] = False,
    multiplier: Annotated[float, typer.Option("--multiplier", help="As captured, this many times as fast.")] = 1.0,
    closed: Annotated[int | None, typer.Option("--closed", help="Closed loop with this many outstanding.")] = None,
    limit: Annotated[
        float, typer.Option("--limit", help="Without --replay: end after this much guest time [s].")
    ] = 0.0,
    cpus: Cpus = 4,
    mem: Memory = "256M",
    uarch: Uarch = "skylake_sp",
    set_rows: Set = None,
    net: Net = "10G",
    timing: Annotated[
        str | None, typer.Option("--timing", help="Timing level once the program serves: detailed, fast or functional.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option("--save", help="Save the booted machine here when the program serves, and end.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the guest's random numbers.")] = 1,
    json: Json = None,
    requests: Annotated[
        int | None, typer.Option("--requests", help="Measure this many requests of memcached's kind, as compare does.")
    ] = None,
    warmup: Warmup = 1_000,
    rate: Annotated[float | None, typer.Option("--rate", help="With --requests: offered load [requests/s].")] = None,
    share: Annotated[float, typer.Option("--share", help="With --requests: load as a share of capacity.")] = 0.7,
    keys: Keys = 1_000,
    flows: Flows = 64,
    functions: Functions = None,
    out: Out = None,
    quiet: Quiet = False,
) -> int:
    """The program's exit status; with --replay as `replay`: 1 when checking and an answer differs or is missing."""
    if program[:1] == FETCH and len(program) <= 2:
        got = fetch(program[1] if len(program) == 2 else PACKAGE)
        print(f"{got.image}: fetched; `cyclescope linux` will use it.")
        return 0
    hardware = Hardware(
        cpus=cpus, memory_mib=memory_mib(mem), uarch=uarch, link_bps=rate_bps(net), rows=changed_rows(uarch, set_rows)
    )  # fmt: skip
    hardware.check()
    if not 0 <= seed < 1 << 63:
        raise ConfigError(f"--seed is {seed}: give 0 to {(1 << 63) - 1}")
    if boot not in (None, "pvh", "linux64"):
        raise ConfigError(f"--boot is {boot!r}: give pvh or linux64")
    loaded = replayed is not None or requests is not None or save is not None
    personality = LinuxProgram(
        Options(
            kernel=kernel,
            modules=modules,
            load=(*MODULES, *(load or [])),
            files={to: Path(at) for to, at in (_pair("--file", word) for word in file or [])},
            environment=dict(_pair("--env", word) for word in env or []),
            cmdline=append,
            ready=_sign(ready) or (None if loaded else "never"),
            boot=boot,
            seed=seed,
            network=loaded,
        ),
        program[0],
        program[1:],
    )
    if save is not None:
        if replayed is not None or requests is not None or check:
            raise ConfigError("--save is for itself: go on with `cyclescope replay CAPTURE --from FILE`")
        take(personality, hardware, personality.prepare(), program[0], program[1:], save, quiet=quiet)
        return 0
    if requests is not None:
        if replayed is not None or check:
            raise ConfigError("--requests and --replay or --check exclude each other: give one of them")
        offered = Load(
            requests=requests, warmup=warmup, seed=seed, load=share, rate=rate, closed=closed, keys=keys, flows=flows
        )  # fmt: skip
        _measure(personality, hardware, offered, timing or DEFAULT_TIMING, functions, json, out, quiet)
        return 0
    if functions is not None or out is not None:
        raise ConfigError("--functions and --out need --requests")
    if replayed is None:
        if check or closed is not None or json is not None:
            raise ConfigError("--check, --closed and --json need --replay")
        if not 0 <= limit <= MAX_LIMIT_S:
            raise ConfigError(f"--limit is {limit}: give 0 (no limit) to {MAX_LIMIT_S:g} seconds of guest time")
        spec = personality.prepare()
        result = run_guest(spec, hardware, timing=timing or "functional", limit_s=limit, console=_console)
        if result.message:
            print(f"cyclescope: {result.message}", file=sys.stderr)
        return result.exit_code
    if not 0 < multiplier < math.inf:
        raise ConfigError(f"--multiplier is {multiplier}: give a number above 0")
    if closed is not None and not 1 <= closed <= 10_000:
        raise ConfigError(f"--closed is {closed}: give 1 to 10000 requests outstanding")
    check_json_option(json)
    exchanges = load_exchanges(replayed)
    spec = personality.prepare()
    level = timing or DEFAULT_TIMING
    with shown(quiet) as progress:
        answered = replay(
            exchanges, personality, hardware, spec=spec, check=check, multiplier=multiplier, closed=closed, timing=level,
            progress=progress,
        )  # fmt: skip
    return deliver(personality.name, hardware, level, answered, check=check, json=json)


def _measure(
    personality: LinuxProgram, hardware: Hardware, load: Load, timing: str, functions: int | None, json: str | None,
    out: Path | None, quiet: bool,
) -> None:  # fmt: skip
    """A comparison of one."""
    check_functions(functions)
    check_json_option(json)
    if out is not None:
        check_output(out)
    with shown(quiet) as progress:
        digest, outcomes = compare([personality], hardware, load, timing=timing, keep_wire=out is not None, progress=progress)
    config = {"hardware": msgspec.to_builtins(hardware), "load": msgspec.to_builtins(load), "timing": timing}
    write_outcomes(config, digest, outcomes, json, out)
    if json != "-":
        print_outcomes(digest, hardware, load, timing, outcomes, out)
        list_functions(outcomes, functions)


def _pair(option: str, word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not name or not equals:
        raise ConfigError(f"{option} is {word!r}: give two words with = between them")
    return name, value


def _sign(text: str | None) -> str | None:
    """`udp:11211` -> `udp 11211`."""
    if text is None or text == "asleep":
        return text
    protocol, _, port = text.partition(":")
    if protocol not in ("udp", "tcp") or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ConfigError(f"--ready is {text!r}: give udp:PORT, tcp:PORT or asleep")
    return f"{protocol} {int(port)}"


def _console(data: bytes, time_ps: int) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
