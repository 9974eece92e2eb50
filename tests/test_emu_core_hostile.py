# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that execute garbage, in ring 0 and ring 3: whatever they do ends with a stated reason, and the accounts still sum."""

import random

import pytest

from emu.core.binding import Stop
from emu.errors import NotModelled
from tests.core_guest import AP_MAIN, MAIN, USER, Guest, assemble
from tests.test_emu_core_smp import ARRIVE, START_APS
from tests.test_emu_core_vcpu import HANDLER, TO_RING_3, use_fast

CASES, BATCH = 160, 20
# system instructions, port and LAPIC accesses, string and locked operations: random bytes alone would meet them too seldom
SPICE = bytes.fromhex(
    "020f05 020f31 020fa2 02e460 01ee 01ec 01ef 01ed 01f4 01fb 01fa 01cf 0248cf 020f01 020f00 020f20 020f22 020f30 020f32 02f3a4"
    "02f36c 02f36e 02cd80 01c3 01ff 078b04250000e0fe 03f00fb1 020fae 01d9 01dd 02660f 020fc7 020f34 019d 020f0b 01cc"
)  # each behind its length
ENDS = {Stop.HORIZON, Stop.TRIPLE_FAULT, Stop.NO_PROGRESS, Stop.EXIT}


def spices() -> list[bytes]:
    out, at = [], 0
    while at < len(SPICE):
        out.append(SPICE[at + 1 : at + 1 + SPICE[at]])
        at += 1 + SPICE[at]
    return out


def garbage(r: random.Random) -> bytes:
    known = spices()
    return b"".join(r.choice(known) if r.random() < 0.3 else r.randbytes(r.randrange(1, 6)) for _ in range(400))


def hostile(seed: int) -> Guest:
    """A guest of one or two vCPUs, at either level, in either ring, with handlers or without, that runs into garbage."""
    r = random.Random(seed)
    g = Guest(r.choice([1, 2]))
    if r.random() < 0.5:
        use_fast(g)
    at = MAIN
    if g.ncpus == 2:
        g.code(AP_MAIN, ARRIVE + "sti; l: inc rax; pause; jmp l")
        g.code(MAIN, START_APS)
        at += len(assemble(START_APS, MAIN))
    if r.random() < 0.5:
        g.code(at, TO_RING_3)
        at = USER
    if r.random() < 0.5:
        for vector in range(256):
            g.vector(vector, HANDLER, dpl=r.choice([0, 3]))
        g.code(HANDLER, r.choice(["iretq", "add rsp, 8; iretq", "inc qword ptr [rsp]; iretq", "hlt"]))
    g.put(at, garbage(r))
    return g


@pytest.mark.parametrize("first", range(0, CASES, BATCH))
def test_garbage_ends_with_a_reason(first: int) -> None:
    for seed in range(first, first + BATCH):
        g = hostile(seed)
        try:
            for step in range(1, 4):
                stop = g.run(step * 2_000_000)
                assert stop.stop in ENDS, seed
                if stop.stop != Stop.HORIZON:
                    break
                g.core.msi(0, 0xFEE00000, seed & 0xFF, 0)
        except NotModelled:
            pass  # an end like any other: the message says what is missing
        for vcpu in range(g.ncpus):
            charged = g.core.ledger_calls().components(0, vcpu)["cycles"].sum()
            assert charged == g.core.cycles(0, vcpu), seed
        g.close()


@pytest.mark.parametrize("quantum", [1, 7])
def test_the_smallest_quantum_still_makes_progress(quantum: int) -> None:
    """A block that costs more than the quantum runs all the same: at least one a slice."""
    g = Guest(2)
    use_fast(g)
    g.core.quantum(quantum, quantum)
    g.code(AP_MAIN, ARRIVE + "l: lock inc qword ptr [0x300010]; mfence; div rcx; jmp l")
    g.code(MAIN, START_APS + "w: pause; cmp qword ptr [0x300010], 50; jb w; out 0xf4, al; hlt")
    g.vector(0, HANDLER)
    g.code(HANDLER, "add qword ptr [rsp], 3; iretq")
    assert g.run(10**10).stop == Stop.EXIT
    g.close()


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("handler", [HANDLER, 0x7FFF_0000_0000])
def test_a_handler_that_faults_at_once_for_ever(handler: int, fast: bool) -> None:
    """On a stack of its own, which therefore never overflows: at an instruction that is none, and where there is no code."""
    g = Guest()
    if fast:
        use_fast(g)
    for vector in (6, 14):
        g.vector(vector, handler, ist=1)
    g.code(HANDLER, "ud2")
    g.code(MAIN, "ud2")
    with pytest.raises(NotModelled, match="no instruction of its handlers executes"):
        g.run(10**12)
    assert g.core.ledger_calls().components(0, 0)["cycles"].sum() == g.core.cycles(0, 0)
    g.close()
