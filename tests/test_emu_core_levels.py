# SPDX-License-Identifier: GPL-2.0-or-later
"""Switching the timing level while a guest runs: the timed levels share caches, TLBs and predictors; sums hold throughout."""

from collections.abc import Iterator

import pytest

from emu.core.binding import Counter, Level
from tests.core_guest import HZ, MAIN, Guest
from tests.test_emu_core_timing import DATA, guest

SPAN = 16 << 10
LINES = SPAN // 64
SLICE_PS = 40_000_000  # 40 us: 100,000 cycles, a few hundred passes
COLD = (Counter.L1D_MISS, Counter.L1I_MISS, Counter.L2_MISS, Counter.TLB_WALKS)


@pytest.fixture
def chaser() -> Iterator[Guest]:
    """A guest that reads SPAN bytes for ever, with a branch that goes one way for eight lines and the other for eight."""
    g = guest()
    g.code(MAIN, f"""
        mov rbx, {DATA}
    A:  xor edx, edx
    L:  mov rax, [rbx + rdx]
        test edx, 512; jz N; inc r9
    N:  add edx, 64; cmp edx, {SPAN}; jb L
        inc r10; jmp A""")  # fmt: skip
    g.start()
    yield g
    g.close()


def passes(g: Guest) -> int:
    return g.regs()[10]


def go_on(g: Guest, level: Level, until_ps: int) -> tuple[float, dict[Counter, int]]:
    """Cycles a pass, and what was counted."""
    g.core.set_level(g.machine, level)
    before, cycles, counters = passes(g), g.core.cycles(g.machine, 0), g.counters()
    g.core.run(until_ps)
    done = passes(g) - before
    assert done > 20
    counted = {c: g.counters()[c] - counters[c] for c in (*COLD, Counter.MISPREDICTS)}
    return (g.core.cycles(g.machine, 0) - cycles) / done, counted


def test_caches_and_predictors_stay_warm(chaser: Guest) -> None:
    end = SLICE_PS
    _, first = go_on(chaser, Level.DETAILED, end)
    assert first[Counter.L1D_MISS] >= LINES // 8, "it began cold; most lines come before they are asked for"
    cost: dict[Level, list[float]] = {level: [] for level in Level}
    for level in (Level.FAST, Level.DETAILED, Level.FUNCTIONAL, Level.DETAILED, Level.FAST, Level.DETAILED):
        end += SLICE_PS
        per_pass, counted = go_on(chaser, level, end)
        cost[level].append(per_pass)
        if level is Level.FUNCTIONAL:
            assert not any(counted.values())
            continue
        assert counted[Counter.MISPREDICTS] <= 1.1 * SLICE_PS * HZ / 10**12 / per_pass, (
            "but for the loop's end, a pass is learnt"
        )
        for counter in COLD:
            assert counted[counter] <= 8, (level, counter)
    assert max(cost[Level.DETAILED]) == pytest.approx(min(cost[Level.DETAILED]), rel=0.02)


def test_accounts_sum_to_the_clock_across_switches(chaser: Guest) -> None:
    end = 0
    for level in (Level.FUNCTIONAL, Level.DETAILED, Level.FAST, Level.DETAILED, Level.FUNCTIONAL, Level.FAST):
        end += SLICE_PS
        go_on(chaser, level, end)
        account = chaser.core.ledger_calls().components(chaser.machine, 0)["cycles"]
        assert int(account.sum()) == chaser.core.cycles(chaser.machine, 0)
    assert chaser.core.cycles(chaser.machine, 0) >= HZ * end // 10**12


def test_a_run_with_switches_repeats_to_the_cycle() -> None:
    def run() -> list[int]:
        g = guest()
        try:
            g.code(
                MAIN,
                f"mov rbx, {DATA}; A: inc qword ptr [rbx]; mov rax, [rbx + rax * 8]; add rbx, 64; and rbx, {DATA | 0xFFFFF}; jmp A",
            )
            g.start()
            seen = []
            for i, level in enumerate((Level.DETAILED, Level.FAST, Level.FUNCTIONAL, Level.DETAILED)):
                g.core.set_level(g.machine, level)
                g.core.run((i + 1) * SLICE_PS)
                seen += [g.core.cycles(g.machine, 0), *g.regs()[:17]]
            return seen
        finally:
            g.close()

    assert run() == run()
