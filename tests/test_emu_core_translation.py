# SPDX-License-Identifier: GPL-2.0-or-later
"""TLBs and page walks on a guest's own page tables: what INVLPG, CR3 and CR4 writes, page sizes and the G bit mean."""

from dataclasses import astuple

import pytest

from emu.core.binding import Counter, Level, Stop
from emu.uarch.table import load
from tests.core_guest import MAIN, MIB, Guest

TABLE = load("skylake_sp")
ROWS = dict(TABLE.core_rows())
PAGE = 4096
DATA = 0x1000000
"""A 2 MiB page that `Guest.page` splits."""
PRESENT, GLOBAL, TIMES = 7, 0x100, 100
CR4_PGE = 0x80


def walks(body: str, setup: str = "", flags: int = PRESENT, level: Level = Level.FAST, pages: int = 1) -> int:
    """Page walks of a loop of `body`, beyond those of an empty loop."""

    def count(code: str) -> int:
        g = Guest(1, 128 * MIB, TABLE.hz)
        try:
            g.core.uarch(g.machine, TABLE.core_rows())
            g.core.insn_table(g.machine, (astuple(form) for form in TABLE.core_forms()))
            g.core.set_level(g.machine, level)
            for i in range(pages):
                g.page(DATA + i * PAGE, flags)
            g.code(MAIN, f"""
                mov rax, cr4; or rax, {CR4_PGE}; mov cr4, rax
                mov rbx, {DATA}; mov rsi, {DATA + 4 * PAGE}; xor edi, edi; {setup}
                mov ecx, {TIMES}
            L:  {code}
                dec ecx; jnz L
                mov eax, 1; out 0xf4, eax; hlt""")  # fmt: skip
            assert g.run().stop == Stop.EXIT
            return g.counters()[Counter.TLB_WALKS]
        finally:
            g.close()

    return count(body) - count("nop")


@pytest.mark.parametrize("level", [Level.FAST, Level.DETAILED])
def test_a_page_is_walked_once_and_then_known(level: Level) -> None:
    assert walks("mov r8, [rbx]; mov r9, [rbx + 8]", level=level) == 1


@pytest.mark.parametrize(
    ("operand", "setup"),
    [
        ("[rbx]", ""),
        ("[rbx + 0x10]", ""),
        ("[rbx + 0x110]", ""),
        ("[rdi + rbx]", ""),
        ("[rbx + r12 * 8 + 0x20]", "mov r12, 3"),
        ("[r13 + 0]", "mov r13, rbx"),
        ("[rsp]", "mov rsp, rbx"),
        (f"[{DATA}]", ""),
    ],
)
def test_invlpg_drops_the_page_its_operand_lies_in(operand: str, setup: str) -> None:
    assert walks(f"invlpg {operand}; mov r8, [rbx]", setup) == TIMES


def test_invlpg_leaves_the_others() -> None:
    assert walks("invlpg [rsi]; mov r8, [rbx]", pages=8) == 1


def test_a_cr3_write_drops_all_but_global_pages() -> None:
    plain = walks("mov rax, cr3; mov cr3, rax")
    assert walks("mov rax, cr3; mov cr3, rax; mov r8, [rbx]") == plain + TIMES
    assert walks("mov rax, cr3; mov cr3, rax; mov r8, [rbx]", flags=PRESENT | GLOBAL) == plain + 1


def test_toggling_pge_drops_global_pages_too() -> None:
    toggle = f"mov rax, cr4; xor rax, {CR4_PGE}; mov cr4, rax; xor rax, {CR4_PGE}; mov cr4, rax"
    plain = walks(toggle)
    assert walks(f"{toggle}; mov r8, [rbx]", flags=PRESENT | GLOBAL) == plain + TIMES


def test_a_large_page_is_one_page() -> None:
    large = DATA + 2 * MIB  # not split
    sweep = f"mov rdx, {large}; S: mov r8, [rdx]; add rdx, {PAGE}; cmp rdx, {large + 2 * MIB}; jb S"
    assert walks(sweep) == 1


def test_an_access_over_two_pages_needs_both() -> None:
    assert walks(f"invlpg [rbx]; invlpg [rbx + {PAGE}]; mov r8, [rbx + {PAGE - 4}]", pages=2) == 2 * TIMES
    assert walks(f"invlpg [rbx]; invlpg [rbx + {PAGE}]; mov [rbx + {PAGE - 4}], r8", pages=2) == 2 * TIMES
