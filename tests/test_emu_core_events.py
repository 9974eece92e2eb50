# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that do N of something: the counts say N, and the ledger holds N times its row, at both timed levels.

Each program is run with N and with 2 N turns of its loop: the difference is what N turns did, and nothing of the machine's start.
"""

from collections import Counter
from dataclasses import astuple, dataclass

import pytest

from emu.core.binding import Level, Stop
from emu.ledger.calls import LedgerCalls
from emu.ledger.components import CAUSES
from emu.ledger.events import CHARGED_TO, event_costs
from emu.uarch.table import UarchTable, load
from tests.core_guest import AP_MAIN, LAPIC, MAIN, MIB, USER, Guest, Recorder

TABLE = load("skylake_sp")
DEVICE, DATA, ABSENT, HANDLER, N = 0xD0000000, 0x1000000, 0x300000, 0x120000, 100
TIMED = [Level.FAST, Level.DETAILED]
DONE = "mov eax, 1; out 0xf4, eax; hlt"
SVR = f"mov edi, {LAPIC}; mov dword ptr [rdi + 0xf0], 0x1ff"
EOI = f"push rdi; mov edi, {LAPIC}; mov dword ptr [rdi + 0xb0], 0; pop rdi"


@dataclass(frozen=True)
class Happened:
    """Counts and cycles by cause, over all vCPUs."""

    counts: Counter[str]
    causes: Counter[str]

    def __sub__(self, other: "Happened") -> "Happened":
        counts, causes = self.counts.copy(), self.causes.copy()
        counts.subtract(other.counts)
        causes.subtract(other.causes)
        return Happened(counts, causes)


class Ringer(Recorder):
    """A device that raises vector 0x50 by MSI when port 0x80 is written, and has a register at DEVICE."""

    guest: Guest

    def pio_write(self, machine: int, vcpu: int, port: int, size: int, time_ps: int, value: int) -> None:
        if port == 0x80:
            self.guest.core.msi(machine, LAPIC, 0x50, time_ps)


def run(
    level: Level, turns: int, body: str, *, setup: str = "", handler: str = "", user: str = "", second: str = "",
    table: UarchTable = TABLE,
) -> Happened:  # fmt: skip
    """`body` in a loop of `turns` on vCPU 0; vectors 3, 6, 14, 0x40, 0x50 go to `handler`; `second` runs on vCPU 1."""
    io = Ringer()
    g = Guest(1 + bool(second), 64 * MIB, table.hz, callbacks=io)
    io.guest = g
    try:
        g.core.uarch(g.machine, table.core_rows())
        g.core.insn_table(g.machine, (astuple(form) for form in table.core_forms()))
        g.core.set_level(g.machine, level)
        g.core.mmio_add(g.machine, DEVICE, 4096)
        g.page(ABSENT, 0)
        for vector in (3, 6, 14, 0x40, 0x50):
            g.vector(vector, HANDLER, dpl=3)
        g.vector(0x41, HANDLER + 0x1000, dpl=3)
        g.code(HANDLER, handler or "iretq")
        g.code(HANDLER + 0x1000, DONE)
        g.put(HANDLER + 0x2000, bytes.fromhex("480f07"))  # sysretq
        if second:
            g.code(AP_MAIN, second)
        loop = f"mov ebp, {turns}; L: {body}; dec ebp; jnz L"
        if user:
            g.code(USER, f"mov ebp, {turns}; L: {user}; dec ebp; jnz L; int 0x41")
            loop = f"""
                mov ecx, 0xc0000081; mov eax, 0; mov edx, 0x100008; wrmsr
                mov ecx, 0xc0000082; mov eax, {HANDLER + 0x2000}; mov edx, 0; wrmsr
                push 0x1b; push {DATA}; push 2; push 0x23; push {USER}; iretq"""
        g.code(MAIN, f"mov rbx, {DATA}; mov r12, {DEVICE}; {SVR}; {setup}; {loop}; {DONE}")
        stop = g.run()
        assert stop.stop == Stop.EXIT, stop
        counts: Counter[str] = Counter()
        causes: Counter[str] = Counter()
        for vcpu in range(g.ncpus):
            counts.update(g.core.events(g.machine, vcpu))
            account = LedgerCalls(g.core.library, g.core.handle).components(g.machine, vcpu)["cycles"].sum(axis=0)
            causes.update({cause: int(account[i]) for i, cause in enumerate(CAUSES)})
        return Happened(counts, causes)
    finally:
        g.close()


SKIP_2 = "add qword ptr [rsp], 2; iretq"
SKIP_FAULT = "add rsp, 8; add qword ptr [rsp], 4; iretq"
ONE = {
    "swapgs": ("swapgs", {"swapgs": 1}),
    "cr3": ("mov rax, cr3; mov cr3, rax", {"cr3_write": 1}),
    "cr0": ("mov rax, cr0; mov cr0, rax", {"cr_write": 1}),
    "rdmsr": ("mov ecx, 0xc0000082; rdmsr", {"rdmsr": 1}),
    "wrmsr": ("mov ecx, 0xc0000082; mov eax, 0; mov edx, 0; wrmsr", {"wrmsr": 1}),
    "invlpg": ("invlpg [rbx]", {"invlpg": 1}),
    "cpuid": ("push rbx; mov eax, 0; cpuid; pop rbx", {"cpuid": 1}),
    "fences": ("mfence; lfence; lfence", {"mfence": 1, "lfence": 2}),
    "pause": ("pause; pause; pause", {"pause": 3}),
    "rdtsc": ("rdtsc", {"rdtsc": 1}),
    "interrupt flag": ("cli; sti", {"cli": 1, "sti": 1}),
    "wbinvd": ("wbinvd", {"wbinvd": 1}),
    "lock": ("lock xadd [rbx], rax; xchg [rbx], rax", {"lock": 2}),
    "in": ("in al, 0x60", {"pio_issue": 1, "pio_read": 1}),
    "out": ("out 0x61, al", {"pio_issue": 1, "pio_write": 1}),
    "mmio read": ("mov eax, [r12]", {"mmio_read": 1}),
    "mmio write": ("mov [r12], eax", {"mmio_write": 1}),
    "lapic": ("mov eax, [rdi + 0x30]; mov [rdi + 0x80], eax", {"lapic_access": 2}),
    "int": ("int 0x40", {"int_n": 1, "exception_entry": 1, "iret": 1}),
}


def check(level: Level, done: Happened, expected: dict[str, int]) -> None:
    """The counts are N times `expected`; each cause holds its events' rows, and little more of what its events are."""
    assert {row: count for row, count in done.counts.items() if count} == {row: N * n for row, n in expected.items() if n}
    for cause in ("serialising", "event", "device"):
        rows = sum(cost.cycles for cost in event_costs(done.counts, TABLE) if cost.charged_to == cause)
        if level == Level.FAST or cause != "serialising":
            assert done.causes[cause] == pytest.approx(rows, rel=0.001, abs=2), cause
        else:  # the window drains before them and fills again after them; their own slots, and what overlaps, are other causes'
            events = sum(done.counts.values())
            assert 0.95 * rows - 3 * events <= done.causes[cause] <= rows + 60 * events, cause


