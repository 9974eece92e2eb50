# SPDX-License-Identifier: GPL-2.0-or-later
"""Telling a guest that hangs for certain from one that works for long.

A vCPU is stuck when interrupts are off and it is halted, or runs a jump to itself (NOPs and PAUSEs in between do not count). When
all of a machine's vCPUs are stuck, nobody is left to change what they would read or to send an NMI: it hangs. Any other endless
loop looks like work, and only a limit ends it.
"""

from collections.abc import Callable

FLAGS_IF = 1 << 9
CR0_PE, CR0_PG = 1, 1 << 31
RIP, RFLAGS, CR0, CR3, HALTED = 16, 17, 18, 20, 23  # in Core.regs
PRESENT, HUGE = 1, 1 << 7
ADDRESS = 0x000F_FFFF_FFFF_F000

Read = Callable[[int, int], bytes | None]  # (gpa, n): bytes of RAM, None outside it


def stuck(regs: list[int], read: Read) -> bool:
    """Whether a vCPU with these registers will never do anything again by itself."""
    if regs[RFLAGS] & FLAGS_IF:
        return False
    if regs[HALTED]:
        return True
    if not regs[CR0] & CR0_PE:
        return False
    gpa = _physical(regs, read)
    if gpa is None:
        return False
    start, end = max(gpa - 4, gpa & ~0xFFF), min(gpa + 8, (gpa | 0xFFF) + 1)  # within the page
    code = read(start, end - start)
    return code is not None and jumps_to_itself(code, gpa - start)


def jumps_to_itself(code: bytes, at: int) -> bool:
    """Whether the instruction at code[at] is part of a loop of NOPs, PAUSEs and one short jump."""
    jump = at
    while jump < min(at + 4, len(code) - 2) and code[jump] in (0x90, 0xF3):
        jump += 1
    if jump + 2 > len(code) or code[jump] != 0xEB:
        return False
    target = jump + 2 + int.from_bytes(code[jump + 1 : jump + 2], "little", signed=True)
    return 0 <= target <= at and all(byte in (0x90, 0xF3) for byte in code[target:jump])


def _physical(regs: list[int], read: Read) -> int | None:
    """Guest-physical address of RIP: by itself without paging, by four levels with; None for what is not mapped so."""
    if not regs[CR0] & CR0_PG:
        return regs[RIP]
    table = regs[CR3] & ADDRESS
    for shift in (39, 30, 21, 12):
        raw = read(table + 8 * (regs[RIP] >> shift & 511), 8)
        if raw is None:
            return None
        entry = int.from_bytes(raw, "little")
        if not entry & PRESENT:
            return None
        table = entry & ADDRESS
        if shift in (30, 21) and entry & HUGE:
            return (table & -(1 << shift)) | regs[RIP] & (1 << shift) - 1
    return table | regs[RIP] & 0xFFF
