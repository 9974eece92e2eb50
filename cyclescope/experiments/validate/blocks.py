# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope validate blocks`: basic blocks measured on real processors, and who predicts them how well.

The blocks are measured unrolled, copy behind copy: decoded each time, never branching, all memory on one physical page, every
general register holding one value at first. Beside the detailed level's window model stand the fast level's static cost, llvm-mca
and the rule max(instructions / 4, loads / 2, stores). Who cannot say anything about a block is 100 % wrong on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from capstone import CS_AC_READ, CS_AC_WRITE, CS_ARCH_X86, CS_GRP_CALL, CS_GRP_RET, CS_MODE_64, Cs
from capstone.x86 import X86_INS_LEA, X86_INS_NOP, X86_INS_POP, X86_INS_PUSH, X86_OP_MEM

from cyclescope.config import Hardware
from cyclescope.experiments.machines import add_machine
from cyclescope.experiments.phases import Progress, no_progress
from cyclescope.experiments.validate.blockfile import MeasuredBlock
from cyclescope.experiments.validate.llvm_mca import HOW_TO_GET, find_llvm_mca, predict
from cyclescope.experiments.validate.rankings import Accuracy, accuracy
from emu.world import World

UNROLLED = {"frontend_bytes": 16, "block_min16": 0}
"""Rows of the fast level for such blocks: decoded each time, 16 bytes a cycle; no branch."""
MAX_MAPE, MIN_TAU = 0.09, 0.91
RULE = "max(n/4, loads/2, stores)"


@dataclass(frozen=True)
class Predictor:
    """Who predicts; `cycles` per block, 0 where it cannot. `missing` says why it is not there at all."""

    key: str
    name: str
    cycles: tuple[float, ...] = ()
    failed: int = 0
    accuracy: Accuracy | None = None
    missing: str = ""


@dataclass(frozen=True)
class BlockResult:
    """Ours first. `uncosted`: instructions, over all blocks, that the table lacks."""

    blocks: tuple[MeasuredBlock, ...]
    predictors: tuple[Predictor, ...]
    uncosted: int


def validate_blocks(
    uarch: str, blocks: Sequence[MeasuredBlock], rows: Mapping[str, int], progress: Progress = no_progress
) -> BlockResult:
    """Runs every predictor, ours with these rows of the table changed. Raises ConfigError for a table there is not."""
    ours: list[float | None] = []
    fast: list[float | None] = []
    uncosted = 0
    with World() as world:
        detailed = add_machine(world, Hardware(cpus=1, memory_mib=64, uarch=uarch, rows=dict(rows))).index
        static = add_machine(world, Hardware(cpus=1, memory_mib=64, uarch=uarch, rows={**rows, **UNROLLED})).index
        for number, block in enumerate(blocks):
            progress("validate: blocks", number, len(blocks))
            if block.instructions is None:
                ours.append(None)
                fast.append(None)
                continue
            told = world.core.predict(detailed, block.code)
            uncosted += told.uncosted
            ours.append(told.cycles / told.copies)
            fast.append(world.core.block_cost(static, block.code)[0] / 16)
    predictors = [
        _judged("window", "window model (detailed)", ours, blocks),
        _judged("fast", "static cost (fast)", fast, blocks),
        _llvm_mca(uarch, blocks, progress),
        _judged("rule", RULE, [_rule(block) for block in blocks], blocks),
    ]
    return BlockResult(tuple(blocks), tuple(predictors), uncosted)


def within_bounds(result: BlockResult) -> bool:
    """What the window model promises on a few hundred blocks of a processor it has a table for."""
    ours = result.predictors[0].accuracy
    return ours is not None and ours.mape <= MAX_MAPE and ours.tau is not None and ours.tau >= MIN_TAU


def _judged(key: str, name: str, cycles: Sequence[float | None], blocks: Sequence[MeasuredBlock]) -> Predictor:
    told = tuple(value or 0.0 for value in cycles)
    return Predictor(key, name, told, cycles.count(None), accuracy(told, [block.measured for block in blocks]))


def _llvm_mca(uarch: str, blocks: Sequence[MeasuredBlock], progress: Progress) -> Predictor:
    tool = find_llvm_mca()
    if tool is None:
        return Predictor("llvm_mca", "llvm-mca", missing=HOW_TO_GET)
    codes = [block.code for block in blocks]
    cycles = predict(tool, uarch, codes, lambda done: progress("validate: llvm-mca", done, len(blocks)))
    return _judged("llvm_mca", f"llvm-mca {tool.version}", cycles, blocks)


def _rule(block: MeasuredBlock) -> float | None:
    """What one would say with a pencil: four instructions, two loads, a store a cycle."""
    if block.instructions is None:
        return None
    decoder = Cs(CS_ARCH_X86, CS_MODE_64)
    decoder.detail = True
    loads = stores = 0
    for instruction in decoder.disasm(block.code, 0):
        load = instruction.id == X86_INS_POP or instruction.group(CS_GRP_RET)
        store = instruction.id == X86_INS_PUSH or instruction.group(CS_GRP_CALL)
        if instruction.id not in (X86_INS_LEA, X86_INS_NOP):
            access = [operand.access for operand in instruction.operands if operand.type == X86_OP_MEM]
            load = load or any(a & CS_AC_READ for a in access)
            store = store or any(a & CS_AC_WRITE for a in access)
        loads, stores = loads + load, stores + store
    return max(block.instructions / 4, loads / 2, float(stores))
