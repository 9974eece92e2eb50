# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope validate emulator`: blocks as guest code take the cycles that are predicted for them without a guest."""

import json
from pathlib import Path
from typing import Any

import pytest

from cyclescope.asm.assembler import assemble
from cyclescope.cli import run_cli
from cyclescope.experiments.validate.blockguest import BlockHarness, Fault, Measured
from cyclescope.experiments.validate.emulator import MODES, compare_blocks

BLOCKS = (
    "add rax, rbx",
    "add rax, 1; add rbx, 1; add rcx, 1; add rdx, 1; add rsi, 1",
    "imul rax, rbx; imul rcx, rdx; add rax, rcx",
    "xor eax, eax; mov rbx, rax; lea rcx, [rbx + rdx*4 + 16]; test rcx, rcx",
    "mov rax, [rax]; mov rbx, [rbx + 8]",
    "mov rax, [rbx]; add rax, 1; mov [rbx], rax",
    "mov [rdi], rax; mov rcx, [rdi + 4096]",  # one page, whatever the address
    "mov [rsp + 8], rax; mov [rsp + 16], rbx; mov rcx, [rsp + 8]; add rcx, [rsp + 16]",
    "mov [rsi], eax; mov [rsi + 4], ebx; mov rdx, [rsi]",  # the load must wait for both stores
    "push rbx; push rbp; mov rbp, rsp; sub rsp, 64; mov rsp, rbp; pop rbp; pop rbx",
    "push rax; push rcx; mov rdx, [rsp + 8]; pop rcx; pop rax",
    "test rax, rax; cmovne rbx, rax; mov rcx, [rbx]; cmp rcx, -8; mov [rbx], rcx",
    "add ax, 0x1234; add bx, 0x4321; lea rdx, [rdx + rdx*2]",
    "adc rax, rbx; adc rcx, rdx; setc r8b; movzx r9d, r8b",
    "shl rax, 3; shr rbx, cl; rol ecx, 7; bswap edx; popcnt r8, r9",
    "xor edx, edx; mov eax, 0x7fffffff; mov ecx, 0x1235; div ecx",
    "xorps xmm0, xmm0; cvtsi2sd xmm0, rax; addsd xmm0, xmm1; mulsd xmm2, xmm0",
    "movaps xmm3, xmm4; paddd xmm3, xmm5; pshufd xmm6, xmm3, 0x1b; movdqu [rdi], xmm6; movdqu xmm7, [rdi]",
    "divsd xmm0, xmm1; sqrtsd xmm2, xmm3; addsd xmm4, xmm5",
    "movzx eax, byte ptr [rsi]; movzx ecx, byte ptr [rdi]; sub eax, ecx; add rsi, 1; add rdi, 1; cmp rsi, rdx",
    "mov eax, [rdi + rcx*4]; imul eax, eax, 31; add edx, eax; inc rcx; cmp rcx, r8",
    "lock xadd [rdi], rax; add rbx, 1",
    "nop; nop; nop; nop; nop; nop; nop; add rax, 1",
    "movabs rax, 0x123456789abcdef; movabs rcx, 0xfedcba987654321; xor rax, rcx; mov [rdi + rsi*8], rax",
    "inc rax; dec rbx; and ecx, 255; or edx, ecx; lea r8, [rdx + r9]; neg r8; not r9; sar r10, 2; xchg r11, r12",
)  # fmt: skip


@pytest.fixture(scope="module")
def harness() -> Any:
    one = BlockHarness("skylake_sp", {})
    yield one
    one.close()


@pytest.mark.parametrize("uarch", ["skylake_sp", "haswell"])
def test_guests_take_what_is_predicted(uarch: str) -> None:
    result = compare_blocks(uarch, [assemble(text) for text in BLOCKS])
    assert (result.blocks, result.aside, len(result.compared)) == (len(BLOCKS), {}, 2 * len(BLOCKS))
    assert result.holds
    for mode in MODES:
        assert result.median(mode) <= 0.01
        assert max(abs(one.difference) for one in result.of(mode)) <= 0.10


def test_the_harness_measures_what_the_text_book_says(harness: BlockHarness) -> None:
    for text, cycles in (("imul rax, rbx", 3.0), ("mov rax, [rax]", 4.0), ("mov [rdi], rax; mov [rdi + 8], rbx", 2.0)):
        block = assemble(text)
        unrolled, looped = harness.unrolled(block, 400), harness.looped(block, text.count(";") + 1, 2000)
        assert isinstance(unrolled, Measured)
        assert isinstance(looped, Measured)
        assert unrolled.per_copy == pytest.approx(cycles, rel=0.02)
        assert looped.per_copy == pytest.approx(cycles, rel=0.02)


@pytest.mark.parametrize(
    ("text", "vector", "offset"),
    [
        ("add rax, 1; ud2", 6, 4),
        ("mov rdx, rax; div rcx", 0, 3),  # the quotient has 65 bits
        ("mov eax, 1; shl rax, 63; mov rcx, [rax]", 13, 9),  # no canonical address
    ],
)
def test_an_exception_is_told_with_its_place(harness: BlockHarness, text: str, vector: int, offset: int) -> None:
    block = assemble(text)
    for told in (harness.unrolled(block, 100), harness.looped(block, text.count(";") + 1, 1000)):
        assert isinstance(told, Fault)
        assert (told.vector, told.offset) == (vector, offset)


def run(texts: list[str], tmp_path: Path, *options: str) -> int:
    file = tmp_path / "blocks.csv"
    lines = [assemble(text).hex() + ",1.0" if text.isascii() and " " in text else text for text in texts]
    file.write_text("block_hex,measured_cycles_per_iteration\n" + "\n".join(lines) + "\n")
    return run_cli(["validate", "emulator", "--file", str(file), *options])


def test_what_is_left_aside_is_counted(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    # vzeroupper, ud2, jmp, half an instruction, rep movsb, a store near itself, hlt, in al, dx
    odd = ["c5f877,1.0", "0f0b,1.0", "ebfe,1.0", "0f,1.0", "f3a4,1.0", "4889053d000000,1.0", "f4,1.0", "ec,1.0"]
    assert run(["add rax, 1", *odd], tmp_path, "--json", "-") == 0
    told = json.loads(capsysbinary.readouterr().out)
    assert told["aside"] == {
        "#UD at ud2": 1, "AVX": 1, "branches": 1, "bytes that are no instruction": 1, "repeated string instructions": 1,
        "system instructions": 2, "writes among its own code": 1,
    }  # fmt: skip
    assert [one["mode"] for one in told["per_block"]] == ["unrolled", "looped"]


def test_disagreement_is_told_with_the_block(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BlockHarness, "unrolled", lambda *_: Measured(230, 200))
    assert run(["add rax, 1"], tmp_path) == 1
    out = capsys.readouterr().out
    assert "predicted 1.00, emulated 1.15 (+15.0%): 4883c001" in out
    assert "add rax, 1" in out


def test_nothing_comparable_is_no_agreement(tmp_path: Path) -> None:
    assert run(["0f0b,1.0"], tmp_path) == 1
