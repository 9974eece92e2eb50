# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope linux -- PROGRAM` without a load: its console, somebody at it, and its figures when it has ended."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from cyclescope.cli.compare import list_functions
from cyclescope.cli.options import Output, write_json_option
from cyclescope.cli.results import wide
from cyclescope.config import DEFAULT_TIMING, Hardware, config_hash
from cyclescope.console.keys import MAX_LINES_BYTES, Lines, Recorded, Recorder
from cyclescope.console.session import Keys
from cyclescope.console.terminal import HELP, Keyboard, RawTerminal, window
from cyclescope.experiments.machines import level_of
from cyclescope.experiments.program import Ended, run_program
from cyclescope.report.document import comparison_document, with_host
from cyclescope.report.program import print_program
from cyclescope.report.rundir import write_run_directory
from emu.errors import ConfigError
from personalities.linux.personality import LinuxProgram

MAX_LIMIT_S = 1e6
SIGNALLED = 128  # as shells have it


@dataclass(frozen=True)
class At:
    """Who is at the console."""

    console: Annotated[
        bool | None,
        typer.Option(
            "--console/--no-console",
            help="Type what comes on standard input at the guest's console; on if it is a terminal.",
        ),
    ] = None
    record: Annotated[
        Path | None, typer.Option("--record", metavar="FILE", help="Write what was typed when, for --play.")
    ] = None
    play: Annotated[
        Path | None, typer.Option("--play", metavar="FILE", help="Type what --record wrote, at the same guest times.")
    ] = None

    @property
    def live(self) -> bool:
        """Whether a person is."""
        both = sys.stdin.isatty() and sys.stdout.isatty()
        return self.play is None and (both if self.console is None else self.console and sys.stdin.isatty())


def run_to_end(
    personality: Callable[[tuple[int, int] | None, bool], LinuxProgram],
    hardware: Hardware,
    words: list[str],
    *,
    timing: str | None,
    limit_s: float,
    functions: int | None,
    at: At,
    output: Output,
) -> int:
    """The program's exit status, or how its guest ended.

    Args:
        personality: made for a window (rows, columns) or none, and whether its program is measured.
        words: the program and its arguments.
    """
    if not 0 <= limit_s <= MAX_LIMIT_S:
        raise ConfigError(f"--limit is {limit_s}: give 0 (no limit) to {MAX_LIMIT_S:g} seconds of guest time")
    output.check()
    measured = timing is not None or functions is not None or output.json is not None or output.out is not None
    level = timing or DEFAULT_TIMING
    level_of(level)
    config: dict[str, Any] = {"hardware": msgspec.to_builtins(hardware), "program": words, "timing": level}
    digest = config_hash(hardware, *words, level)
    signals: list[int] = []
    with typed_keys(at) as (keys, size):
        chosen = personality(size, measured)
        holding = partial(held, at, signals)
        ended = run_program(
            chosen, hardware, digest=digest, timing=level if measured else None, limit_s=limit_s, keys=keys, holding=holding,
            show=_show(sys.stderr if output.json == "-" else sys.stdout), keep_wire=output.out is not None,
            profiled=functions is not None,
        )  # fmt: skip
    if ended.message:
        print(f"cyclescope: {ended.message.rstrip('.')}.", file=sys.stderr)
    _deliver(config, digest, ended, functions, output)
    return SIGNALLED + signals[0] if signals and signals[0] else ended.exit_code


@contextmanager
def held(at: At, signals: list[int], stop: Callable[[], None]) -> Iterator[None]:
    """The terminal in raw mode, if a person is at it; `signals` gets the one that ended it, or 0."""
    if not at.live:
        yield
        return
    print(f"cyclescope: {HELP}.", file=sys.stderr)
    with RawTerminal(sys.stdin.fileno(), stop) as terminal:
        yield
    signals.append(terminal.signalled)


@contextmanager
def typed_keys(at: At) -> Iterator[tuple[Keys | None, tuple[int, int] | None]]:
    """Where keys come from, and the window that somebody looks through."""
    if at.play is not None:
        if at.record is not None or at.console:
            raise ConfigError("--play and --record or --console exclude each other: give one of them")
        recorded = Recorded(at.play)
        yield recorded, recorded.window
        return
    size = window() if at.live else None
    keys: Keys | None = None
    if at.live:
        keys = Keyboard(sys.stdin.fileno(), lambda text: print(f"\r\ncyclescope: {text}.", end="\r\n", file=sys.stderr))
    elif at.console:
        data = sys.stdin.buffer.read(MAX_LINES_BYTES + 1)
        if len(data) > MAX_LINES_BYTES:
            raise ConfigError(f"standard input: has more than {MAX_LINES_BYTES} bytes to be typed at a console")
        keys = Lines(data)
    if at.record is None:
        yield keys, size
        return
    if keys is None:
        raise ConfigError("--record needs a console: give --console, or run at a terminal")
    try:
        with at.record.open("w") as file:

            def write(line: str) -> None:
                file.write(line)
                file.flush()

            yield Recorder(keys, size, write), size
    except OSError as error:
        raise ConfigError(f"{at.record}: cannot be written ({error.strerror}); give --record another file") from error


def _show(stream: Any) -> Callable[[bytes, int], None]:
    def show(data: bytes, time_ps: int) -> None:
        stream.buffer.write(data)
        stream.buffer.flush()

    return show


def _deliver(config: dict[str, Any], digest: str, ended: Ended, functions: int | None, output: Output) -> None:
    if ended.outcome is None:
        return
    outcome = ended.outcome
    document = comparison_document(config, digest, [outcome.run])
    document["program"] = {"words": config["program"], "exit_code": ended.exit_code, "message": ended.message}
    if output.out is not None:
        write_run_directory(output.out, document, [outcome])
    if output.json is not None:
        write_json_option(output.json, with_host(document, [outcome.host]))
    if output.json == "-":
        return
    print_program(wide(), outcome.run, config["timing"])
    list_functions([outcome], functions)
    if output.out is not None:
        print(f"Written to {output.out}")
