# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope asm`'s analysis: published latencies and throughputs come out, with the right reason; nothing is silently wrong."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cyclescope.asm.analysis import Analysis, analyse
from cyclescope.asm.assembler import assemble, statements
from cyclescope.asm.body import body_of
from cyclescope.asm.bounds import port_bound, port_names
from cyclescope.asm.chain import Edge, longest_chain
from cyclescope.asm.timeline import lanes
from cyclescope.cli import run_cli
from emu.core.prediction import Mode
from emu.errors import ConfigError
from emu.uarch.table import load

SKYLAKE = "skylake_sp"


def analysed(text: str, mode: Mode = Mode.LOOP) -> Analysis:
    return analyse(body_of(assemble(text)), SKYLAKE, mode)


@pytest.mark.parametrize(
    ("text", "cycles", "bound", "source"),
    [
        (
            "a: movsd xmm1,[rsi+rcx*8]; mulsd xmm1,[rdi+rcx*8]; addsd xmm0,xmm1; add rcx,1; cmp rcx,rdx; jne a",
            4,
            "chain",
            "ADDSD 4",
        ),
        ("imul rax, rbx; imul rax, rcx", 6, "chain", "IMUL 3"),
        ("imul rax,rdx; imul rbx,rdx; imul rcx,rdx; imul rsi,rdx", 4, "ports", "IMUL on port 1 alone"),
        ("mul rbx", 3, "chain", "MUL R64, to RAX: 3"),
        ("a: mov rax, [rax]; dec rcx; jnz a", 4, "chain", "L1D load-to-use 4, simple address"),
        ("mov rax, [rax + rbx*8]", 5, "chain", "L1D load-to-use 5"),
        ("lea rax, [rax + rbx + 8]", 3, "chain", "three-part LEA 3"),
        ("adc rax, rbx; adc rcx, rbx", 2, "chain", "ADC 1, through the carry flag"),
        ("divsd xmm0, xmm5; movaps xmm0, xmm4", 4, "unit", "DIVSD, one every 4"),
        ("divsd xmm0, xmm1", 13, "chain", "DIVSD 13-14"),
        ("xor edx, edx; div ecx", 26, "chain", "DIV R32 26"),
        ("cmovne rax, rbx; cmovne rax, rcx", 2, "chain", "CMOV 1, waits for its destination"),
        ("mov [rdi], rax; mov [rdi+8], rbx; mov [rdi+16], rcx", 3, "ports", "one store a cycle"),
        ("lock add [rdi], rax", 18, "serial", "LOCK ADD 18"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_published_figures_come_out_with_their_reason(text: str, cycles: float, bound: str, source: str) -> None:
    found = analysed(text)
    assert found.per_iteration == pytest.approx(cycles, abs=0.05), source
    assert bound in found.bottleneck.keys


def test_a_chain_through_memory_is_named() -> None:
    found = analysed("add qword ptr [rdi], 1")
    assert found.per_iteration == 2 + load("skylake_sp")["store_forward"].value  # llvm-mca says 1: it knows no stores
    assert found.bottleneck.keys == ("chain",)
    assert "through memory" in found.bottleneck.text
    assert found.chain is not None
    assert [edge.memory for edge in found.chain.edges].count(True) == 1


def test_length_changing_prefixes_bind_the_decoders_and_not_the_micro_op_cache() -> None:
    text = "a: add ax, 0x1234; add bx, 0x1234; add cx, 0x1234; dec rdx; jnz a"
    unrolled = analysed(text, Mode.UNROLLED)
    assert unrolled.bottleneck.keys == ("lcp",)
    assert unrolled.cycles[Mode.UNROLLED] > 9 > 2 > unrolled.cycles[Mode.LOOP]


def test_pcmpeq_of_a_register_with_itself_waits_for_nothing() -> None:
    assert analysed("pcmpeqd xmm0, xmm0", Mode.UNROLLED).chain is None
    assert analysed("pcmpeqd xmm0, xmm1", Mode.UNROLLED).chain is not None


def test_several_bounds_at_once_are_all_named() -> None:
    found = analysed("a: mov rax,[rsi+rcx*8]; mov [rdi+rcx*8],rax; add rcx,1; cmp rcx,rdx; jne a")
    assert 1 <= found.per_iteration < 1.06  # it also walks into new pages, one in 512 turns
    pages = next(bound for bound in found.bounds if bound.key == "pages")
    assert pages.without == pytest.approx(1, abs=0.005)
    assert {"chain", "ports", "issue"} <= set(found.bottleneck.keys)


def test_what_is_told_of_instructions() -> None:
    found = analysed(
        "a: add rax, [rdi+rcx*8]; xor edx, edx; mov rbx, rax; add qword ptr [rsi+rcx], rbx; dec rcx; jnz a"
    )
    notes = [set(row.notes) for row in found.rows]
    assert "micro-fused" in notes[0]
    assert notes[1:3] == [{"zero idiom"}, {"eliminated"}]
    assert {"micro-fused", "unlaminated"} <= notes[3]
    assert notes[4:] == [{"macro-fused with next"}, {"macro-fused"}]
    assert [row.latency for row in found.rows] == [6, 0, 0, 6, 1, None]
    assert found.rows[0].ports == "1*p23+1*p0156"
    assert sum(sum(row.pressure.values()) for row in found.rows) == pytest.approx(found.uops)


def test_the_critical_chain_marks_its_instructions_and_no_others() -> None:
    found = analysed("imul rax, rbx; add rax, 1; imul rcx, rdx")
    assert [row.critical for row in found.rows] == [True, True, False]
    assert found.chain is not None
    assert found.chain.cycles == 4


def test_stages_of_every_micro_op_are_in_order() -> None:
    views = analysed("a: add [rdi], rax; push rbx; pop rcx; add rsp, 8; div r8d; dec r9; jnz a").views
    stages = ("issued", "dispatched", "done", "retired")
    for before, after in pairwise(stages):
        assert (views[before] <= views[after])[views["port"] >= 0].all()
    assert (views["retired"][:-1] <= views["retired"][1:]).all()
    assert (views["delivered"] <= views["issued"]).all()


def test_timeline_in_llvm_mcas_letters() -> None:
    cells = [lane.cells for lane in lanes(analysed("mov rax, [rdi]; add rax, 1"), 1)]
    assert cells == ["DeeeeER", "D=====ER"]
    assert [lane.port for lane in lanes(analysed("mov [rdi], rax"), 1, by_uop=True)] != [-1, -1]


# ---- what is the body


def test_a_backward_branch_makes_a_loop_and_what_precedes_it_is_left_out() -> None:
    body = body_of(assemble("mov rcx, 100; a: dec rcx; jnz a"))
    assert (body.loop, len(body.instructions), len(body.left_out)) == (True, 2, 1)
    assert body.notes == ("The loop begins at instruction 2; instruction 1, which runs once, is not counted.",)


def test_jumps_inside_are_told() -> None:
    body = body_of(assemble("a: test rax, rax; jz b; call c; b: dec rcx; jnz a; c: nop"))
    assert not body.loop
    assert body.notes == (
        "Assumed to fall through, for straight-line code is what is analysed: "
        "2 (je 0x20000a), 3 (call 0x20000f), 5 (jne 0x200000).",
    )


def test_what_has_no_row_or_no_count_is_told() -> None:
    notes = analysed("rep movsb; vpconflictd zmm0, zmm1", Mode.UNROLLED).notes
    assert any("default row" in note for note in notes)
    assert any("depends on RCX" in note for note in notes)


def test_too_much_is_refused() -> None:
    assert len(body_of(b"\x90" * 512).instructions) == 512
    with pytest.raises(ConfigError, match=r"513 instructions \(513 bytes\) are too many"):
        body_of(b"\x90" * 513)


# ---- the parts


def test_longest_chain_takes_the_largest_latency_an_iteration() -> None:
    edges = [
        Edge("a", "b", 1, 0), Edge("b", "a", 5, 2),  # 6 cycles over 2 iterations
        Edge("c", "c", 3, 1),  # 3 over 1: the same
        Edge("b", "d", 90, 0),  # leads nowhere
        Edge("e", "f", 4, 0), Edge("f", "e", 3, 2),  # 7 over 2
    ]  # fmt: skip
    found = longest_chain(edges)
    assert found is not None
    assert found.cycles == Fraction(7, 2)
    assert {edge.to for edge in found.edges} == {"e", "f"}
    assert longest_chain(edges[3:4]) is None


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 9), st.integers(0, 2)), max_size=12))
@settings(max_examples=150, deadline=None)
def test_longest_chain_agrees_with_trying_every_cycle(raw: list[tuple[int, int, int, int]]) -> None:
    edges = [Edge(a, b, latency, distance + (b <= a and not distance)) for a, b, latency, distance in raw]
    best = Fraction(0)

    def walk(start: int, at: int, seen: set[int], latency: int, distance: int) -> None:
        nonlocal best
        for edge in edges:
            if edge.source == at and edge.to == start:
                best = max(best, Fraction(latency + edge.latency, distance + edge.distance))
            elif edge.source == at and edge.to not in seen and edge.to > start:
                walk(start, edge.to, seen | {edge.to}, latency + edge.latency, distance + edge.distance)

    for node in range(6):
        walk(node, node, {node}, 0, 0)
    found = longest_chain(edges)
    assert (found.cycles if found else 0) == best


