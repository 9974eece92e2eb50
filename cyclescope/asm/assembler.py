# SPDX-License-Identifier: GPL-2.0-or-later
"""Keystone, with the place of an error: it tells neither line nor column, so the statement that it refuses is looked for.

What Keystone takes but should not is refused here: brackets that do not match (it would assemble something else).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from keystone import KS_ARCH_X86, KS_ERR_ASM_SYMBOL_MISSING, KS_MODE_32, KS_MODE_64, KS_OPT_SYNTAX_ATT, Ks, KsError

from emu.errors import ConfigError

CODE_GPA = 0x200000

_DECIMAL = re.compile(r'"[^"]*"|(?<![\w.])(0|[1-9]\d*)(?![\w.:])')  # quoted text stays
_PIECES = re.compile(r'"(?:\\.|[^"\\])*"|;|#|//|[^";#/]+|.')
_LABEL = re.compile(r"\s*([A-Za-z_.$][\w.$]*)\s*:")
_COUNT = re.compile(r"\.(?:zero|space|skip|fill|rept|org|p2align|balign|align)\b")
_SHOWN = 60


@dataclass(frozen=True)
class Statement:
    """One statement, where it begins (from 1), without its comment."""

    text: str
    line: int
    column: int


def statements(source: str) -> list[Statement]:
    """`;` or a newline ends one; `#` or `//` begins a comment; neither inside quotation marks."""
    found: list[Statement] = []
    for number, line in enumerate(source.split("\n"), 1):
        start, text = 0, ""
        for piece in _PIECES.finditer(line.rstrip("\r") + ";"):
            if piece[0] in (";", "#", "//"):
                if text.strip():
                    found.append(Statement(text.strip(), number, start + len(text) - len(text.lstrip()) + 1))
                start, text = piece.end(), ""
                if piece[0] != ";":
                    break
            else:
                text += piece[0]
    return found


def assemble(text: str, *, att: bool = False, address: int = CODE_GPA) -> bytes:
    """64-bit machine code of `text`.

    Raises:
        ConfigError: Keystone refuses it, with the statement's line and column, or nothing comes out.
    """
    if not text.isascii():
        raise ConfigError(f"asm: {_short(text)} is not ASCII")
    parts = statements(text)
    for part in parts:
        for opening, closing in ("[]", "()"):
            if _unquoted(part.text).count(opening) != _unquoted(part.text).count(closing):
                raise ConfigError(
                    f"asm: cannot assemble {_short(part.text)} ({_place(part)}): {opening} and {closing} do not match"
                )
        if _COUNT.search(part.text) and re.search(r"\d{7}|0x[0-9a-fA-F]{6}", part.text):
            raise ConfigError(f"asm: cannot assemble {_short(part.text)} ({_place(part)}): that is more than fits")
    try:
        code = _encode(parts, att, address)
    except KsError as error:
        culprit = _refused(parts, att, error.errno)
        what = str(error).partition(" (KS_ERR")[0]
        if culprit is None:
            raise ConfigError(f"asm: cannot assemble {_short(text)}: {what}") from error
        raise ConfigError(f"asm: cannot assemble {_short(culprit.text)} ({_place(culprit)}): {what}") from error
    if not code:
        raise ConfigError(f"asm: {_short(text)} holds no instruction")
    return code


def assemble_32(text: str, address: int) -> bytes:
    """32-bit machine code of our own boot stubs."""
    encoding, _ = Ks(KS_ARCH_X86, KS_MODE_32).asm(in_hexadecimal(text), address, as_bytes=True)
    return bytes(encoding)


def in_hexadecimal(text: str) -> str:
    """Decimal numbers as 0x...: once a syntax was set, Keystone 0.9.2 takes every later engine's bare numbers for hexadecimal."""
    return _DECIMAL.sub(lambda found: found[0] if found[1] is None else hex(int(found[1])), text)


def _encode(parts: list[Statement], att: bool, address: int, more: str = "") -> bytes:
    engine = Ks(KS_ARCH_X86, KS_MODE_64)
    if att:
        engine.syntax = KS_OPT_SYNTAX_ATT
    encoding, _ = engine.asm(
        in_hexadecimal("\n".join([*(p.text for p in parts), *([more] if more else [])])), address, as_bytes=True
    )
    return bytes(encoding or b"")


def _refused(parts: list[Statement], att: bool, errno: int) -> Statement | None:
    """The first statement that is refused by itself, for the same reason; the others' labels are given to it."""
    labels = {found[1] for part in parts if (found := _LABEL.match(part.text))}
    for part in parts:
        own = _LABEL.match(part.text)
        more = "\n".join(f"{name}:" for name in sorted(labels - {own[1] if own else ""}))
        try:
            _encode([part], att, CODE_GPA, more)
        except KsError as error:
            if error.errno == errno or errno != KS_ERR_ASM_SYMBOL_MISSING:
                return part
    return None


def _unquoted(text: str) -> str:
    return re.sub(r'"(?:\\.|[^"\\])*"|\'.\'', "", text)


def _place(part: Statement) -> str:
    return f"line {part.line}, column {part.column}"


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
