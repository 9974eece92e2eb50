# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine, and the world it sits in. Public names, re-exported; the code is in the modules.

    from emu import BootSpec, MachineConfig, World, outcome

    with World() as world:
        machine = world.add_machine(MachineConfig(cpus=2))
        machine.console.sink = lambda data, time_ps: print(data.decode(), end="")
        machine.boot(BootSpec(Path("kernel.elf"), "key=value"))
        print(outcome(world, world.run()))
"""

from emu.errors import ConfigError, CyclescopeError, DmaFault, EmuBug, GuestError, NotModelled
from emu.loader.boot import BootModule, BootSpec
from emu.machine import Machine, MachineConfig
from emu.outcome import Outcome, outcome
from emu.world import Reason, StopInfo, World

__all__ = [
    "BootModule",
    "BootSpec",
    "ConfigError",
    "CyclescopeError",
    "DmaFault",
    "EmuBug",
    "GuestError",
    "Machine",
    "MachineConfig",
    "NotModelled",
    "Outcome",
    "Reason",
    "StopInfo",
    "World",
    "outcome",
]
