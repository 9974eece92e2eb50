# SPDX-License-Identifier: GPL-2.0-or-later
"""Static cost of blocks: each bound on its own, what serialises, flags, marks, and instructions nobody knows."""

import keystone
import pytest

from cyclescope.asm.assembler import in_hexadecimal
from emu.uarch.table import load
from tests.uarch_harness import CALL, CODE32, COND, CR3, INDIRECT, IRET, JUMP, LOCK, REP, RET, Decoded, TimingWorld

ROWS = dict(load("skylake_sp").core_rows())


@pytest.fixture(scope="module")
def world():
    with TimingWorld(block_min16=0) as w:
        yield w


KEYSTONE_LACKS = {"sysretq": b"\x48\x0f\x07", "rep movsd": b"\xf3\xa5"}


def code(text: str) -> bytes:
    if text in KEYSTONE_LACKS:
        return KEYSTONE_LACKS[text]
    encoded, _ = keystone.Ks(keystone.KS_ARCH_X86, keystone.KS_MODE_64).asm(in_hexadecimal(text))
    return bytes(encoded)


def decode(world: TimingWorld, text: str) -> Decoded:
    return world.decode(code(text))


@pytest.mark.parametrize(
    ("text", "cycles", "why"),
    [
        ("mov eax, 1; mov ebx, 2; mov ecx, 3; mov edx, 4", 1, "issue: four a cycle"),
        ("mov rax, [rdi]; mov rbx, [rdi+8]; mov rcx, [rdi+16]; mov rdx, [rdi+24]", 2, "two load ports"),
        ("mov [rdi], rax; mov [rdi+8], rbx; mov [rdi+16], rcx", 3, "one store port"),
        ("imul eax, ebx, 3; imul ecx, ebx, 5; imul edx, ebx, 7", 3, "one multiplier"),
        ("add rax, rbx; add rax, rcx; add rax, rdx", 3, "a chain through RAX"),
        ("imul rax, rax", 3, "latency of a multiplication"),
        ("mov rax, [rax]", 5, "a pointer chase: load latency"),
        ("mov rax, [rbx + rax*8]", 5, "also through the index"),
        ("addsd xmm0, xmm1", 4, "latency of an addition"),
        ("add qword ptr [rdi], 1", 5, "through memory: add and store forwarding"),
        ("add qword ptr [rdi], 1; add rdi, 8", 1, "another address each time: no chain"),
        ("xor eax, eax; add rax, rbx; add rax, rcx", 0.75, "a zeroing idiom breaks the chain"),
        ("mov rax, rbx; mov rbx, rcx; mov rcx, rax", 0.75, "moves are renamed away"),
        ("lea rax, [rax + rbx + 8]", 3, "a three-part LEA takes three cycles"),
        ("lea rax, [rax + rbx]", 1, "a two-part one takes one"),
        (
            "cmp rax, rbx; jne 0x100; cmp rcx, rdx; jne 0x100",
            1,
            "compare and branch are one micro-op; two branch ports",
        ),
        ("push rax; push rbx; pop rcx; pop rdx", 2, "the stack engine keeps RSP out of it"),
        ("div ecx", 26, "the divider, through EAX and EDX"),
        ("nop; nop; nop; nop; nop; nop; nop; nop", 2, "no port, but issue slots"),
    ],
)
def test_bounds(world: TimingWorld, text: str, cycles: float, why: str) -> None:
    got = decode(world, text)
    assert got.cost == cycles, why
    assert got.uncosted == 0
    assert got.serial == 0


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("syscall", "syscall"), ("sysretq", "sysret"), ("iretq", "iret"), ("swapgs", "swapgs"), ("mov cr3, rax", "cr3_write"),
        ("mov cr4, rax", "cr_write"), ("rdmsr", "rdmsr"), ("wrmsr", "wrmsr"), ("invlpg [rax]", "invlpg"), ("cpuid", "cpuid"),
        ("mfence", "mfence"), ("lfence", "lfence"), ("pause", "pause"), ("rdtsc", "rdtsc"), ("sti", "sti"), ("cli", "cli"),
        ("hlt", "hlt_enter"),
        ("in al, dx", "pio_issue"), ("out dx, eax", "pio_issue"), ("int3", "int_n"), ("lock xadd [rdi], rax", "lock"),
        ("xchg [rdi], rax", "lock"), ("lock cmpxchg [rdi], rcx", "lock"), ("ltr ax", "ltr"), ("lock inc dword ptr [rdi]", "lock"),
    ],
)  # fmt: skip
def test_what_serialises_costs_its_row(world: TimingWorld, text: str, row: str) -> None:
    got = decode(world, text)
    assert got.serial == ROWS[row]
    assert got.uncosted == 0
    assert ROWS[row] <= got.cost <= ROWS[row] + 10


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("iretq", IRET), ("rep movsb", REP), ("repne scasb", REP), ("lock inc dword ptr [rdi]", LOCK), ("xchg [rdi], eax", LOCK),
        ("xchg eax, ebx", 0), ("mov cr3, rax", CR3), ("jne 0x40", COND), ("jmp 0x40", JUMP), ("jmp rax", INDIRECT),
        ("call rax", CALL | INDIRECT),
        ("call 0x40", CALL), ("ret", RET), ("loop 0x40", COND), ("movsb", 0), ("add rax, rbx", 0), ("jmp [rax]", INDIRECT),
    ],
)  # fmt: skip
def test_flags(world: TimingWorld, text: str, flags: int) -> None:
    assert decode(world, "mov rsi, rdi; " + text).flags == flags


