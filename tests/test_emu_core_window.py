# SPDX-License-Identifier: GPL-2.0-or-later
"""The window model agrees with its plain Python referee on random blocks: retire clock, lost slots by cause, block by block."""

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from cyclescope.asm.assembler import assemble
from emu.uarch.table import UarchTable, load
from tests import window_referee as w
from tests.window_harness import NCAUSES, WindowCore
from tests.window_referee import Access, Block, Insn, Referee, Uop

SMALL = {
    "rob": 24, "scheduler": 8, "load_buffer": 4, "store_buffer": 3, "idq": 12, "instruction_queue": 6, "fill_buffers": 2,
    "dsb_sets": 2, "dsb_ways": 4,
}  # fmt: skip
"""Buffers that fill up."""
POOL = """
add rax, rbx | add rcx, 5 | sub rdx, [rsi] | add [rdi], rax | inc r8 | dec qword ptr [rdi + 8] | imul rax, rcx
imul rdx, [rsi + 8] | mul rbx | xor edx, edx | div rcx | idiv r9d | shl rax, 3 | shr rbx, cl | rol ecx, 7
lea rax, [rbx + rcx*4 + 8] | lea rdx, [rip + 16] | mov rax, rbx | mov ebx, ecx | mov rcx, [rdi]
mov rdx, [rdi + rcx*8] | mov rsi, [rsi] | mov [rdi], eax | mov [rdi + rcx*8], rdx | mov byte ptr [rdi + 3], 1
movzx eax, byte ptr [rsi + 3] | movzx ecx, bl | movsx rdx, word ptr [rdi + 2] | push rax | push rbx | pop rcx
pop rdx | mov rax, [rsp + 8] | mov [rsp + 16], rbx | lea rbp, [rsp + 32] | add rsp, 16 | test rax, rax
cmp rcx, [rsi] | cmovne rax, rbx | sete al | adc rax, rbx | sbb rcx, 0 | bswap rax | popcnt rax, rbx | bsf rcx, rdx
xchg rax, rbx | add ax, 0x1234 | mov word ptr [rdi], 0x1234 | cmp bx, 0x4321 | nop | nop dword ptr [rax + rax]
movaps xmm0, xmm1 | movups xmm2, [rsi] | movups [rdi], xmm2 | addps xmm0, xmm1 | addpd xmm3, [rsi] | mulsd xmm4, xmm0
divsd xmm1, xmm2 | sqrtsd xmm3, xmm4 | pshufd xmm5, xmm0, 27 | pxor xmm6, xmm6 | movd eax, xmm0 | movq xmm1, rbx
cvtsi2sd xmm0, rax | cvttsd2si rcx, xmm3 | pcmpeqb xmm7, xmm7 | lock xadd [rdi], rax | lock inc dword ptr [rsi]
xchg [rdi], rbx | mfence | lfence | rdtsc | pause | cpuid | rep movsb | rep stosq | bt rax, 5 | shld rax, rbx, 3 | cqo
cdqe | leave | mov rax, 0x123456789abcdef | andn rax, rbx, rcx | lodsq | stosd | movsq | haddps xmm0, xmm1
pmulld xmm2, xmm3
"""
ENDS = ("jmp rax", "ret", "call rcx", "je $", "cmp rax, rbx; jne $", "dec rdx; jnz $", "add rax, 1; jb $", "")


@pytest.fixture(scope="module")
def pool() -> list[bytes]:
    return [assemble(text.strip()) for text in POOL.replace("\n", "|").split("|") if text.strip()]


@pytest.fixture(scope="module")
def ends() -> list[bytes]:
    return [assemble(text.replace("$", "0x200000")) if text else b"" for text in ENDS]


@pytest.fixture(params=["skylake_sp", "haswell", "skylake_sp, small"])
def table(request: pytest.FixtureRequest) -> UarchTable:
    name, _, small = request.param.partition(", ")
    return load(name).varied(SMALL if small else {})