def test_port_bound_finds_the_crowded_set() -> None:
    assert port_bound({0b0001: 1.0, 0b0011: 2.0, 0b1111: 1.0}) == (1.5, 0b0011)
    assert port_bound({}) == (0.0, 0)
    assert (port_names(0b1100011), port_names(1 << 10 | 1)) == ("p0156", "p(0,10)")


# ---- errors and the command


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nop\n  frob rax", r"'frob rax' \(line 2, column 3\): Invalid mnemonic"),
        ("nop; mov rax, [rbx", r"'mov rax, \[rbx' \(line 1, column 6\): \[ and \] do not match"),
        ("x: dec rax; jnz x; jmp nowhere", r"'jmp nowhere' \(line 1, column 20\): Cannot find a symbol"),
        ("# only this\nadd rax // two operands", r"'add rax' \(line 2, column 1\): Invalid operand"),
        (".zero 100000000", "more than fits"),
    ],
)  # fmt: skip
def test_refused_statements_are_named_with_their_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        assemble(text)


def test_statements_keep_quoted_text() -> None:
    assert [s.text for s in statements('nop; .ascii "a;#b" # c;d\nnop//x')] == ["nop", '.ascii "a;#b"', "nop"]


def test_json_has_everything_and_both_modes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["asm", "add rax, rbx; imul rax, rcx", "--json", "-", "--mode", "unrolled"]) == 0
    told = msgspec.json.decode(capsys.readouterr().out)
    assert told["mode"] == "unrolled"
    assert told["cycles_per_iteration"] == told["cycles_per_iteration_unrolled"] == 4
    assert told["critical_chain"]["instructions"] == [1, 2]
    assert [row["critical"] for row in told["instructions"]] == [True, True]
    assert told["timeline"][0]["issued"] == 0
    assert told["run"] is None


