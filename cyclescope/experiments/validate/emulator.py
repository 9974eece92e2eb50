# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope validate emulator`: blocks as guest code under `detailed`, and predicted without a guest: both must say the same.

The predictor follows addresses through moves and additions only, the guest computes them all: where a load meets a store by a
product or a loaded value, they may differ; so may the phase in which a block settles.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from capstone import (
    CS_AC_WRITE,
    CS_ARCH_X86,
    CS_GRP_CALL,
    CS_GRP_INT,
    CS_GRP_IRET,
    CS_GRP_JUMP,
    CS_GRP_PRIVILEGE,
    CS_GRP_RET,
    CS_MODE_64,
    Cs,
    CsInsn,
)
from capstone.x86 import (
    X86_INS_IN,
    X86_INS_INSB,
    X86_INS_INSD,
    X86_INS_INSW,
    X86_INS_OUT,
    X86_INS_OUTSB,
    X86_INS_OUTSD,
    X86_INS_OUTSW,
    X86_INS_RDMSR,
    X86_OP_MEM,
    X86_PREFIX_REP,
    X86_PREFIX_REPNE,
    X86_REG_RIP,
)

from cyclescope.experiments.phases import Progress, no_progress
from cyclescope.experiments.validate.blockguest import BlockHarness, Fault, Measured

MAX_MEDIAN, MAX_P95 = 0.03, 0.10
MODES = ("unrolled", "looped")
MANY_COPIES, MANY_BYTES = 2000, 16000
_EXCEPTIONS = {0: "#DE", 1: "#DB", 3: "#BP", 6: "#UD", 12: "#SS", 13: "#GP", 14: "#PF", 16: "#MF", 17: "#AC", 19: "#XM"}


_BRANCHES = (CS_GRP_JUMP, CS_GRP_CALL, CS_GRP_RET)
_SYSTEM = (CS_GRP_INT, CS_GRP_IRET, CS_GRP_PRIVILEGE)
_DEVICES = (
    X86_INS_IN, X86_INS_OUT, X86_INS_INSB, X86_INS_INSW, X86_INS_INSD, X86_INS_OUTSB, X86_INS_OUTSW, X86_INS_OUTSD,
    X86_INS_RDMSR,
)  # fmt: skip


@dataclass(frozen=True)
class Compared:
    """One block in one mode: cycles a copy."""

    code: bytes
    mode: str
    predicted: float
    emulated: float

    @property
    def difference(self) -> float:
        """The emulator's over the predictor's, as a share."""
        return self.emulated / self.predicted - 1.0


@dataclass(frozen=True)
class Agreement:
    """Everything compared, and how many blocks were left aside for which reason."""

    blocks: int
    compared: tuple[Compared, ...]
    aside: Mapping[str, int]

    def of(self, mode: str) -> list[Compared]:
        """In one mode."""
        return [one for one in self.compared if one.mode == mode]

    def median(self, mode: str) -> float:
        """Of the relative differences, as a share."""
        return median(abs(one.difference) for one in self.of(mode))

    def p95(self, mode: str) -> float:
        """The smallest difference that 95 % of the blocks do not exceed."""
        ordered = sorted(abs(one.difference) for one in self.of(mode))
        return ordered[-(-len(ordered) * 95 // 100) - 1]

    @property
    def holds(self) -> bool:
        """Whether both bounds hold in both modes."""
        return all(self.of(m) and self.median(m) <= MAX_MEDIAN and self.p95(m) <= MAX_P95 for m in MODES)


def compare_blocks(
    uarch: str, blocks: Sequence[bytes], rows: Mapping[str, int] | None = None, progress: Progress = no_progress
) -> Agreement:
    """Runs and predicts each block, unrolled and looped. Raises ConfigError for a table there is not."""
    decoder = Cs(CS_ARCH_X86, CS_MODE_64)
    decoder.detail = True
    compared: list[Compared] = []
    aside: Counter[str] = Counter()
    harness = BlockHarness(uarch, dict(rows or {}))
    try:
        for number, code in enumerate(blocks):
            progress("validate: blocks as guests", number, len(blocks))
            instructions = list(decoder.disasm(code, 0))
            reason = _unfit(code, instructions)
            if reason is None:
                found, reason = _both_modes(harness, code, instructions)
                compared += found
            if reason is not None:
                aside[reason] += 1
    finally:
        harness.close()
    return Agreement(len(blocks), tuple(compared), dict(sorted(aside.items())))


def _both_modes(harness: BlockHarness, code: bytes, instructions: list[CsInsn]) -> tuple[list[Compared], str | None]:
    """Both comparisons, or why there is none."""
    straight = harness.predict(code)
    copies = max(2 * straight.copies, min(MANY_COPIES, MANY_BYTES // len(code)))
    around = harness.predict(code + b"\xe9" + struct.pack("<i", -(len(code) + 5)), looped=True)
    ran: list[tuple[str, float, Measured | Fault]] = [
        ("unrolled", straight.cycles / straight.copies, harness.unrolled(code, copies)),
        ("looped", around.cycles / around.copies, harness.looped(code, len(instructions), around.cycles)),
    ]
    for _, _, told in ran:
        if isinstance(told, Fault):
            return [], f"{_EXCEPTIONS.get(told.vector, told.vector)} at {_instruction(instructions, told.offset)}"
    return [Compared(code, mode, p, told.per_copy) for mode, p, told in ran if isinstance(told, Measured)], None


def _unfit(code: bytes, instructions: list[CsInsn]) -> str | None:
    """Why a block is no guest code for us."""
    if sum(one.size for one in instructions) != len(code):
        return "bytes that are no instruction"
    for one in instructions:
        if one.mnemonic.startswith("v") and not one.mnemonic.startswith("ver"):
            return "AVX"
        if any(one.group(group) for group in _BRANCHES):
            return "branches"
        if any(one.group(group) for group in _SYSTEM) or one.id in _DEVICES:
            return "system instructions"
        if one.prefix[0] in (X86_PREFIX_REP, X86_PREFIX_REPNE) and one.mnemonic.startswith("rep"):
            return "repeated string instructions"
        for operand in one.operands:
            near = operand.type == X86_OP_MEM and operand.mem.base == X86_REG_RIP
            if near and operand.access & CS_AC_WRITE and abs(operand.mem.disp) < 1 << 20:
                return "writes among its own code"
    return None


def _instruction(instructions: list[CsInsn], offset: int) -> str:
    for one in instructions:
        if one.address <= offset < one.address + one.size:
            return str(one.mnemonic)
    return "the harness"