@pytest.mark.parametrize(("text", "width"), [("rep movsb", 1), ("rep stosq", 8), ("rep movsd", 4), ("repe cmpsb", 0)])
def test_rep_iterations_know_their_width(world: TimingWorld, text: str, width: int) -> None:
    got = decode(world, text)
    assert got.rep_bytes == width
    assert got.cost == (0 if width else ROWS["rep_scan16"] / 16)


def test_marks_grow_to_the_blocks_cost_and_stand_where_the_instructions_do(world: TimingWorld) -> None:
    text = "mov rax, [rdi]; rdtsc; add rax, rbx; wrmsr; jne 0x80"
    got = decode(world, text)
    lengths = [len(code(part)) for part in text.split(";")[:4]]
    assert [offset for offset, _ in got.marks] == [sum(lengths[:i]) for i in range(5)]
    costs = [cost for _, cost in got.marks]
    assert costs == sorted(costs)
    assert costs[-1] == got.cost
    assert costs[0] < 3
    assert costs[1] - costs[0] >= ROWS["rdtsc"]
    assert costs[2] - costs[1] < 3
    assert costs[3] - costs[2] >= ROWS["wrmsr"]


def test_the_block_minimum_is_a_row() -> None:
    with TimingWorld() as world:
        assert decode(world, "nop").cost == ROWS["block_min16"] / 16


def test_a_form_the_table_lacks_costs_its_mnemonic_or_the_default_rows(world: TimingWorld) -> None:
    known = decode(world, "add rax, rbx")
    assert known.uncosted == 0
    strange = decode(world, "fsin")  # x87 has no rows
    assert strange.uncosted == 1
    assert strange.cost == ROWS["default_uops"] / ROWS["issue_width"]


def test_bytes_nobody_can_decode_are_one_uncosted_instruction(world: TimingWorld) -> None:
    got = world.decode(code("add rax, rbx") + b"\x06\x06\x06")
    assert len(got.marks) == 2
    assert got.uncosted == 1


def test_the_processor_mode_changes_what_the_bytes_mean(world: TimingWorld) -> None:
    raw = b"\x48\x01\xd8"  # 64-bit: add rax, rbx; 32-bit: dec eax; add eax, ebx
    assert len(world.decode(raw).marks) == 1
    assert len(world.decode(raw, CODE32).marks) == 2


def test_only_code_that_is_decoded_anew_pays_for_its_bytes() -> None:
    long_moves = code("movabs rax, 0x1122334455667788; movabs rbx, 0x1122334455667788")
    with TimingWorld(block_min16=0) as cached, TimingWorld(block_min16=0, frontend_bytes=16) as legacy:
        assert cached.decode(long_moves).cost == 0.5
        assert legacy.decode(long_moves).cost == 20 / 16


@pytest.mark.parametrize(
    ("text", "chased", "loads"),
    [
        ("mov rax, [rax]", 1, 1),
        ("mov rax, [rdi]; mov rbx, [rdi+8]", 0, 2),
        ("mov rax, [rdi]; lea rax, [rax + 8]; mov rbx, [rax]", 1, 2),
        ("mov rax, [rdi]; xor eax, eax; mov rbx, [rdi + rax]", 0, 2),
        ("mov rax, [rdi]; mov [rax], rbx", 0, 1),
    ],
)
def test_loads_that_wait_for_loads_are_told_from_those_that_do_not(
    world: TimingWorld, text: str, chased: int, loads: int
) -> None:
    hidden = chased * ROWS["chased_hidden"] + (loads - chased) * ROWS["load_hidden"]
    assert decode(world, text).load_hidden == hidden // loads
