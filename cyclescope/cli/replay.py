# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope replay`: a capture's requests into a guest, its answers against the recorded ones."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import typer
from rich.console import Console

from cyclescope.cli.expand import expanded
from cyclescope.cli.options import (
    Check,
    Closed,
    Json,
    Multiplier,
    Protocol,
    Quiet,
    Shape,
    Tables,
    Timing,
    check_json_option,
    write_json_option,
)
from cyclescope.cli.progress import shown
from cyclescope.cli.results import wide
from cyclescope.cli.starts import SHAPE, refuse_decided
from cyclescope.config import DEFAULT_TIMING, Hardware
from cyclescope.experiments.recording import Recording, load_recording
from cyclescope.experiments.replay import Difference, Replayed, replay
from cyclescope.experiments.saved import open_saved
from cyclescope.report.chronos import percentile_ns
from cyclescope.report.document import run_document
from cyclescope.report.functions import print_functions
from cyclescope.report.terminal import print_comparison
from emu.errors import ConfigError
from personalities.base import get_personality

LISTED = 20


def add_to(app: typer.Typer) -> None:
    app.command("replay", help="Replay a capture's requests; --check compares the answers.")(command)


@expanded
def command(
    context: typer.Context,
    capture: Annotated[Path, typer.Argument(help="A pcap or pcapng file.")],
    personality: Annotated[str, typer.Option("--personality", help="Name.")] = "linux_like",
    check: Check = False,
    multiplier: Multiplier = 1.0,
    closed: Closed = None,
    protocol: Protocol = None,
    shape: Shape = Shape(),
    tables: Tables = Tables(),
    timing: Timing = DEFAULT_TIMING,
    json: Json = None,
    quiet: Quiet = False,
    start: Annotated[
        Path | None, typer.Option("--from", help="A snapshot to go on from: it says the personality and the hardware.")
    ] = None,
) -> int:
    """Exit code 1 when checking and an answer differs or is missing."""
    check_pace(multiplier, closed)
    hardware = shape.hardware()
    check_json_option(json)
    tables.check()
    recording = open_recording(capture, protocol)
    if start is not None:
        refuse_decided(context, SHAPE)
        begun = time.perf_counter()
        saved = open_saved(start)
        with shown(quiet) as progress:
            result = replay(
                recording, saved.personality, saved.hardware, spec=saved.spec, saved=saved.saved, check=check,
                multiplier=multiplier, closed=closed, timing=timing, progress=progress,
                started=lambda: _started(start, begun, quiet),
            )  # fmt: skip
        return deliver(recording, saved.hardware, timing, result, tables, check=check, json=json)
    chosen = get_personality(personality)
    with shown(quiet) as progress:
        result = replay(
            recording, chosen, hardware, check=check, multiplier=multiplier, closed=closed, timing=timing, progress=progress
        )  # fmt: skip
    return deliver(recording, hardware, timing, result, tables, check=check, json=json)


def check_pace(multiplier: float, closed: int | None) -> None:
    """Raises ConfigError for a `--multiplier` or `--closed` out of range."""
    if not 0 < multiplier < math.inf:
        raise ConfigError(f"--multiplier is {multiplier}: give a number above 0")
    if closed is not None and not 1 <= closed <= 10_000:
        raise ConfigError(f"--closed is {closed}: give 1 to 10000 requests outstanding")


def _started(path: Path, begun: float, quiet: bool) -> None:
    if not quiet:
        print(f"{path}: restored in {time.perf_counter() - begun:.2f} s", file=sys.stderr)


def open_recording(capture: Path, protocol: str | None) -> Recording:
    """The capture; what of it is passed over is said. Raises ConfigError."""
    recording = load_recording(capture, protocol)
    if recording.remark:
        print(f"cyclescope: {recording.remark}", file=sys.stderr)
    return recording


def deliver(
    recording: Recording, hardware: Hardware, timing: str, result: Replayed, tables: Tables, *, check: bool, json: str | None
) -> int:
    """Writes and prints what came of a replay; the exit code."""
    if json is not None:
        write_json_option(json, _document(recording, hardware, timing, result))
    if json != "-":
        _print(recording, result)
        console = wide()
        if tables.breakdown:
            print_comparison(console, [result.run], "Where a request's latency goes")
        if tables.functions is not None:
            print_functions(console, result.run, tables.functions)
    return 1 if check and (result.different or result.lost) else 0


def _document(recording: Recording, hardware: Hardware, timing: str, result: Replayed) -> dict[str, object]:
    return {
        "config": {"hardware": msgspec.to_builtins(hardware), "timing": timing},
        "personality": result.run.personality,
        "protocol": {
            "name": recording.application.name,
            "port": recording.port,
            "may_differ": recording.application.may_differ,
        },
        "requests": result.requests,
        "compared": result.compared,
        "equal": result.equal,
        "different": len(result.different),
        "lost": result.lost,
        "differences": [
            {
                "number": d.number,
                "request": _shown(d.request),
                "recorded": _shown(d.recorded),
                "answered": _shown(d.answered or b""),
            }
            for d in result.different
        ],
        "run": run_document(result.run),
    }


def _print(recording: Recording, result: Replayed) -> None:
    console = Console(highlight=False, soft_wrap=True, markup=False)
    latency = np.array(result.latency_ps, np.int64)
    console.print(
        f"{result.run.personality}: {result.requests:,} requests, {result.equal:,} answers equal the recorded ones, "
        f"{len(result.different):,} differ, {result.lost:,} lost; mean latency {latency.mean() / 1e6:.2f} us, "
        f"p99 {percentile_ns(latency, 99) / 1e3:.2f} us"
    )
    if recording.application.may_differ:
        console.print(f"  not compared: {recording.application.may_differ}", markup=False)
    for difference in result.different[:LISTED]:
        console.print(_line(difference), markup=False)
    if len(result.different) > LISTED:
        console.print(f"  and {len(result.different) - LISTED:,} more (--json FILE lists them all)")


def _line(difference: Difference) -> str:
    return (
        f"  {difference.number}: {_shown(difference.request, 60)}: recorded {_shown(difference.recorded, 60)}, "
        f"answered {_shown(difference.answered or b'', 60)}"
    )


def _shown(data: bytes, limit: int = 1 << 20) -> str:
    text = data.decode("latin-1").encode("unicode_escape").decode("ascii")
    return text if len(text) <= limit else text[:limit] + "..."
