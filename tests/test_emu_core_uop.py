# SPDX-License-Identifier: GPL-2.0-or-later
"""Micro-ops and steady states of single instructions and small blocks against published facts.

Sources: uops.info (micro-ops, ports, latencies, throughputs), Intel's optimisation manual, uiCA (Abel and Reineke, ICS 2022).
"""

from collections.abc import Iterator

import keystone
import pytest

from cyclescope.asm.flat import assemble
from cyclescope.config import Hardware
from cyclescope.experiments.machines import add_machine
from emu.core.binding import Core
from emu.uarch.table import load
from emu.world import World
from tests.test_emu_uarch_tool import load_tool

spelling = load_tool("llvm_tables").assembly
Machines = tuple[Core, dict[str, int]]


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    with World() as world:
        yield world.core, {
            name: add_machine(world, Hardware(cpus=1, memory_mib=64, uarch=name)).index for name in ("skylake_sp", "haswell")
        }


def cycles(machines: Machines, text: str, uarch: str = "skylake_sp", *, looped: bool = False) -> float:
    core, index = machines
    told = core.predict(index[uarch], assemble(text), looped=looped)
    assert told.uncosted == 0
    return told.cycles / told.copies


@pytest.mark.parametrize(
    ("text", "slots"),
    [
        ("add rax, rbx", 1),
        ("add rax, [rbx]", 1),  # micro-fused
        ("add [rbx], rax", 2),
        ("mov [rbx], rax", 1),
        ("xchg rax, rbx", 3),
        ("cmp rax, rbx; jne 0x10", 1),  # macro-fused
        ("xor eax, eax", 1),
        ("mul rbx", 2),
        ("cpuid", 1),  # a row of its own
    ],
)
def test_fused_micro_ops(machines: Machines, text: str, slots: int) -> None:
    core, index = machines
    assert core.predict(index["skylake_sp"], assemble(text)).slots == slots


@pytest.mark.parametrize(
    ("text", "expected", "why"),
    [
        ("imul rax, rbx", 3, "latency 3"),
        ("imul rax, [rsp]; imul rcx, [rsp]", 6 / 2, "one multiplier: two chains of 3 side by side"),
        ("add rax, rbx; add rcx, rbx; add rdx, rbx; add rsi, rbx", 1.25, "16 instructions of 3 bytes: predecoded 5 + 1, 5, 5"),
        ("shl rax, 1; shl rcx, 1; shl rdx, 1; shl rsi, 1", 2, "shifts have ports 0 and 6"),
        ("mov rax, [rax]", 4, "pointer chase, simple address"),
        ("mov [rsp], rax; mov rax, [rsp]", 4, "store forwarding, Fog: 4 to 5"),
        ("mov [rsp], eax; mov [rsp+4], eax; mov rax, [rsp]", 14, "two stores, one load: blocked; Fog: 11 to 15"),
        ("mov [rax], rcx; mov [rdx], rcx", 2, "one store a cycle"),
        ("lea rax, [rax+rbx+8]", 3, "three-component LEA"),
        ("adc rax, rbx", 1, "one micro-op since Broadwell"),
        ("addsd xmm0, xmm1", 4, "latency 4"),
        ("divsd xmm0, xmm1", 13.5, "latency 13 to 14"),
    ],
)
def test_steady_states_of_skylake(machines: Machines, text: str, expected: float, why: str) -> None:
    assert cycles(machines, text) == pytest.approx(expected, rel=0.05), why


@pytest.mark.parametrize(
    ("text", "skylake", "haswell", "why"),
    [
        ("adc rax, rbx", 1, 2, "two micro-ops up to Haswell"),
        ("cdq; add eax, ecx", 1, 1, "CDQ does not write EAX"),
        ("addsd xmm0, xmm1", 4, 3, "the adder of port 1"),
        ("cmp r10d, 30", 1 / 4, 1 / 3, "what may macro-fuse does not go through Haswell's last decoder"),
        ("mov [rsp], rax; mov rax, [rsp]", 4, 5, "store forwarding"),
    ],
)
def test_processors_differ_as_published(machines: Machines, text: str, skylake: float, haswell: float, why: str) -> None:
    assert cycles(machines, text) == pytest.approx(skylake, rel=0.05), why
    assert cycles(machines, text, "haswell") == pytest.approx(haswell, rel=0.05), why


def test_an_unlaminated_pair_is_issued_together(machines: Machines) -> None:
    assert cycles(machines, "cmp rcx, [r9+rax*8+8]") == pytest.approx(0.5, rel=0.05)
    assert cycles(machines, "cmp rcx, [r9+rax*8+8]; mov esi, eax") == pytest.approx(1.0, rel=0.05)


def test_a_conditional_move_waits_for_the_first_decoder(machines: Machines) -> None:
    code = "lea rbp, [rbx-24]; test rbx, rbx; cmove rbp, rdx; add rbp, 40; cmp rbp, rax"
    assert cycles(machines, code) == pytest.approx(2.0, rel=0.05)
    assert cycles(machines, code, looped=True) < 1.6


def test_stored_values_come_back(machines: Machines) -> None:
    """The pointer goes through memory: where it points is known only if that is followed."""
    apart = "lea rcx, [rbx+64]; mov [rsp], rcx; mov rdx, [rsp]; mov [rdx], eax; mov eax, [rbx]"
    same = "lea rcx, [rbx]; mov [rsp], rcx; mov rdx, [rsp]; mov [rdx], eax; mov eax, [rbx]"
    assert cycles(machines, same) > cycles(machines, apart) + 1


def test_walking_into_the_next_page_costs_what_the_second_tlb_takes(machines: Machines) -> None:
    near, far = (cycles(machines, f"push rax; push rax; push rax; sub rsp, {n}") for n in (8, 1000))
    assert far - near == pytest.approx(9 * (1024 - 32) / 4096, rel=0.1)


def test_a_shift_by_cl_passes_the_value_in_one_cycle(machines: Machines) -> None:
    assert cycles(machines, "shl rax, cl; test rbx, rbx") == pytest.approx(1.75, abs=0.3)


@pytest.mark.parametrize("uarch", ["skylake_sp", "haswell"])
def test_single_instructions_take_what_was_measured(machines: Machines, uarch: str) -> None:
    """Every form that can be spelled, one copy behind the other: between its throughput and its latency, as uops.info has them."""
    core, index = machines
    assembler = keystone.Ks(keystone.KS_ARCH_X86, keystone.KS_MODE_64)
    compared, off = 0, []
    for form in load(uarch).forms:
        name, _, operands = form.name.partition(" ")
        text = spelling(form.name) if operands and not name.startswith(("j", "loop", "call", "in", "out", "rd", "xbegin")) else None
        try:
            code = bytes(assembler.asm(text)[0] or b"") if text else b""
        except keystone.KsError:
            continue
        if not code:
            continue
        told = core.predict(index[uarch], code)
        assert not told.uncosted, form.name
        cycles, memory = told.cycles / told.copies, 6 if "m" in operands.replace("mm", "") else 0
        compared += 1
        if not 0.85 * form.throughput < cycles < 1.3 * max(form.throughput, form.latency + memory, len(code) / 16) + 0.3:
            off.append(form.name)
    assert compared > 2_500
    assert len(off) < compared / 100, off