@pytest.mark.parametrize("width", [80, 120, 200])
def test_nothing_is_wider_than_the_terminal(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    code = "a: vfmadd231ps ymm0, ymm1, [rdi+rcx*4+0x12345678]; div r9d; add rsi, 8; cmp rsi, rdx; jne a"
    assert run_cli(["asm", code, "--timeline", "3", "--uops"]) == 0
    printed = capsys.readouterr().out
    assert max(len(line.rstrip()) for line in printed.splitlines()) <= width
    for word in ("Bottleneck", "chain", "Timeline", "p0156" if width == 80 else "p7"):
        assert word in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nop", "--mode", "round"], "--mode is 'round'"),
        (["nop", "--iterations", "3"], "--iterations is 3"),
        (["nop", "--timeline", "-1"], "--timeline is -1"),
        (["nop", "--fill", "x"], "--fill is 'x'"),
        (["nop", "--timing", "slow"], "--timing is 'slow'"),
    ],
)
def test_nonsense_is_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["asm", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_avx_is_analysed_but_not_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["asm", "vaddps ymm0, ymm0, ymm1"]) == 0
    assert re.search(r"4\.00 cycles per iteration", capsys.readouterr().out)
    assert run_cli(["asm", "vaddps ymm0, ymm0, ymm1", "--run"]) == 4
    assert "needs AVX" in capsys.readouterr().err


def test_more_iterations_do_not_change_a_steady_state(tmp_path: Path) -> None:
    target = tmp_path / "x.json"
    found = []
    for iterations in ("200", "2000"):
        assert run_cli(["asm", "imul rax, rbx; add rcx, rax", "--iterations", iterations, "--json", str(target)]) == 0
        found.append(msgspec.json.decode(target.read_bytes())["cycles_per_iteration"])
    assert found == [3, 3]
