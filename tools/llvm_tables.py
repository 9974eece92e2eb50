# SPDX-License-Identifier: GPL-2.0-or-later
"""LLVM's scheduling models, form by form: our spelling of a form as an instruction, and what llvm-mca's tables say of it."""

import json
import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from typing import Any

REGISTERS = {
    "r8": ("al", "bl", "dl"), "r16": ("ax", "bx", "dx"), "r32": ("eax", "ebx", "edx"), "r64": ("rax", "rbx", "rdx"),
    "x": ("xmm1", "xmm2", "xmm3", "xmm4"), "y": ("ymm1", "ymm2", "ymm3", "ymm4"), "mm": ("mm1", "mm2", "mm3"),
    "cl": ("cl",) * 3, "i": ("3",) * 4,
}  # fmt: skip
WIDTHS = {"8": "byte", "16": "word", "32": "dword", "64": "qword", "80": "tbyte", "128": "xmmword", "256": "ymmword"}
LEA = {"2": "[rbx + rcx]", "3": "[rbx + rcx + 8]", "rip": "[rip + 64]"}


def assembly(form: str) -> str | None:
    """The form as an instruction; None for operands that have no such spelling."""
    name, _, arguments = form.partition(" ")
    if name == "lea":
        register, part = arguments.split(",")
        return f"lea {REGISTERS[register][0]}, {LEA[part]}"
    words: list[str] = []
    used: Counter[str] = Counter()
    for operand in filter(None, arguments.split(",")):
        if operand in REGISTERS:
            if used[operand] >= len(REGISTERS[operand]):
                return None
            words.append(REGISTERS[operand][used[operand]])
            used[operand] += 1
        elif operand[0] == "m" and operand[1:] in WIDTHS:
            words.append(f"{WIDTHS[operand[1:]]} ptr [rsi]")
        else:
            return None
    return f"{name} {', '.join(words)}".strip()


@dataclass(frozen=True)
class Scheduled:
    """What LLVM says of one instruction; `pressure`: micro-ops by resource, in which a choice of n resources is 1/n each."""

    uops: int
    latency: int
    throughput: float
    pressure: dict[str, float]


def ask(program: str, cpu: str, lines: list[str]) -> dict[int, Scheduled]:
    """By index of the line; lines that are refused are left out. Raises RuntimeError for any other trouble."""
    left = dict(enumerate(lines))
    while left:
        text = ".intel_syntax noprefix\n" + "".join(f"{line}\n" for line in left.values())
        command = [program, "-mtriple=x86_64", f"-mcpu={cpu}", "-instruction-tables", "-json"]
        ran = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        keys = list(left)
        if ran.returncode == 0:
            return _read(json.loads(ran.stdout), keys)
        refused = {int(n) - 2 for n in re.findall(r"^<stdin>:(\d+):\d+: error", ran.stderr, re.MULTILINE)}
        if not refused:
            raise RuntimeError(f"{program}: {ran.stderr.strip()[:500]}")
        for number in refused:
            del left[keys[number]]
    return {}


def _read(document: dict[str, Any], keys: list[int]) -> dict[int, Scheduled]:
    resources, region = document["TargetInfo"]["Resources"], document["CodeRegions"][0]
    pressure: dict[int, dict[str, float]] = {}
    for use in region["ResourcePressureView"]["ResourcePressureInfo"]:
        pressure.setdefault(use["InstructionIndex"], {})[resources[use["ResourceIndex"]]] = use["ResourceUsage"]
    return {
        keys[one["Instruction"]]: Scheduled(
            one["NumMicroOpcodes"], one["Latency"], one["RThroughput"], pressure.get(one["Instruction"], {})
        )
        for one in region["InstructionInfoView"]["InstructionList"]
    }
