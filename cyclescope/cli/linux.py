# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope linux`: a distribution's kernel and a program, both unmodified; `cyclescope linux fetch` gets the kernel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cyclescope.cli.compare import list_functions, print_outcomes, write_outcomes
from cyclescope.cli.expand import expanded
from cyclescope.cli.options import Check, Multiplier, Output, Protocol, Shape, Tables, Traffic, Warmup
from cyclescope.cli.program import At, run_to_end
from cyclescope.cli.progress import shown
from cyclescope.cli.replay import check_pace, deliver, open_recording
from cyclescope.cli.results import config_of
from cyclescope.cli.snapshot import take
from cyclescope.cli.starts import given
from cyclescope.config import DEFAULT_TIMING, Hardware, Load
from cyclescope.experiments.compare import compare
from cyclescope.experiments.replay import replay
from emu.errors import ConfigError
from personalities.linux.fetch import PACKAGE, fetch
from personalities.linux.personality import MODULES, LinuxProgram, Options

FETCH = ["fetch"]


def add_to(app: typer.Typer) -> None:
    app.command(
        "linux",
        help="Unmodified Linux with an unmodified program: `linux -- PROGRAM ARGS`; `linux fetch` gets a kernel.",
    )(command)


@dataclass(frozen=True)
class Guest:
    """What boots."""

    kernel: Annotated[
        Path | None, typer.Option("--kernel", help="vmlinuz or vmlinux; default: the fetched one.")
    ] = None
    modules: Annotated[Path | None, typer.Option("--modules", help="Its folder lib/modules/VERSION.")] = None
    load: Annotated[
        list[str] | None, typer.Option("--load", metavar="MODULE", help="Load this kernel module, too; repeatable.")
    ] = None
    file: Annotated[
        list[str] | None, typer.Option("--file", metavar="GUEST=FILE", help="A file or folder for the guest; repeatable.")
    ] = None
    env: Annotated[
        list[str] | None, typer.Option("--env", metavar="NAME=VALUE", help="Of the program; repeatable.")
    ] = None
    append: Annotated[str, typer.Option("--append", help="Words for the kernel's command line.")] = ""
    boot: Annotated[
        str | None, typer.Option("--boot", help="Enter the kernel by pvh or linux64; default: PVH where it can.")
    ] = None
    ready: Annotated[
        str | None, typer.Option("--ready", help="When the program serves: udp:PORT, tcp:PORT, or asleep.")
    ] = None
    seed: Annotated[int, typer.Option("--seed", help="Seed of the guest's random numbers, and of the load.")] = 1

    def personality(
        self, program: list[str], unless_said: str | None = None, window: tuple[int, int] | None = None
    ) -> LinuxProgram:
        """`unless_said`: when it is ready, as Options has it. Raises ConfigError."""
        if not 0 <= self.seed < 1 << 63:
            raise ConfigError(f"--seed is {self.seed}: give 0 to {(1 << 63) - 1}")
        if self.boot not in (None, "pvh", "linux64"):
            raise ConfigError(f"--boot is {self.boot!r}: give pvh or linux64")
        options = Options(
            kernel=self.kernel,
            modules=self.modules,
            load=(*MODULES, *(self.load or [])),
            files={to: Path(at) for to, at in (_pair("--file", word) for word in self.file or [])},
            environment=dict(_pair("--env", word) for word in self.env or []),
            cmdline=self.append,
            ready=_sign(self.ready) or unless_said,
            boot=self.boot,
            seed=self.seed,
            window=window,
        )
        return LinuxProgram(options, program[0], program[1:])


OF_LOAD = {
    "warmup": "--warmup", "rate": "--rate", "share": "--share", "keys": "--keys", "flows": "--flows", "tcp": "--tcp",
    "connections": "--connections", "loss": "--loss",
}  # fmt: skip
OF_REPLAY = {
    "check": "--check", "closed": "--closed", "protocol": "--protocol", "multiplier": "--multiplier",
    "breakdown": "--breakdown",
}  # fmt: skip
OF_CONSOLE = {"console": "--console", "record": "--record", "play": "--play", "limit": "--limit"}


