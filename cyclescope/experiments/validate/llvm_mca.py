# SPDX-License-Identifier: GPL-2.0-or-later
"""llvm-mca, the compiler writers' own static analyser, on the same blocks: the program as it is on PATH, newest version first.

LLVM's own disassembler (llvm-mc, of the same package) makes its input, so that nothing is lost between two tools' spellings. One
run takes many blocks; a run that llvm-mca refuses is halved until the blocks it cannot analyse stand alone.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from emu.errors import ConfigError

HOW_TO_GET = "llvm-mca is not on PATH: install Debian's package llvm (or llvm-NN), which has it"
CPUS = {"skylake_sp": "skylake-avx512", "haswell": "haswell", "zen4": "znver4"}
ITERATIONS = 1000
BATCH = 100
_MARK = 0x5EED_B10C_0000_0000
_MARKED = re.compile(r"\s*movabsq\s+\$(\d+), %r15")
_TIMEOUT_S = 600


@dataclass(frozen=True)
class LlvmMca:
    """The programs, and what `--version` said."""

    mca: str
    mc: str
    version: str


def find_llvm_mca() -> LlvmMca | None:
    """The newest llvm-mca that has its llvm-mc beside it."""
    versions: set[int] = set()
    for folder in os.get_exec_path():
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        versions.update(int(m[1]) for m in map(re.compile(r"llvm-mca-(\d+)").fullmatch, names) if m)
    for suffix in [f"-{version}" for version in sorted(versions, reverse=True)] + [""]:
        mca, mc = shutil.which(f"llvm-mca{suffix}"), shutil.which(f"llvm-mc{suffix}")
        if mca and mc:
            told = subprocess.run([mca, "--version"], capture_output=True, text=True, check=False).stdout
            found = re.search(r"version (\S+)", told)
            return LlvmMca(mca, mc, found[1] if found else "of unknown version")
    return None


def predict(tool: LlvmMca, uarch: str, blocks: Sequence[bytes], done: Callable[[int], None]) -> list[float | None]:
    """Cycles per iteration of each block; None where llvm-mca fails. Raises ConfigError for a processor it has no name for."""
    if uarch not in CPUS:
        raise ConfigError(f"validate blocks: llvm-mca has no processor for {uarch}; there are: {', '.join(CPUS)}")
    found: list[float | None] = []
    for begin in range(0, len(blocks), BATCH):
        done(begin)
        texts = _assembly(tool, blocks[begin : begin + BATCH])
        found += _analysed(tool, CPUS[uarch], texts)
    return found


def _assembly(tool: LlvmMca, blocks: Sequence[bytes]) -> list[str | None]:
    """Each block as assembly; None where its bytes are no instructions."""
    lines: list[str] = []
    for number, code in enumerate(blocks):
        mark = b"\x49\xbf" + (_MARK + number).to_bytes(8, "little")
        lines += [f"[{' '.join(f'0x{byte:02x}' for byte in part)}]" for part in (mark, code)]
    ran = subprocess.run(
        [tool.mc, "--disassemble", "--triple=x86_64"],
        input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=_TIMEOUT_S, check=False,
    )  # fmt: skip
    wrong = {(int(line) - 1) // 2 for line in re.findall(r"^<stdin>:(\d+):", ran.stderr, re.MULTILINE)}
    texts: list[list[str]] = []
    for line in ran.stdout.splitlines():
        marked = _MARKED.match(line)
        if marked and int(marked[1]) == _MARK + len(texts):
            texts.append([])
        elif texts:
            texts[-1].append(line)
    if len(texts) != len(blocks):
        return [None] * len(blocks)
    return [None if number in wrong else "\n".join(text) for number, text in enumerate(texts)]


def _analysed(tool: LlvmMca, cpu: str, texts: Sequence[str | None]) -> list[float | None]:
    if all(text is None for text in texts):
        return [None] * len(texts)
    known = [(number, text) for number, text in enumerate(texts) if text is not None]
    source = "".join(f"# LLVM-MCA-BEGIN b{number}\n{text}\n# LLVM-MCA-END\n" for number, text in known)
    ran = subprocess.run(
        [tool.mca, "-mtriple=x86_64", f"-mcpu={cpu}", f"-iterations={ITERATIONS}", "-json"],
        input=source, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False,
    )  # fmt: skip
    if ran.returncode == 0:
        found: list[float | None] = [None] * len(texts)
        for region in json.loads(ran.stdout)["CodeRegions"]:
            summary = region["SummaryView"]
            found[int(region["Name"][1:])] = summary["TotalCycles"] / summary["Iterations"]
        return found
    if len(texts) == 1:
        return [None]
    half = len(texts) // 2
    return _analysed(tool, cpu, texts[:half]) + _analysed(tool, cpu, texts[half:])
