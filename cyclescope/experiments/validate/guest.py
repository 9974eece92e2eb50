# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs a microbenchmark in a guest, reads what it prints, and takes its marked operations apart by the ledger.

The programs (apps/micro/micro.h) print `NAME PARAM VALUE`; `timed` and `untimed` switch the timing level between preparation and
measurement, `mark NAME OPERATIONS` ... `mark end` enclose operations of a kind. Each kind comes twice, with different numbers of
operations: the difference holds nothing of the marks themselves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cyclescope.config import Hardware
from cyclescope.experiments.machines import add_machine, level_of
from emu.core.binding import Level
from emu.errors import GuestError
from emu.ledger.accounts import Accounts, Snapshot, snapshot
from emu.ledger.install import install, read_code, taxonomy_of
from emu.ledger.manifest import load_manifest
from emu.loader.boot import BootSpec
from emu.outcome import outcome
from emu.world import Reason, World
from personalities.base import Personality

LIMIT_PS = 60 * 10**12
_FIGURE = re.compile(r"([a-z_][a-z0-9_]*) (\d+) (\d+\.\d\d)")
_MARK = re.compile(r"mark ([a-z_]+) (\d+)")

Parts = dict[str, dict[str, float]]
"""component -> cause -> cycles an operation."""


@dataclass(frozen=True)
class Operations:
    """What one operation of a marked kind took, over all vCPUs."""

    cycles: Parts
    instructions: float

    def total(self, components: Sequence[str] | None = None) -> float:
        """Cycles, of all components or of some."""
        return sum(sum(c.values()) for name, c in self.cycles.items() if components is None or name in components)


@dataclass(frozen=True)
class GuestRun:
    """The figures in the order they were printed, by name and parameter; the marked operations by name; the console."""

    figures: Mapping[tuple[str, int], float]
    operations: Mapping[str, Operations]
    console: str

    def of(self, name: str) -> dict[int, float]:
        """Parameter -> value of one name."""
        return {param: value for (found, param), value in self.figures.items() if found == name}


@dataclass
class _Watch:
    """The console, line by line; stops the world at lines that are for us."""

    world: World
    text: bytearray = field(default_factory=bytearray)
    commands: list[str] = field(default_factory=list)

    def __call__(self, data: bytes, time_ps: int) -> None:
        start = self.text.rfind(b"\n") + 1
        self.text += data
        for line in self.text[start:].decode(errors="replace").split("\n")[:-1]:
            if (command := line.strip()) in ("timed", "untimed", "mark end") or _MARK.fullmatch(command):
                self.commands.append(command)
                self.world.stop()


def run_micro(
    personality: Personality,
    program: str,
    arguments: Sequence[str],
    hardware: Hardware,
    timing: str,
    *,
    timed_boot: bool = False,
) -> GuestRun:
    """Boots `program` at the functional level and runs it to its end, at `timing` where it asks for that (or all along).

    Raises:
        ConfigError: a bad level or option, or the program is not built.
        GuestError: it ended badly.
    """
    spec = personality.prepare(program, arguments)
    level = level_of(timing)
    with World() as world:
        machine = add_machine(world, hardware)
        world.set_level(level if timed_boot else Level.FUNCTIONAL)
        watch = _Watch(world)
        machine.console.sink = watch
        marks = _Marks(world, machine.index, hardware.cpus, spec, spec.manifest or personality.manifest_path)
        machine.boot(spec)
        while (stop := world.run(LIMIT_PS)).reason is Reason.REQUESTED:
            commands, watch.commands = watch.commands, []
            for command in commands:
                if command.startswith("mark"):
                    marks.take(command)
                else:
                    world.set_level(level if command == "timed" else Level.FUNCTIONAL)
        if stop.reason is Reason.INTERRUPTED:
            raise KeyboardInterrupt
        ended = outcome(world, stop)
        console = watch.text.decode(errors="replace")
        if ended.exit_code != 0:
            last = next((line.strip() for line in reversed(console.splitlines()) if line.strip()), "nothing")
            raise GuestError(f"{program}: {ended.message or f'the guest ended with {ended.exit_code}'}; it said: {last}")
    return GuestRun(read_figures(console), marks.operations(), console)


def read_figures(text: str) -> dict[tuple[str, int], float]:
    """(name, parameter) -> value of the lines that are figures, in their order."""
    matches = (_FIGURE.fullmatch(line.strip()) for line in text.splitlines())
    return {(match[1], int(match[2])): float(match[3]) for match in matches if match}


class _Marks:
    """The ledger at each mark."""

    def __init__(self, world: World, machine: int, cpus: int, spec: BootSpec, manifest: Path) -> None:
        self._core, self._calls, self._machine, self._cpus = world.core, world.core.ledger_calls(), machine, cpus
        parsed = load_manifest(manifest)
        self._taxonomy = taxonomy_of([parsed])
        programs = [p for p in spec.programs if p.read_bytes()[:4] == b"\x7fELF"]
        self._names = install(self._calls, machine, parsed, read_code(Path(spec.image), programs, parsed), self._taxonomy)
        self._open: tuple[str, int, Snapshot] | None = None
        self._windows: dict[str, list[tuple[int, Accounts]]] = {}

    def take(self, command: str) -> None:
        clocks = [self._core.cycles(self._machine, vcpu) for vcpu in range(self._cpus)]
        now = snapshot(self._calls, self._machine, clocks, len(self._names))
        if match := _MARK.fullmatch(command):
            self._open = (match[1], int(match[2]), now)
        elif self._open is not None:
            name, count, earlier = self._open
            accounts = Accounts.between(earlier, now, self._taxonomy, self._names)
            self._windows.setdefault(name, []).append((count, accounts))
            self._open = None

    def operations(self) -> dict[str, Operations]:
        """For each kind, the difference of its longest window and its shortest."""
        found = {}
        for name, windows in self._windows.items():
            windows.sort(key=lambda window: window[0])
            (few, short), (many, long) = windows[0], windows[-1]
            if few == many:
                continue
            scale = 1.0 / (many - few)
            less, cycles = short.cycles(), long.cycles()
            parts = {
                component: {
                    cause: round(difference * scale, 2)
                    for cause, value in causes.items()
                    if (difference := value - less.get(component, {}).get(cause, 0))
                }
                for component, causes in cycles.items()
            }
            found[name] = Operations(
                {name: causes for name, causes in parts.items() if causes},
                (long.instructions - short.instructions) * scale,
            )
        return found
