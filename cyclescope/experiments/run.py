# SPDX-License-Identifier: GPL-2.0-or-later
"""Running one guest to its end, without a network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from cyclescope.config import Hardware
from cyclescope.console.session import Keys, Session
from cyclescope.experiments.machines import add_machine, level_of, processor_table
from emu.ledger.accounts import notes
from emu.ledger.events import EventCost, event_costs
from emu.ledger.install import install, read_code, taxonomy_of
from emu.ledger.manifest import load_manifest
from emu.loader.boot import BootSpec
from emu.outcome import EXIT_INTERRUPTED, Outcome, guest_time, outcome
from emu.world import World


@dataclass(frozen=True)
class RunResult:
    """Exit code for the command line, one sentence (or nothing), the counts of `note` probes, and events."""

    exit_code: int
    message: str
    notes: dict[str, dict[int, int]] = field(default_factory=dict)
    events: tuple[EventCost, ...] = ()


def run_guest(
    spec: BootSpec,
    hardware: Hardware,
    *,
    timing: str = "functional",
    limit_s: float = 0.0,
    manifest: Path | None = None,
    console: Callable[[bytes, int], None] | None = None,
    keys: Keys | None = None,
    holding: Callable[[Callable[[], None]], AbstractContextManager[None]] = lambda stop: nullcontext(),
) -> RunResult:
    """Boots `spec` and runs it until it ends, or for `limit_s` seconds of guest time (0: for ever).

    `keys` are typed at its console, and `holding` is entered while it runs, with what ends it.

    Raises:
        ConfigError: a bad image or option.
        GuestError: the guest flooded its console.
        NotModelled: it needs what the machine lacks.
    """
    level = level_of(timing)
    with World() as world:
        machine = add_machine(world, hardware)
        world.set_level(level)
        machine.console.sink = console
        found: dict[str, dict[int, int]] = {}
        parsed = None
        if manifest is not None:
            parsed = load_manifest(manifest)
            calls = world.core.ledger_calls()
            install(calls, machine.index, parsed, read_code(Path(spec.image), [], parsed), taxonomy_of([parsed]))
        machine.boot(spec)
        session = Session(world, machine, keys) if keys is not None else None
        with holding(lambda: session.end("ended by a signal") if session is not None else world.stop()):
            stop = world.run(int(limit_s * 1e12) if limit_s else None)
        if parsed is not None:
            found = notes(calls, machine.index, parsed)
        ended = outcome(world, stop)
        if session is not None and session.ended:
            ended = Outcome(EXIT_INTERRUPTED, f"{session.ended}, after {guest_time(world.now_ps)}")
        happened: Counter[str] = Counter()
        for vcpu in range(hardware.cpus):
            happened.update(world.core.events(machine.index, vcpu))
        return RunResult(ended.exit_code, ended.message, found, event_costs(happened, processor_table(hardware)))
