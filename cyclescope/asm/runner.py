# SPDX-License-Identifier: GPL-2.0-or-later
"""Running a piece of code on an otherwise empty machine, at a timing level."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from cyclescope.asm.assembler import CODE_GPA
from cyclescope.asm.flat import JUMP_BYTES, flat_image
from cyclescope.config import Hardware
from cyclescope.experiments.machines import add_machine
from emu.core.binding import Level
from emu.ledger.calls import SYMBOL, empty_rows
from emu.loader.boot import BootSpec
from emu.outcome import Outcome, outcome
from emu.world import Reason, World

LIMIT_PS = 10**12
OUT_BYTES = 2  # of OUT 0xF4, AL: where RIP stands when that ends the run
_NAMES = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{n}" for n in range(8, 16)))


@dataclass(frozen=True)
class Ran:
    """Cycles and instructions of the code alone; the registers at its end; `message` when it ended badly."""

    exit_code: int
    message: str
    cycles: int
    instructions: int
    registers: dict[str, int]


def run_code(code: bytes, uarch: str, level: Level = Level.FAST) -> Ran:
    """At most a second of guest time. Raises ConfigError when the code is too long."""
    with World() as world, tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "asm.elf"
        image.write_bytes(flat_image(code))
        end = CODE_GPA + len(code)
        machine = add_machine(world, Hardware(cpus=1, uarch=uarch))
        core, calls = world.core, world.core.ledger_calls()
        calls.symbols(machine.index, False, empty_rows(SYMBOL, [(CODE_GPA, end + JUMP_BYTES, 0, 0, 0)]), 1, 1)
        world.set_level(level)
        machine.boot(BootSpec(image))
        stop = world.run(LIMIT_PS)
        ended = Outcome(0, "") if stop.reason is Reason.EXIT else outcome(world, stop)
        account = calls.symbol_accounts(machine.index, 0, 3)[0]  # ours; the boot stub's; halted
        registers = core.regs(machine.index, 0)
        # The jump at the end, in the last block that ran, is not the code's.
        jumped = stop.reason is Reason.EXIT and stop.rip not in range(CODE_GPA, end - OUT_BYTES)
        return Ran(
            ended.exit_code,
            ended.message,
            int(account["cycles"].sum()),
            int(account["instructions"]) - jumped,
            {name: registers[i] for i, name in enumerate(_NAMES)},
        )
