# SPDX-License-Identifier: GPL-2.0-or-later
"""The baseline: kvd's handler loop on Unicorn without a hook, data and stack on no-execute pages."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable
from pathlib import Path

from elftools.elf.elffile import ELFFile
from unicorn import UC_ARCH_X86, UC_HOOK_CODE, UC_MODE_64, UC_PROT_EXEC, UC_PROT_READ, UC_PROT_WRITE, Uc
from unicorn.x86_const import UC_X86_REG_RSP

PAGE = 4096
STACK_TOP, STACK_BYTES = 0x7000_0000, 0x10_0000
PF_X = 1


class Plain:
    """One engine with the flat program in it, and these datagrams as a round."""

    def __init__(self, program: Path, datagrams: Iterable[bytes]) -> None:
        self.uc = Uc(UC_ARCH_X86, UC_MODE_64)
        with program.open("rb") as file:
            elf = ELFFile(file)
            for segment in elf.iter_segments("PT_LOAD"):
                start = segment["p_vaddr"] & -PAGE
                end = -(-(segment["p_vaddr"] + segment["p_memsz"]) // PAGE) * PAGE
                code = UC_PROT_READ | UC_PROT_EXEC if segment["p_flags"] & PF_X else UC_PROT_READ | UC_PROT_WRITE
                self.uc.mem_map(start, end - start, code)
                self.uc.mem_write(segment["p_vaddr"], segment.data())
            table = elf.get_section_by_name(".symtab")
            self.at = {s.name: s["st_value"] for s in table.iter_symbols() if s.name.startswith("flat_")}
            self.entry = elf["e_entry"]
        self.uc.mem_map(STACK_TOP - STACK_BYTES, STACK_BYTES, UC_PROT_READ | UC_PROT_WRITE)
        packed = b"".join(struct.pack("<I", len(d)) + d for d in datagrams) + bytes(4)
        self.uc.mem_write(self.at["flat_input"], packed)

    def run(self, rounds: int) -> float:
        """Host seconds (of this thread, not the wall's) for building the store and `rounds` rounds."""
        self.uc.mem_write(self.at["flat_rounds"], struct.pack("<I", rounds))
        self.uc.reg_write(UC_X86_REG_RSP, STACK_TOP - 64)
        begun = time.thread_time()
        self.uc.emu_start(self.entry, 0)
        return time.thread_time() - begun


def instructions(program: Path, datagrams: list[bytes], rounds: int) -> int:
    """How many `run(rounds)` executes, counted one by one."""
    plain = Plain(program, datagrams)
    count = 0

    def on_instruction(uc: Uc, address: int, size: int, data: object) -> None:
        nonlocal count
        count += 1

    plain.uc.hook_add(UC_HOOK_CODE, on_instruction)
    plain.run(rounds)
    return count


def round_instructions(program: Path, datagrams: list[bytes]) -> int:
    """How many one round executes. Slow: count once, measure often."""
    return instructions(program, datagrams, 2) - instructions(program, datagrams, 1)


def plain_mips(program: Path, datagrams: list[bytes], each: int, engines: int, rounds: int) -> float:
    """Million instructions a host second, `engines` engines one after another, translations warm; `each`: of a round."""
    fleet = [Plain(program, datagrams) for _ in range(engines)]
    for plain in fleet:
        plain.run(1)
    base = sum(plain.run(1) for plain in fleet)
    seconds = sum(plain.run(rounds + 1) for plain in fleet) - base
    return each * rounds * engines / seconds / 1e6
