# SPDX-License-Identifier: GPL-2.0-or-later
"""A program that ends, on a machine with a network that nobody uses: to its end, on the console, and measured if asked."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from cyclescope.config import Hardware
from cyclescope.console.session import Keys, Session
from cyclescope.experiments.compare import Wire
from cyclescope.experiments.meter import Meter, inputs_of
from cyclescope.experiments.phases import Phase, describe
from cyclescope.experiments.testbed import Testbed
from cyclescope.result import Outcome
from emu.errors import GuestError
from emu.outcome import EXIT_INTERRUPTED, guest_time, outcome
from emu.units import PS_PER_S
from emu.world import Reason, StopInfo
from personalities.base import Personality

Show = Callable[[bytes, int], None]
"""(bytes of the console, time_ps)."""

Holding = Callable[[Callable[[], None]], AbstractContextManager[object]]
"""What surrounds the run; given a way to end it from a signal's handler."""


@dataclass(frozen=True)
class Ended:
    """The command line's exit code, one sentence or nothing, and the figures from the program's first instruction on, if asked."""

    exit_code: int
    message: str
    outcome: Outcome | None


def run_program(
    personality: Personality,
    hardware: Hardware,
    *,
    digest: str = "",
    timing: str | None = None,
    limit_s: float = 0.0,
    keys: Keys | None = None,
    show: Show | None = None,
    holding: Holding = lambda stop: nullcontext(),
    keep_wire: bool = False,
    profiled: bool = False,
) -> Ended:
    """Boots the personality's program and runs it to its end, or for `limit_s` seconds of guest time (0: for ever).

    With `timing` it is measured at that level from its first instruction on, which its init must announce as ready;
    without, all runs at the functional level. `keys` are typed at its console;
    `profiled`: with call stacks followed, which changes no figure.

    Raises:
        ConfigError: a bad image, program or option.
        GuestError: it crashed or hung before the program began.
    """
    wire = Wire(on=True) if keep_wire else None
    limit_ps = int(limit_s * PS_PER_S) if limit_s else None
    with Testbed(hardware, personality, personality.prepare(), timing=timing or "functional", sink=wire) as bed:
        bed.node.on_console = show
        session = Session(bed.world, bed.machine, keys) if keys is not None else None
        with holding(lambda: session.end("ended by a signal") if session is not None else bed.world.stop()):
            meter = None
            if timing is None:
                bed.start()
                stop = _started(bed, limit_ps)
            else:
                stop = bed.boot_or_stop(lambda: session is not None and bool(session.ended), limit_ps)
                if profiled and stop is None:
                    bed.follow_calls()
                meter = Meter(bed) if stop is None else None
            if stop is None:
                stop = bed.run(limit_ps)
        exit_code, message = _told(bed, stop, session.ended if session is not None else "")
        if meter is None:
            return Ended(exit_code, message, None)
        now_ps = bed.world.now_ps
        run, host = meter.read(Phase(0, 0, now_ps, now_ps, 0), rate_rps=0.0, config_hash=digest, inputs=inputs_of(bed))
        return Ended(exit_code, message, Outcome(run, host, wire.frames if wire else []))


def _started(bed: Testbed, limit_ps: int | None) -> StopInfo | None:
    """Up to where a kernel must listen to its console. None: it does, and runs. Raises GuestError when it does not."""
    boot_ps = bed.personality.boot_limit_ps
    if limit_ps is not None and limit_ps <= boot_ps:
        return None
    stop = bed.run(boot_ps)
    if stop.reason is not Reason.UNTIL:
        return stop
    if not bed.machine.serial.listens:
        raise GuestError(
            f"{bed.spec.image.name}: the guest ran for {guest_time(boot_ps)} without starting process 1; its console ends:"
            f" {bed.last_lines()}"
        )
    return None


def _told(bed: Testbed, stop: StopInfo, ended: str) -> tuple[int, str]:
    """Exit code and sentence."""
    told = outcome(bed.world, stop)
    if ended and stop.reason in (Reason.REQUESTED, Reason.INTERRUPTED):
        return EXIT_INTERRUPTED, f"{ended}, after {guest_time(bed.world.now_ps)}"
    if told.message and stop.reason in (Reason.RESET, Reason.TRIPLE_FAULT, Reason.NO_PROGRESS):
        return (
            told.exit_code,
            f"{describe(stop)} after {guest_time(stop.time_ps)}; its console ends: {bed.last_lines()}",
        )
    return told.exit_code, told.message