@pytest.mark.parametrize("level", TIMED)
@pytest.mark.parametrize("name", ONE)
def test_n_of_it_cost_n_times_its_row(level: Level, name: str) -> None:
    body, expected = ONE[name]
    check(level, run(level, 2 * N, body) - run(level, N, body), expected)


@pytest.mark.parametrize("level", TIMED)
def test_exceptions_cost_their_entry_and_their_return(level: Level) -> None:
    undefined = [run(level, n, "ud2", handler=SKIP_2) for n in (2 * N, N)]
    check(level, undefined[0] - undefined[1], {"exception_entry": 1, "iret": 1})
    absent = [run(level, n, "mov rdx, [r13]", setup=f"mov r13, {ABSENT}", handler=SKIP_FAULT) for n in (2 * N, N)]
    check(level, absent[0] - absent[1], {"exception_entry": 1, "iret": 1})


@pytest.mark.parametrize("level", TIMED)
def test_system_calls_cost_both_ways(level: Level) -> None:
    calls = [run(level, n, "", user="syscall") for n in (2 * N, N)]
    check(level, calls[0] - calls[1], {"syscall": 1, "sysret": 1})


@pytest.mark.parametrize("level", TIMED)
def test_an_ipi_to_oneself_costs_its_entry_and_its_registers(level: Level) -> None:
    body = "mov dword ptr [rdi + 0x300], 0x40050; nop; nop"
    sent = [run(level, n, body, setup="sti", handler=f"{EOI}; iretq") for n in (2 * N, N)]
    check(level, sent[0] - sent[1], {"interrupt_entry": 1, "iret": 1, "lapic_access": 2})


