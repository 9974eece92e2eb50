# SPDX-License-Identifier: GPL-2.0-or-later
"""A finished run in words: the exit code a command ends with, and one sentence."""

from dataclasses import dataclass

from emu.errors import GuestError
from emu.machine import Machine
from emu.units import PS_PER_S
from emu.world import Reason, StopInfo, World

EXIT_INTERRUPTED = 130  # as shells have it for SIGINT


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a guest's run ended. `message` is empty when there is nothing to say."""

    exit_code: int
    message: str


def guest_time(time_ps: int) -> str:
    """World time for a sentence."""
    return f"{time_ps / PS_PER_S:.6g} s of guest time"


def outcome(world: World, stop: StopInfo) -> Outcome:
    """The exit code: the low byte of what the guest wrote to the debug-exit port; 0 when it switched itself off; or a failure."""
    alone = 0 if len(world.machines) == 1 else -1
    number = stop.machine if stop.machine >= 0 else alone
    machine = world.machines[number] if 0 <= number < len(world.machines) else None
    after = f"after {guest_time(stop.time_ps)}"
    place = f"vCPU {stop.vcpu} at RIP {stop.rip:#x}"
    failed = GuestError.exit_code
    match stop.reason:
        case Reason.EXIT:
            return Outcome(stop.value & 0xFF, "")
        case Reason.POWER_OFF:
            return Outcome(0, "")
        case Reason.RESET:
            return Outcome(failed, f"The guest reset its machine {after}{_last_line(machine)}.")
        case Reason.TRIPLE_FAULT:
            return Outcome(failed, f"The guest triple-faulted on {place} {after}{_last_line(machine)}.")
        case Reason.CYCLE_LIMIT:
            return Outcome(failed, f"The guest did not end within its cycle limit: {place} {after}{_last_line(machine)}.")
        case Reason.NO_PROGRESS:
            return Outcome(
                failed, f"The guest hangs: every vCPU is halted or jumps to itself for good, {after}{_last_line(machine)}."
            )
        case Reason.UNTIL:
            return Outcome(failed, f"The guest did not end within {guest_time(stop.time_ps)}{_last_line(machine)}.")
        case Reason.INTERRUPTED:
            return Outcome(EXIT_INTERRUPTED, f"Interrupted {after}.")
        case Reason.REQUESTED:
            return Outcome(0, "")


def _last_line(machine: Machine | None) -> str:
    """The guest's last words, if it had any."""
    if machine is None:
        return ""
    lines = [line.strip() for line in machine.console.tail.splitlines() if line.strip()]
    printable = "".join(character for character in lines[-1] if character.isprintable())[:200] if lines else ""
    return f'; its last line was "{printable}"' if printable else ""
