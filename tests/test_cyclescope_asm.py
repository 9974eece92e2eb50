# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope asm`'s assembler: what Keystone does in one syntax never changes the other, nor how numbers are read."""

import pytest

from cyclescope.asm.assembler import assemble
from cyclescope.asm.flat import flat_image
from cyclescope.asm.runner import run_code
from emu.errors import ConfigError


def test_numbers_are_decimal_in_both_syntaxes_whichever_came_first() -> None:
    image = flat_image(b"\x90")
    for _ in range(2):
        assert assemble("mov eax, 100") == bytes.fromhex("b864000000")
        assert assemble("movq $100, %rax", att=True) == bytes.fromhex("48c7c064000000")
        assert assemble("lea rdx, [rbx + rcx*4 + 200]") == bytes.fromhex("488d948bc8000000")
        assert assemble('.ascii "12"; .byte 10') == b"12\n"
    assert flat_image(b"\x90") == image


def test_att_code_runs() -> None:
    ran = run_code(assemble("movq $100, %rax; addq $16, %rax", att=True), "skylake_sp")
    assert (ran.exit_code, ran.message, ran.registers["rax"]) == (0, "", 116)


def test_what_is_not_ascii_is_refused() -> None:
    with pytest.raises(ConfigError, match="not ASCII"):
        assemble("mov rax, r\u00e9g")
