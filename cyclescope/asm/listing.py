# SPDX-License-Identifier: GPL-2.0-or-later
"""Machine code as instructions with their share of the static block cost."""

from __future__ import annotations

from dataclasses import dataclass

from capstone import CS_ARCH_X86, CS_GRP_CALL, CS_GRP_INT, CS_GRP_IRET, CS_GRP_JUMP, CS_GRP_RET, CS_MODE_64, Cs

from cyclescope.asm.flat import CODE_GPA
from cyclescope.config import Hardware
from cyclescope.experiments.machines import add_machine
from emu.errors import ConfigError
from emu.world import World

_ENDS = (CS_GRP_JUMP, CS_GRP_CALL, CS_GRP_RET, CS_GRP_INT, CS_GRP_IRET)


@dataclass(frozen=True)
class Listed:
    """One instruction; `cycles` is what it adds to the cost of its block, `block` the block's number from 0."""

    address: int
    code: bytes
    text: str
    cycles: float
    block: int
    ends_block: bool


def listing(code: bytes, uarch: str) -> list[Listed]:
    """Splits at branches, as the emulator's blocks do. Raises ConfigError at bytes that are no instruction."""
    decoder = Cs(CS_ARCH_X86, CS_MODE_64)
    decoder.detail = True
    found: list[Listed] = []
    with World() as world:
        machine = add_machine(world, Hardware(cpus=1, uarch=uarch))
        begin = offset = block = previous16 = 0
        for instruction in decoder.disasm(code, CODE_GPA):
            end = offset + instruction.size
            cost16, _, _ = world.core.block_cost(machine.index, code[begin:end])
            ends = any(instruction.group(group) for group in _ENDS)
            text = f"{instruction.mnemonic} {instruction.op_str}".strip()
            cycles = (cost16 - previous16) / 16
            found.append(Listed(CODE_GPA + offset, code[offset:end], text, cycles, block, ends))
            offset, previous16 = end, cost16
            if ends:
                begin, block, previous16 = end, block + 1, 0
    if offset != len(code):
        raise ConfigError(f"asm: the bytes from {code[offset : offset + 8].hex()} (offset {offset}) are no instruction")
    return found
