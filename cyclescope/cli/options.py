# SPDX-License-Identifier: GPL-2.0-or-later
"""Options that several commands share, declared once; groups of them are dataclasses (expand.py)."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import msgspec
import typer

from cyclescope.config import DEFAULT_TIMING, Hardware, Load, Locks, parse_rate
from cyclescope.experiments.workers import host_processors
from cyclescope.report.rundir import check_output
from emu.errors import ConfigError
from emu.uarch.changes import parse_changes
from emu.uarch.table import load as load_table
from personalities.base import Personality, get_personality

Cpus = Annotated[int, typer.Option("--cpus", help="vCPUs of the guest, 1 to 16.")]
Memory = Annotated[str, typer.Option("--mem", help="Guest RAM: 64M to 8G.")]
Uarch = Annotated[str, typer.Option("--uarch", help="Processor table.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="ROW=VALUE", help="Change a row of the processor table: iret=300, or iret=x0.5; repeatable."),
]
Net = Annotated[str, typer.Option("--net", help="Link rate: 1G, 10G, 25G, 40G, 100G ... (bit/s).")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the load.")]
Timing = Annotated[str, typer.Option("--timing", help="Timing level while measuring: detailed, fast or functional.")]
Requests = Annotated[int, typer.Option("--requests", help="Measured requests a personality.")]
Warmup = Annotated[int, typer.Option("--warmup", help="Requests before measuring, left out of every figure.")]
Share = Annotated[float, typer.Option("--load", help="Offered load, as a share of the slowest one's capacity.")]
Keys = Annotated[int, typer.Option("--keys", help="Distinct keys.")]
Flows = Annotated[int, typer.Option("--flows", help="Client UDP ports.")]
Closed = Annotated[int | None, typer.Option("--closed", help="Closed loop with this many outstanding.")]
Check = Annotated[bool, typer.Option("--check", help="One at a time; exit 1 if any answer differs.")]
Multiplier = Annotated[float, typer.Option("--multiplier", help="As captured, this many times as fast.")]
KvdLocks = Annotated[str, typer.Option("--locks", help="kvd's hash table: striped or global lock.")]
Names = Annotated[str, typer.Option("--personality", help="Names, joined by commas.")]
DEFAULT_NAMES = "linux_like,libos"
Jobs = Annotated[
    int, typer.Option("--jobs", help="Processes of the host to use; 0 is one a processor. Results do not depend on it.")
]
Events = Annotated[bool, typer.Option("--events", help="List events: how often, at what each, charged to what.")]
Functions = Annotated[
    int | None,
    typer.Option("--functions", metavar="N", help="Follow call stacks; list the N dearest functions, exclusive and inclusive."),
]
Protocol = Annotated[
    str | None,
    typer.Option("--protocol", metavar="NAME[:PORT]", help="memcached, dns, snmp or raw:PORT; default: by the capture's ports."),
]
Json = Annotated[
    str | None, typer.Option("--json", help="Write the result as JSON to this file; - is standard output.")
]
Out = Annotated[Path | None, typer.Option("--out", help="Write a run directory here; it must not exist.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress on standard error.")]

_SIZE = re.compile(r"(\d+)([KMG])(?:i?B)?")


def memory_mib(text: str) -> int:
    """`256M` or `2G` -> MiB; the range is the machine's business."""
    match = _SIZE.fullmatch(text)
    if not match or match[2] == "K":
        raise ConfigError(f"--mem is {text!r}: give a size such as 256M or 2G")
    return int(match[1]) * (1024 if match[2] == "G" else 1)


def rate_bps(text: str) -> int:
    """`10G` or `2.5G` -> bit/s."""
    try:
        return parse_rate(text)
    except ConfigError as error:
        raise ConfigError(f"--net is {error}") from None


def locks_of(text: str) -> Locks:
    """`--locks`. Raises ConfigError."""
    if text not in ("striped", "global"):
        raise ConfigError(f"--locks is {text!r}: give striped or global")
    return cast(Locks, text)


def personalities_of(names: str) -> list[Personality]:
    """`--personality A,B`. Raises ConfigError for one that is not there, or named twice."""
    found = [get_personality(name) for name in names.split(",")]
    if len({personality.name for personality in found}) != len(found):
        raise ConfigError("--personality: name each personality once")
    return found


def job_count(jobs: int) -> int:
    """`--jobs`; its upper bound is the runner's business."""
    if jobs < 0:
        raise ConfigError(f"--jobs is {jobs}: give 0 (one a processor), or a number of processes")
    return jobs or host_processors()


def changed_rows(uarch: str, words: list[str] | None) -> dict[str, int]:
    """What `--set` asks for, sorted by row: their order must not change the configuration's hash."""
    return dict(sorted(parse_changes(load_table(uarch), words or []).items()))