@pytest.mark.parametrize("level", TIMED)
def test_an_msi_wakes_a_halted_vcpu(level: Level) -> None:
    rung = [run(level, n, "cli; out 0x80, al; sti; hlt", handler=f"{EOI}; iretq") for n in (2 * N, N)]
    done = rung[0] - rung[1]
    check(level, done, {"cli": 1, "sti": 1, "pio_issue": 1, "pio_write": 1, "hlt_enter": 1, "hlt_exit": 1, "interrupt_delivery": 1,
                        "interrupt_entry": 1, "iret": 1, "lapic_access": 1})
    assert done.causes["idle"] >= N * TABLE["hlt_exit"].value


@pytest.mark.parametrize("level", TIMED)
def test_an_ipi_to_another_vcpu_is_counted_where_it_arrives(level: Level) -> None:
    start = """
        mov dword ptr [rdi + 0x310], 0x1000000; mov dword ptr [rdi + 0x300], 0x4500
        mov dword ptr [rdi + 0x310], 0x1000000; mov dword ptr [rdi + 0x300], 0x4603
        W0: cmp dword ptr [rbx], 0; je W0"""
    body = """
        mov eax, [rbx]
        mov dword ptr [rdi + 0x310], 0x1000000; mov dword ptr [rdi + 0x300], 0x4050
        W: cmp eax, [rbx]; je W"""
    second = f"{SVR}; mov rbx, {DATA}; mov dword ptr [rbx], 1; sti; H: hlt; jmp H"
    sent = [run(level, n, body, setup=start, second=second, handler=f"inc dword ptr [rbx]; {EOI}; iretq") for n in (2 * N, N)]
    done = sent[0] - sent[1]
    assert done.counts["ipi_delivery"] == done.counts["interrupt_entry"] == done.counts["iret"] == N
    assert done.counts["hlt_exit"] == pytest.approx(N, abs=2)
    assert done.counts["lapic_access"] == 3 * N
    assert done.causes["event"] == N * TABLE["interrupt_entry"].value


def test_a_block_that_faults_counts_what_it_got_to() -> None:
    body = "lfence; mov rdx, [r13]; lfence; lfence"
    done = [run(Level.FAST, n, body, setup=f"mov r13, {ABSENT}", handler=SKIP_FAULT) for n in (2 * N, N)]
    check(Level.FAST, done[0] - done[1], {"lfence": 3, "exception_entry": 1, "iret": 1})


def test_every_row_of_the_sections_is_an_event_and_has_an_account() -> None:
    g = Guest()
    try:
        names = list(g.core.events(g.machine, 0))
    finally:
        g.close()
    assert sorted(names) == sorted(row.name for row in TABLE.rows if row.section in ("serialising", "events"))
    assert set(CHARGED_TO) == {row.name for row in TABLE.rows if row.section == "events"}


@pytest.mark.parametrize("cycles", [1_000, 1_500, 3_000, 60_000, 1_000_000])
def test_the_window_outlives_waits_of_any_length(cycles: int) -> None:
    """What comes behind in the same block is booked far from where the block began."""
    table = TABLE.varied({"cpuid": cycles})
    body = f"push rbx; mov eax, 0; cpuid; pop rbx; {'imul r8, r9; ' * 20} nop"
    done = run(Level.DETAILED, 2 * N, body, table=table) - run(Level.DETAILED, N, body, table=table)
    assert done.causes["serialising"] == pytest.approx(N * cycles, rel=0.1)
