# SPDX-License-Identifier: GPL-2.0-or-later
"""Primitives measured by guests, with RDTSC, on the whole core at the fast level: they come out as the table says."""

from collections.abc import Iterator
from dataclasses import astuple

import pytest

from emu.core.binding import Counter, Level, Stop
from emu.errors import EmuBug
from emu.ledger.calls import LedgerCalls
from emu.ledger.components import CAUSES
from emu.uarch.table import load
from tests.core_guest import AP_MAIN, LAPIC, MAIN, MIB, Guest

TABLE = load("skylake_sp")
ROWS = dict(TABLE.core_rows())
DATA, RESULT = 0x1000000, 0x800000
KIB = 1024


def guest(ncpus: int = 1, **rows: int) -> Guest:
    """A guest at the fast level; `RESULT` is where it leaves what it measured."""
    g = Guest(ncpus, 128 * MIB, TABLE.hz)
    table = TABLE.varied(rows)
    g.core.uarch(g.machine, table.core_rows())
    g.core.insn_table(g.machine, (astuple(form) for form in table.core_forms()))
    g.core.set_level(g.machine, Level.FAST)
    g.core.quantum(1000, 500)
    return g


def measure(body: str, times: int, setup: str = "", warm_up: str = "", **rows: int) -> float:
    """Cycles per iteration of `body` in a loop, by the guest's own TSC, the loop's own cost left in."""
    g = guest(**rows)
    try:
        g.code(MAIN, f"""
            {setup}; {warm_up}
            rdtsc; mov r8d, eax
            mov ecx, {times}
        L:  {body}
            dec ecx; jnz L
            rdtsc; sub eax, r8d; mov [{RESULT}], eax
            mov eax, 1; out 0xf4, eax; hlt""")  # fmt: skip
        assert g.run().stop == Stop.EXIT
        return g.u32(RESULT) / times
    finally:
        g.close()


def chain(span: int, step: int = 64) -> str:
    """Setup: pointers through `span` bytes at DATA, each to the one `step` further (modulo the span), R14 at the first."""
    return (
        f"mov rbx, {DATA}; mov rdx, 0; C: lea rax, [rdx + {step}]; and rax, {span - 1}; add rax, rbx; mov [rbx + rdx], rax;"
        + (f"add rdx, 64; cmp rdx, {span}; jb C; mov r14, rbx")
    )


@pytest.mark.parametrize(
    ("body", "cycles"),
    [
        ("imul r9, r9", 3),
        ("add r9, r10; add r9, r11", 2),
        ("mov r9, 1; mov r10, 2; mov r11, 3; mov r12, 4; mov r13, 5; mov r14, 6; mov r15, 7", 2),
        ("addsd xmm0, xmm1", 4),
        ("lock xadd [rbx], r9", 18),
        ("pause", 140),
    ],
)
def test_a_block_costs_what_its_static_cost_says(body: str, cycles: float) -> None:
    assert measure(body, 10_000, f"mov rbx, {DATA}") == pytest.approx(cycles, rel=0.08, abs=0.3)


@pytest.mark.parametrize(
    ("span", "latency"),
    [(16 * KIB, 5), (512 * KIB, ROWS["l2_latency"]), (2 * MIB, ROWS["llc_latency"])],
    ids=["L1", "L2", "LLC"],
)
def test_a_pointer_chase_sees_each_levels_latency(span: int, latency: int) -> None:
    step = 67 * 64  # not the next line: no stream; odd, so that it visits every line
    warm_up = f"mov ecx, {span // 64}; W: mov r14, [r14]; dec ecx; jnz W"
    got = measure("mov r14, [r14]", max(span // 64, 5000), chain(span, step), warm_up)
    assert got == pytest.approx(latency, rel=0.05, abs=0.5)


def test_a_pointer_chase_through_memory_sees_dram() -> None:
    span, elsewhere = 32 * MIB, 64 * MIB
    far = 30011 * 64  # odd, so that it visits every line; far, so that it finds other rows open
    warm_up = f"mov rdx, {elsewhere}; W: mov rax, [rdx]; add rdx, 64; cmp rdx, {elsewhere + 4 * MIB}; jb W"  # the caches hold that
    got = measure("mov r14, [r14]", 5000, chain(span, far), warm_up)
    assert got == pytest.approx(ROWS["dram_latency"], rel=0.05)


def test_copies_run_by_lines() -> None:
    setup = f"mov rbx, {DATA}; cld"
    body = "mov r9d, ecx; mov rsi, rbx; lea rdi, [rbx + 0x2000]; mov ecx, 512; rep movsq; mov ecx, r9d"
    got = measure(body, 500, setup)
    lines = 4096 // 64
    assert got == pytest.approx(ROWS["rep_startup"] + lines * ROWS["rep_line16"] / 16, rel=0.25)


@pytest.fixture
def pair() -> Iterator[Guest]:
    g = guest(2)
    yield g
    g.close()


def contend(g: Guest, distance: int, times: int = 2000) -> dict[str, int]:
    """Both vCPUs add atomically to words `distance` bytes apart; what vCPU 0 paid."""
    work = f"mov ecx, {times}; L: lock inc dword ptr [rbx]; dec ecx; jnz L"
    g.code(AP_MAIN, f"mov rbx, {DATA + distance}; {work}; H: cli; hlt; jmp H")
    g.code(MAIN, f"""
        mov edi, {LAPIC}; mov dword ptr [rdi + 0xf0], 0x1ff
        mov dword ptr [rdi + 0x310], 0x1000000; mov dword ptr [rdi + 0x300], 0x4500
        mov dword ptr [rdi + 0x310], 0x1000000; mov dword ptr [rdi + 0x300], 0x4603
        mov rbx, {DATA}; {work}
        mov eax, 1; out 0xf4, eax; hlt""")  # fmt: skip
    assert g.run().stop == Stop.EXIT
    account = LedgerCalls(g.core.library, g.core.handle).components(g.machine, 0)["cycles"].sum(axis=0)
    assert int(account.sum()) == g.core.cycles(g.machine, 0)
    return {name: int(account[i]) for i, name in enumerate(CAUSES)}


def test_two_vcpus_fighting_for_a_line_pay_in_transfers(pair: Guest) -> None:
    paid = contend(pair, 8)
    transfers = pair.counters()[Counter.TRANSFERS]
    assert transfers > 20
    assert paid["coherence"] >= 0.9 * transfers * ROWS["transfer_latency"]
    assert pair.u32(DATA) == 2000  # false sharing: each has its own word


def test_two_vcpus_on_lines_of_their_own_do_not(pair: Guest) -> None:
    assert contend(pair, 64)["coherence"] < 10 * ROWS["transfer_latency"]


def test_the_same_run_takes_the_same_cycles() -> None:
    def run() -> tuple[dict[str, int], list[int]]:
        g = guest(2)
        try:
            return contend(g, 8), g.counters()
        finally:
            g.close()

    assert run() == run()


def test_timing_needs_rows_not_just_an_instruction_table() -> None:
    g = Guest(1, 128 * MIB, TABLE.hz)
    try:
        g.core.insn_table(g.machine, (astuple(form) for form in TABLE.core_forms()))
        with pytest.raises(EmuBug, match="has no processor table"):
            g.core.set_level(g.machine, Level.FAST)
    finally:
        g.close()