def row_changes(uarch: str, rows: Mapping[str, int]) -> str:
    """`iret 250 -> 500 cycles, ...`, or nothing."""
    table = load_table(uarch)
    return ", ".join(f"{name} {table[name].value:,} -> {value:,} {table[name].unit}" for name, value in rows.items())


@dataclass(frozen=True)
class Board:
    """A machine's shape, without a link."""

    cpus: Cpus = 4
    mem: Memory = "256M"
    uarch: Uarch = "skylake_sp"
    set_rows: Set = None

    def hardware(self, **further: Any) -> Hardware:
        """With further fields of Hardware. Raises ConfigError for the first value out of range."""
        rows = changed_rows(self.uarch, self.set_rows)
        found = Hardware(cpus=self.cpus, memory_mib=memory_mib(self.mem), uarch=self.uarch, rows=rows, **further)
        found.check()
        return found


@dataclass(frozen=True)
class Shape(Board):
    """A machine on a link."""

    net: Net = "10G"

    def hardware(self, **further: Any) -> Hardware:
        """As the board's."""
        return super().hardware(link_bps=rate_bps(self.net), **further)


@dataclass(frozen=True)
class Measurement:
    """How exactly, and how much, is measured."""

    timing: Timing = DEFAULT_TIMING
    requests: Requests = 10_000
    warmup: Warmup = 1_000
    seed: Seed = 1

    @property
    def amount(self) -> dict[str, Any]:
        """Fields of Load."""
        return {"requests": self.requests, "warmup": self.warmup, "seed": self.seed}


@dataclass(frozen=True)
class Tables:
    """What is printed beside the answers' summary."""

    breakdown: Annotated[bool, typer.Option("--breakdown", help="Print where the requests' time went, as compare does.")] = False
    functions: Functions = None

    def check(self) -> None:
        """Raises ConfigError for a number out of range."""
        check_functions(self.functions)


@dataclass(frozen=True)
class Traffic:
    """How requests of memcached's kind are offered."""

    rate: Annotated[float | None, typer.Option("--rate", help="Offered load [requests/s].")] = None
    closed: Closed = None
    keys: Keys = 1_000
    flows: Flows = 64
    tcp: Annotated[bool, typer.Option("--tcp", help="memcached over TCP; of the shipped personalities linux has it.")] = False
    connections: Annotated[
        int | None, typer.Option("--connections", help="With --tcp: the client's connections; 64 if not given.")
    ] = None
    loss: Annotated[float, typer.Option("--loss", help="With --tcp: share of frames lost on the link, each way.")] = 0.0

    def load(self, **further: Any) -> Load:
        """With further fields of Load. Raises ConfigError for the first value out of range."""
        connections = 0
        if self.tcp:
            connections = 64 if self.connections is None else self.connections
            if connections < 1:
                raise ConfigError(f"--connections is {connections}: give 1 to 1000 TCP connections")
        elif self.connections is not None:
            raise ConfigError("--connections needs --tcp; over UDP --flows gives the client's ports")
        found = Load(
            rate=self.rate, closed=self.closed, keys=self.keys, flows=self.flows, connections=connections, loss=self.loss,
            **further,
        )  # fmt: skip
        found.check()
        return found


@dataclass(frozen=True)
class Output:
    """Where results go."""

    json: Json = None
    out: Out = None
    quiet: Quiet = False

    def check(self) -> None:
        """Raises ConfigError for what cannot be written: before the run, not after it."""
        check_json_option(self.json)
        if self.out is not None:
            check_output(self.out)


def check_functions(functions: int | None) -> None:
    """Raises ConfigError for a `--functions` out of range."""
    if functions is not None and not 1 <= functions <= 100_000:
        raise ConfigError(f"--functions is {functions}: give 1 to 100000")


def check_json_option(target: str | None, option: str = "--json") -> None:
    """Raises ConfigError when the option's file cannot be written: tells before the run, not after it."""
    if target is None or target == "-":
        return
    path = Path(target)
    existed = path.exists()
    try:
        with path.open("ab"):
            pass
        if not existed:
            path.unlink()
    except OSError as error:
        raise _unwritable(option, target, error) from error


def write_json_option(target: str, value: object) -> None:
    """`--json FILE`, or `-` for standard output."""
    text = msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=2) + b"\n"
    if target == "-":
        sys.stdout.buffer.write(text)
        sys.stdout.flush()
        return
    write_option("--json", target, text)


def write_option(option: str, target: str, text: bytes) -> None:
    """The file an option names. Raises ConfigError."""
    try:
        Path(target).write_bytes(text)
    except OSError as error:
        raise _unwritable(option, target, error) from error


def _unwritable(option: str, target: str, error: OSError) -> ConfigError:
    standard = ", or -" if option == "--json" else ""
    return ConfigError(f"{option} {target}: cannot be written ({error.strerror}); give another file{standard}")