@expanded
def command(
    context: typer.Context,
    program: Annotated[list[str], typer.Argument(help="The program and its arguments, behind --; or fetch [PACKAGE].")],
    guest: Guest = Guest(),
    shape: Shape = Shape(),
    replayed: Annotated[Path | None, typer.Option("--replay", help="Replay this capture's requests.")] = None,
    protocol: Protocol = None,
    check: Check = False,
    multiplier: Multiplier = 1.0,
    limit: Annotated[float, typer.Option("--limit", help="Without load: end after this much guest time [s].")] = 0.0,
    timing: Annotated[
        str | None, typer.Option("--timing", help="Timing level once the program serves: detailed, fast or functional.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option("--save", help="Save the booted machine here when the program serves, and end.")
    ] = None,
    requests: Annotated[
        int | None, typer.Option("--requests", help="Measure this many requests of memcached's kind, as compare does.")
    ] = None,
    warmup: Warmup = 1_000,
    share: Annotated[float, typer.Option("--share", help="With --requests: load as a share of capacity.")] = 0.7,
    traffic: Traffic = Traffic(),
    tables: Tables = Tables(),
    at: At = At(),
    output: Output = Output(),
) -> int:
    """The program's exit status; with --replay as `replay`: 1 when checking and an answer differs or is missing."""
    if program[:1] == FETCH and len(program) <= 2:
        got = fetch(program[1] if len(program) == 2 else PACKAGE)
        print(f"{got.image}: fetched; `cyclescope linux` will use it.")
        return 0
    hardware = shape.hardware()
    tables.check()
    loaded = replayed is not None or requests is not None or save is not None
    if requests is None and (option := given(context, {**OF_LOAD, **({"out": "--out"} if loaded else {})})):
        raise ConfigError(f"{option} needs --requests")
    if loaded and (option := given(context, OF_CONSOLE)):
        raise ConfigError(f"{option} is for a program without a load: leave out --requests, --replay and --save")
    if not loaded:
        if option := given(context, OF_REPLAY):
            raise ConfigError(f"{option} needs --replay")
        if guest.ready is not None:
            raise ConfigError("--ready needs a load: --replay, --requests or --save")
        return run_to_end(
            lambda window, measured: guest.personality(program, "entry" if measured else "never", window),
            hardware, program, timing=timing, limit_s=limit, functions=tables.functions, at=at, output=output,
        )  # fmt: skip
    recording = open_recording(replayed, protocol) if replayed is not None else None
    personality = guest.personality(program, f"udp {recording.port}" if recording is not None and recording.port else None)
    if save is not None:
        if replayed is not None or requests is not None or check:
            raise ConfigError("--save is for itself: go on with `cyclescope replay CAPTURE --from FILE`")
        take(personality, hardware, personality.prepare(), program[0], program[1:], save, quiet=output.quiet)
        return 0
    if requests is not None:
        if replayed is not None or check:
            raise ConfigError("--requests and --replay or --check exclude each other: give one of them")
        offered = traffic.load(requests=requests, warmup=warmup, seed=guest.seed, load=share)
        _measure(personality, hardware, offered, timing or DEFAULT_TIMING, tables.functions, output)
        return 0
    assert recording is not None
    check_pace(multiplier, traffic.closed)
    output.check()
    spec = personality.prepare()
    level = timing or DEFAULT_TIMING
    with shown(output.quiet) as progress:
        answered = replay(
            recording, personality, hardware, spec=spec, check=check, multiplier=multiplier, closed=traffic.closed,
            timing=level, progress=progress,
        )  # fmt: skip
    return deliver(recording, hardware, level, answered, tables, check=check, json=output.json)


def _measure(
    personality: LinuxProgram, hardware: Hardware, load: Load, timing: str, functions: int | None, output: Output
) -> None:
    """A comparison of one."""
    output.check()
    with shown(output.quiet) as progress:
        digest, outcomes = compare(
            [personality], hardware, load, timing=timing, keep_wire=output.out is not None, profiled=functions is not None,
            progress=progress,
        )  # fmt: skip
    write_outcomes(config_of(hardware, load, timing), digest, outcomes, output)
    if output.json != "-":
        print_outcomes(digest, hardware, load, timing, outcomes, output.out)
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