@pytest.fixture
def core(table: UarchTable) -> Iterator[WindowCore]:
    one = WindowCore(table)
    yield one
    one.close()


# ---- random input


def accesses(rng: random.Random, n: int, misses: float) -> list[Access]:
    found = []
    for _ in range(n):
        access = Access(0x1000 + rng.choice((0, 0, 0, 64, 640)) + rng.randrange(40), rng.choice((1, 2, 4, 8, 8, 8)))
        if rng.random() < misses:
            access.latency = rng.choice((0, 9, 50, 200, 700))
            access.walk = rng.choice((0, 0, 0, 7, 30))
            access.cause = rng.choice((w.L2, w.LLC, w.DRAM, w.COHERENCE, w.TLB))
        found.append(access)
    return found


def logged(rng: random.Random, block: Block, misses: float) -> Block:
    """With an access for each micro-op that wants one; now and then one too few."""
    loads = sum(u.entries for u in block.uops if u.flags & w.LOAD) + 3 * any(u.flags & w.REST for u in block.uops)
    stores = sum(u.entries for u in block.uops if u.flags & w.STORE_DATA)
    less = rng.random() < 0.05
    return replace(
        block, loads=accesses(rng, max(0, loads - less), misses), stores=accesses(rng, max(0, stores - less), misses)
    )


def code_block(rng: random.Random, core: WindowCore, pool: list[bytes], ends: list[bytes], va: int) -> Block:
    rare = rng.random() < 0.3
    code = b"".join(rng.choice(pool) for _ in range(rng.choice((1, 3, 8, 20, 60)) if rare else rng.randrange(1, 12)))
    return core.block(code + rng.choice(ends), va)


def made_up_block(rng: random.Random, va: int) -> Block:
    """Micro-ops no instruction has."""
    uops: list[Uop] = []
    insns: list[Insn] = []
    size = 0
    for _ in range(rng.randrange(1, 15)):
        first, stored = len(uops), False
        for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 6))):
            uop = made_up_uop(rng, stored)
            stored = stored or bool(uop.flags & w.STORE_DATA)
            if len(uops) == first or stored:
                uop.flags |= w.SLOT
            if uop.flags & w.SLOT and rng.random() < 0.15:
                uop.flags |= rng.choice((w.STACK, w.STACK_READ))
            uops.append(uop)
        if rng.random() < 0.2 and any(u.flags & w.SLOT for u in uops[first + 1 :]):
            uops[first].flags |= w.PAIR
        slots = sum(bool(u.flags & w.SLOT) for u in uops[first:])
        length = rng.randrange(1, 12)
        if rng.random() < 0.2:
            uops[first].flags |= w.WINDOW
        lcp, fusible = rng.random() < 0.1, rng.random() < 0.3
        insns.append(Insn(len(uops), length, slots, rng.randrange(length), slots > 1, slots > 4, lcp, fusible=fusible))
        size += length
    windows = ((va & 31) + size + 31) // 32
    return Block(uops, insns, [rng.choice((0, 1, 1, 1, 2, 3)) for _ in range(windows)], va)


