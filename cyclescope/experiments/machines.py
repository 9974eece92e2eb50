# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine with a processor table's timing: the one place that joins `Hardware` to `emu`."""

from __future__ import annotations

from cyclescope.config import Hardware
from emu.core.binding import Level
from emu.errors import ConfigError
from emu.machine import Machine, MachineConfig
from emu.uarch.table import UarchTable
from emu.uarch.table import load as load_table
from emu.world import World

MIB = 1 << 20
LEVELS = {level.name.lower(): level for level in Level}
FUNCTIONAL_QUANTUM_CYCLES = 1_000


def level_of(timing: str) -> Level:
    """The level of that name. Raises ConfigError."""
    if timing not in LEVELS:
        raise ConfigError(f"--timing is {timing!r}: give {' or '.join(LEVELS)}")
    return LEVELS[timing]


def processor_table(hardware: Hardware) -> UarchTable:
    """Its processor, with the rows that were changed."""
    return load_table(hardware.uarch).varied(hardware.rows)


def add_machine(world: World, hardware: Hardware) -> Machine:
    """A machine of that shape, with its processor table applied; off until booted."""
    hardware.check()
    table = processor_table(hardware)
    config = MachineConfig(cpus=hardware.cpus, ram_bytes=hardware.memory_mib * MIB, hz=table.hz, uarch=hardware.uarch)
    machine = world.add_machine(config)
    world.core.uarch(machine.index, table.core_rows())
    world.core.insn_table(
        machine.index, ((f.mnemonic, f.uops16, f.latency, f.ports, f.recip16, f.flags) for f in table.core_forms())
    )
    world.core.quantum(FUNCTIONAL_QUANTUM_CYCLES, hardware.quantum_cycles)
    return machine
