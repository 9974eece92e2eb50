# SPDX-License-Identifier: GPL-2.0-or-later
"""Machine code as the body that is analysed: straight-line code, or a loop that ends in its branch.

A backward jump at the end to an instruction of the code makes a loop, which begins there: what stands before it runs once and is
left out. All other jumps are assumed not to be taken, and a note says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from capstone import (
    CS_ARCH_X86,
    CS_GRP_BRANCH_RELATIVE,
    CS_GRP_CALL,
    CS_GRP_INT,
    CS_GRP_IRET,
    CS_GRP_JUMP,
    CS_GRP_RET,
    CS_MODE_64,
    CS_OPT_SYNTAX_ATT,
    Cs,
    CsInsn,
)
from capstone.x86 import X86_OP_IMM

from cyclescope.asm.assembler import CODE_GPA
from emu.core.prediction import MAX_BYTES, MAX_INSTRUCTIONS
from emu.errors import ConfigError

_JUMPS = (CS_GRP_JUMP, CS_GRP_CALL, CS_GRP_RET, CS_GRP_INT, CS_GRP_IRET, CS_GRP_BRANCH_RELATIVE)
_NOT_IN_TCG = ("avx", "avx2", "avx512", "fma", "fma4", "f16c", "xop")


@dataclass(frozen=True)
class Instruction:
    """One instruction; `number` counts from 1 in the whole code, `needs` is the extension that the emulated processor lacks."""

    number: int
    offset: int
    code: bytes
    text: str
    jumps: bool
    needs: str


@dataclass(frozen=True)
class Body:
    """What is analysed: `instructions`; those of the whole code before it are `left_out`. `loop`: it ends in its own branch."""

    instructions: tuple[Instruction, ...]
    left_out: tuple[Instruction, ...]
    loop: bool
    notes: tuple[str, ...]

    @property
    def code(self) -> bytes:
        """The body's bytes."""
        return b"".join(i.code for i in self.instructions)


def body_of(code: bytes, *, att: bool = False) -> Body:
    """Raises ConfigError at bytes that are no instruction, and for more than the predictor takes."""
    decoder = Cs(CS_ARCH_X86, CS_MODE_64)
    decoder.detail = True
    if att:
        decoder.syntax = CS_OPT_SYNTAX_ATT
    found: list[Instruction] = []
    targets: list[int | None] = []
    offset = 0
    for insn in decoder.disasm(code, CODE_GPA):
        found.append(_instruction(insn, len(found) + 1, offset))
        targets.append(_target(insn))
        offset += insn.size
    if offset != len(code):
        raise ConfigError(f"asm: the bytes from {code[offset : offset + 8].hex()} (offset {offset}) are no instruction")
    begin, loop = _loop(found, targets[-1])
    if len(found) - begin > MAX_INSTRUCTIONS or offset - found[begin].offset > MAX_BYTES:
        raise ConfigError(
            f"asm: {len(found) - begin} instructions ({offset - found[begin].offset} bytes) are too many: "
            f"at most {MAX_INSTRUCTIONS} ({MAX_BYTES} bytes) can be analysed at once"
        )
    body = found[begin:]
    return Body(tuple(body), tuple(found[:begin]), loop, tuple(_notes(body, begin, loop)))


def _instruction(insn: CsInsn, number: int, offset: int) -> Instruction:
    groups = [insn.group_name(group) or "" for group in insn.groups]
    needs = next((name for name in groups if name.lower() in _NOT_IN_TCG), "")
    jumps = any(insn.group(group) for group in _JUMPS) or insn.mnemonic.startswith("loop")
    return Instruction(
        number, offset, bytes(insn.bytes), f"{insn.mnemonic} {insn.op_str}".strip(), jumps, needs.upper()
    )


def _target(insn: CsInsn) -> int | None:
    """Offset a direct jump goes to; None for all else."""
    jump = insn.group(CS_GRP_JUMP) or insn.mnemonic.startswith("loop")
    if not jump or len(insn.operands) != 1 or insn.operands[0].type != X86_OP_IMM:
        return None
    return int(insn.operands[0].imm) - CODE_GPA


def _loop(found: list[Instruction], target: int | None) -> tuple[int, bool]:
    """Where the body begins, and whether it is a loop."""
    if target is not None:
        for i, instruction in enumerate(found):
            if instruction.offset == target:
                return i, True
    return 0, False


def _notes(body: list[Instruction], begin: int, loop: bool) -> list[str]:
    notes = []
    if begin:
        before = (
            "instruction 1, which runs once, is" if begin == 1 else f"instructions 1 to {begin}, which run once, are"
        )
        notes.append(f"The loop begins at instruction {begin + 1}; {before} not counted.")
    inside = [i for i in (body[:-1] if loop else body) if i.jumps]
    if inside:
        listed = ", ".join(f"{i.number} ({i.text})" for i in inside[:4]) + (", ..." if len(inside) > 4 else "")
        notes.append(f"Assumed to fall through, for straight-line code is what is analysed: {listed}.")
    return notes