def made_up_uop(rng: random.Random, stored: bool) -> Uop:
    kinds = [0, 0, 0, 0, w.LOAD, w.LOAD, w.STORE_ADDRESS, w.MOVE, w.LOCKED, w.SERIAL, w.BRANCH]
    kind = rng.choice(kinds if stored else [*kinds, w.STORE_DATA])
    uop = Uop(
        tuple(rng.randrange(1, 9) for _ in range(rng.randrange(5))), tuple(rng.randrange(1, 9) for _ in range(rng.randrange(4))),
        rng.choice((0x63, 0x63, 0x21, 0x1, 0x8C, 0xFF)), rng.choice((1, 1, 1, 3, 5, 20)), kind,
    )  # fmt: skip
    if kind & w.LOAD:
        uop.ports, uop.cost, uop.entries = 0xC, rng.choice((5, 6, 7)), rng.choice((1, 1, 2, 4))
        if len(uop.src) == 1 and rng.random() < 0.5:
            uop.flags |= w.CHASED
    if kind & (w.MOVE | w.LOCKED | w.SERIAL) or rng.random() < 0.1:
        uop.ports = 0 if kind in (0, w.MOVE, w.LOCKED, w.SERIAL) else uop.ports
        if kind & w.MOVE and not uop.src:
            uop.src = (3,)
        if kind & (w.LOCKED | w.SERIAL):
            uop.flags |= rng.choice((0, w.LOAD, w.LOAD | w.REST))
            uop.flags |= w.DRAIN if kind == w.SERIAL and rng.random() < 0.5 else 0
            if not stored and kind == w.LOCKED and rng.random() < 0.5:
                uop.flags |= w.STORE_DATA
    if kind == 0 and rng.random() < 0.05:
        uop.hold = rng.choice((3, 20))
    if rng.random() < 0.5:
        uop.flags |= w.SLOT
    return uop


def sequence(rng: random.Random, blocks: list[Block], length: int) -> Iterator[Block]:
    """A walk over them, with all that can lie between two blocks and within one."""
    misses = rng.choice((0.0, 0.02, 0.3))
    for _ in range(length):
        block = logged(rng, rng.choice(blocks), misses)
        if rng.random() < 0.1:
            block.refetch = True
        if rng.random() < 0.1:
            block.late = rng.choice((1, 3, 12, 200))
        if rng.random() < 0.05:
            block.idle_until = -1  # `compare` knows the clock
        if len(block.insns) > 1 and rng.random() < 0.1:  # closed part-way, at a clock or a device
            cut = rng.randrange(1, len(block.insns))
            yield replace(block, last=cut)
            yield replace(block, first=cut, refetch=False, late=0, idle_until=rng.choice((0, -1)),
                          loads=block.loads[len(block.loads) // 2 :], stores=[])  # fmt: skip
        else:
            yield block


def compare(core: WindowCore, table: UarchTable, walk: Iterator[Block], rng: random.Random) -> int:
    referee = Referee({row.name: row.value for row in table.rows})
    core.fresh()
    for number, block in enumerate(walk):
        if block.idle_until:
            block.idle_until = referee.retire + rng.choice((1, 30, 500, 5000))
        placed = core.place(block)
        referee.place(block)
        where = f"block {number}: {block}"
        assert placed.retire == referee.retire, where
        assert placed.lost == [referee.lost[cause] for cause in range(NCAUSES)], where
        assert {cause for cause in range(1, NCAUSES) if placed.lost[cause]} <= placed.touched, where
    return referee.retire


@pytest.mark.parametrize("seed", range(12))
def test_blocks_of_code(core: WindowCore, table: UarchTable, pool: list[bytes], ends: list[bytes], seed: int) -> None:
    rng = random.Random(seed)
    blocks, va = [], 0x400000
    for _ in range(8):
        va += rng.choice((0, 0, 1, 32, 4096))
        blocks.append(code_block(rng, core, pool, ends, va))
        va += sum(insn.length for insn in blocks[-1].insns)
    assert compare(core, table, sequence(rng, blocks, 60), rng) > 0


@pytest.mark.parametrize("seed", range(12))
def test_made_up_blocks(core: WindowCore, table: UarchTable, seed: int) -> None:
    rng = random.Random(seed)
    blocks, va = [], rng.randrange(0x400000, 0x400020)
    for _ in range(8):
        blocks.append(made_up_block(rng, va))
        va += sum(insn.length for insn in blocks[-1].insns)
    assert compare(core, table, sequence(rng, blocks, 60), rng) > 0


def test_one_long_block(core: WindowCore, table: UarchTable, pool: list[bytes]) -> None:
    rng = random.Random(5)
    division = assemble("mov rax, [rdi]; xor edx, edx; div rcx; imul rax, rcx; mov [rdi], rax")
    block = core.block(division * 60, 0x400000)
    compare(core, table, sequence(rng, [block], 4), rng)
