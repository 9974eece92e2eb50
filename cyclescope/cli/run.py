# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope run`: any bootable image, or a program on a personality, with its console on the terminal."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cyclescope.cli.expand import expanded
from cyclescope.cli.options import Board, Events, Timing
from cyclescope.cli.program import SIGNALLED, At, held, typed_keys
from cyclescope.experiments.run import RunResult, run_guest
from cyclescope.report.events import print_events
from emu.errors import ConfigError
from emu.loader.boot import BootModule, BootSpec
from personalities.base import get_personality

MAX_LIMIT_S = 1_000_000  # 2^63 ps are nine times that


def add_to(app: typer.Typer) -> None:
    app.command(
        "run",
        help="Boot an image (--image), or run a program on a personality; the exit status is the guest's.",
        context_settings={"allow_interspersed_args": False},
    )(command)


@expanded
def command(
    program: Annotated[list[str] | None, typer.Argument(help="PROGRAM ARGS...: a static Linux program's file.")] = None,
    image: Annotated[Path | None, typer.Option("--image", help="A PVH (ELF64) or Multiboot 1 (ELF32) image.")] = None,
    cmdline: Annotated[str, typer.Option("--cmdline", help="The image's command line.")] = "",
    module: Annotated[list[Path] | None, typer.Option("--module", help="A boot module for the image.")] = None,
    personality: Annotated[str, typer.Option("--personality", help="Where a program runs.")] = "linux_like",
    board: Board = Board(cpus=1),
    timing: Timing = "functional",
    events: Events = False,
    limit: Annotated[
        float, typer.Option("--limit", help="End the run after this much guest time [s]; 0 is never.")
    ] = 0.0,
    keyboard: Annotated[
        bool,
        typer.Option("--console", help="Type what comes on standard input at the guest's console (docs/console.md)."),
    ] = False,
) -> int:
    """The guest's exit status: what it wrote to the debug-exit port, or 3 when it ended badly."""
    if (image is None) == (not program):
        raise ConfigError("give either --image FILE or a program to run")
    if not 0 <= limit <= MAX_LIMIT_S:
        raise ConfigError(f"--limit is {limit}: give 0 (no limit) to {MAX_LIMIT_S} seconds of guest time")
    hardware = board.hardware()
    manifest = None
    if image is not None:
        spec = BootSpec(image, cmdline, tuple(BootModule(path, path.name) for path in module or []))
    else:
        assert program
        chosen = get_personality(personality)
        spec = chosen.prepare(Path(program[0]) if "/" in program[0] else program[0], program[1:])
        manifest = spec.manifest or chosen.manifest_path
    at, signals = At(console=keyboard), list[int]()
    with typed_keys(at) as (keys, _):
        result = run_guest(
            spec, hardware, timing=timing, limit_s=limit, manifest=manifest, console=_console, keys=keys,
            holding=partial(held, at, signals),
        )  # fmt: skip
    _tell(result)
    if events:
        print_events(Console(stderr=True, markup=False), "Events, from power-on to the end, all vCPUs", result.events)
    return SIGNALLED + signals[0] if signals and signals[0] else result.exit_code


def _console(data: bytes, time_ps: int) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _tell(result: RunResult) -> None:
    for probe, values in result.notes.items():
        listed = ", ".join(f"{value} ({count:,} times)" for value, count in sorted(values.items()))
        print(f"cyclescope: {probe}: {listed}", file=sys.stderr)
    if result.message:
        print(f"cyclescope: {result.message}", file=sys.stderr)
