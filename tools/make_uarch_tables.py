# SPDX-License-Identifier: GPL-2.0-or-later
"""Turns raw uops.info rows into the instruction table the core loads (`emu/uarch/NAME.csv`).

    python tools/make_uarch_tables.py RAW.csv emu/uarch/skylake_sp.csv [--check] [--llvm-ports znver4]

and says what changed against the table it replaces, form by form. With --check it writes nothing, and ends with 1 if
anything would change.

RAW has the columns instruction, family, latency, throughput ("from the ports / measured"), uops ("fused / unfused"), ports.
The result has one row per form, spelled as Capstone sees it: mnemonic, then operand classes (r8..r64, m8..m512, i, cl, x, y,
mm, o for the rest). A row with the bare mnemonic is what other operands of that mnemonic cost. AVX-512 forms are left out: no
guest may use them.

Decisions, all of them here:
* latency is from a register source to the result. A load's own latency is a row of the processor table, so a plain load has 0,
  and a form that also computes has its register twin's latency, if there is one.
* a form holds its unit (`own` = 1) if it divides, takes a square root, or is microcoded (more than four fused micro-ops).
* the latency range of a form with several register operands is theirs: the highest for ADC, SBB, CMOVcc, SETcc and conversions
  of several micro-ops (the value passes through all of them); for 64-bit divisions what compiled code meets, a dividend of 64 bits.
* an upper bound ("≤3") between registers is one too high: it holds the way back, a cycle at least. LLVM's tables agree for
  nearly all (moves, comparisons, conversions, mask and extract instructions between register files).
* `complex` = 1: only the first decoder takes it, though it is one micro-op. The raw rows do not say which; for CMOVcc and
  SETcc BHive's measured blocks do (Skylake and Haswell, fifteen of fifteen blocks that tell).
* uops.info has ports of AMD's vector pipes alone; the others are LLVM's (`--llvm-ports CPU`), read from llvm-mca's tables. Address
  generation, loads and stores are left out there: the processor table's rows have them.
* LOCKed and REP forms are left out: rows of the processor table charge them.
"""

import argparse
import csv
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from llvm_tables import ask, assembly

from cyclescope.experiments.validate.llvm_mca import HOW_TO_GET, find_llvm_mca

CONDITIONS = {"Z": "e", "NZ": "ne", "NB": "ae", "NBE": "a", "NL": "ge", "NLE": "g"}
RENAMED = {"MOVSD": "movsd_string", "MOVSD_XMM": "movsd", "CMPSD": "cmpsd_string", "CMPSD_XMM": "cmpsd", "XLAT": "xlatb",
           "RET_NEAR": "ret", "CALL_NEAR": "call", "MOV_CR": "mov", "MOV_DR": "mov"}
SUFFIX = re.compile(r"_(NEAR|XMM|CL|IMMB|IMMZ|R0|R4|W|SSE4|[0-9A-F]{2}|[0-9A-F]{4})$")
CONDITIONAL = re.compile(r"adc|sbb|cmov|v?cvt|set[a-z]{1,2}$")
ONLY_MOVES = re.compile(r"v?mov|push|pop|call|ret|v?lddqu|vbroadcast|prefetch|cl(flush|wb)|j")
ROUND_TRIP = re.compile(r"≤([\d.]+)")
NOT_SIMPLE = re.compile(r"cmov[a-z]+|set[a-z]{1,2}")
DIVIDES = re.compile(r"v?(i?div|div[ps][sd]|sqrt[ps][sd])$")
# what uops.info lacks, or measures together with something else: form -> (uops, latency, throughput, ports, grade, why)
# 64-bit divisions whose dividend is 64 bits, as compiled code has it; the raw range goes from trivial to 128-bit dividends
# (Fog, instruction tables: the low ends of 35-88, 42-95; 32-96, 39-103)
DIVISION_LATENCY = {"skylakex": {"div": 35, "idiv": 42}, "skylake": {"div": 35, "idiv": 42}, "haswell": {"div": 32, "idiv": 39}}
BY_HAND = {
    "ret": (2, 0, 1.0, "1*p06+1*p23", "modelled", "the raw row holds the mispredictions of its own benchmark"),
    "endbr64": (1, 0, 0.25, "", "assumed", "a no-operation here"),
    "ud2": (1, 0, 1.0, "", "assumed", "its cost is the exception"),
    "fxrstor": (100, 0, 62.0, "", "assumed", "as FXSAVE"),
    "fxrstor64": (100, 0, 62.0, "", "assumed", "as FXSAVE"),
    "xrstor": (100, 0, 61.0, "", "assumed", "as XSAVE"),
    "xrstor64": (100, 0, 61.0, "", "assumed", "as XSAVE"),
    "mov o,r16": (8, 0, 20.0, "", "assumed", "segment load: descriptor checked in microcode"),
    "mov o,r32": (8, 0, 20.0, "", "assumed", "segment load: descriptor checked in microcode"),
    "wrfsbase": (4, 0, 20.0, "", "assumed", "between a move and WRMSR"),
    "wrgsbase": (4, 0, 20.0, "", "assumed", "between a move and WRMSR"),
    "rdfsbase": (1, 0, 4.0, "", "assumed", "between a move and RDMSR"),
    "rdgsbase": (1, 0, 4.0, "", "assumed", "between a move and RDMSR"),
    "fninit": (30, 0, 75.0, "", "assumed", "microcoded"),
    "fnstcw": (2, 0, 1.0, "1*p237+1*p4", "assumed", "a store"),
    "fldcw": (2, 0, 4.0, "1*p0+1*p23", "assumed", "a load and a serialised move"),
}


@dataclass
class Form:
    """One output row; `rank` says how typical the raw form it came from is (low is best)."""

    uops: int
    latency: int
    throughput: float
    ports: str
    own: int
    rank: int
    grade: str = "published"
    complex: int = 0

    def line(self) -> str:
        """As the table holds it, behind the form's name."""
        return f"{self.uops},{self.latency},{self.throughput:g},{self.ports},{self.own},{self.complex},{self.grade}"


def mnemonic(raw: str) -> str | None:
    """Capstone's name, or None for a form that is left out."""
    if "_LOCK" in raw or "_REP" in raw or raw.startswith(("BND", "LEA_")):
        return None
    if raw in RENAMED:
        return RENAMED[raw]
    for stem in ("SET", "CMOV", "J"):
        rest = raw.removeprefix(stem)
        if rest != raw and rest in CONDITIONS:
            return stem.lower() + CONDITIONS[rest]
    while True:
        shorter = SUFFIX.sub("", raw)
        if shorter == raw:
            break
        raw = RENAMED.get(shorter, shorter)
    return raw.lower()


def operand(raw: str) -> tuple[str, int]:
    """Capstone's class of an operand, and how atypical this spelling of it is."""
    if raw in ("0", "1"):
        return "i", 2
    if re.fullmatch(r"I\d+|Rel\d+", raw):
        return "i", 0
    if raw in ("AL", "AX", "EAX", "RAX", "DX"):
        return {"AL": "r8", "AX": "r16", "EAX": "r32", "RAX": "r64", "DX": "r16"}[raw], 3
    if raw.startswith("R8"):
        return "r8", raw == "R8h"
    if raw.startswith("Moffs"):
        return "m" + raw[5:], 3
    if re.fullmatch(r"[RM]\d+", raw):
        return raw.lower(), 0
    return {"XMM": "x", "YMM": "y", "MM": "mm", "CL": "cl", "CR": "cr", "DR": "dr"}.get(raw, "o"), 0


def bounds(text: str) -> tuple[int, int]:
    """Lowest and highest latency."""
    numbers = [int(float(n)) for n in re.findall(r"[\d.]+", text)]
    return (numbers[0], numbers[-1]) if numbers else (0, 0)


def form_latency(name: str, uops: int, latency: str, ports: str, has_memory: bool) -> int:
    """Cycles from a register source to the result."""
    if not has_memory:
        latency = ROUND_TRIP.sub(lambda m: str(max(int(float(m[1])) - 1, 1)), latency)
    low, high = bounds(latency)
    if CONDITIONAL.match(name) and uops > 1 and not has_memory:
        return high
    if has_memory:
        computes = re.search(r"p[015]", ports) if "p" in ports else not ONLY_MOVES.match(name)
        return max(low, 1) if computes else 0
    if low == 0:
        return high if high < 10 else 1
    return low if high - low <= 1 else (low + high + 1) // 2


def read_forms(rows: list[dict[str, str]], divisions: Mapping[str, int]) -> dict[str, Form]:
    forms: dict[str, Form] = {}
    with_memory: list[str] = []
    for row in rows:
        if "EVEX" in row["family"] or "AVX512" in row["family"] or not row["uops"]:
            continue
        raw, _, args = row["instruction"].partition(" (")
        name = mnemonic(raw)
        if name is None:
            continue
        classes = [operand(a) for a in args.rstrip(")").split(", ")] if args else []
        if name == "mov" and [c for c, _ in classes] == ["r64", "i"] and "I64" in args:
            name = "movabs"
        key = " ".join([name, ",".join(c for c, _ in classes)]).strip()
        fused = int(row["uops"].split("/")[0])
        throughput = float(row["throughput"].split("/")[-1]) if row["throughput"] else 0.0
        has_memory = any(c[0] == "m" and c != "mm" for c, _ in classes) or name in ("pop", "push", "call", "ret")
        latency = form_latency(name, fused, row["latency"], row["ports"], has_memory)
        own = int(bool(DIVIDES.match(name)) or fused > 4)
        rank = sum(r for _, r in classes) + 8 * ("h" in args)
        grade, not_simple = "published", bool(NOT_SIMPLE.fullmatch(name)) and fused == 1
        if name in divisions and re.fullmatch(r"i?div [rm]64", key):
            latency = divisions[name]
        form = Form(fused, latency, throughput, row["ports"], own, rank, grade, int(not_simple))
        if key not in forms or form.rank < forms[key].rank:
            forms[key] = form
            if has_memory and latency:
                with_memory.append(key)
    for key in with_memory:
        if (twin := register_twin(forms, key)) is not None:
            forms[key].latency = twin.latency
    return forms


def register_twin(forms: Mapping[str, Form], key: str) -> Form | None:
    """The form that has a register where this one has memory."""
    register = re.sub(r"\bm(8|16|32|64)\b", r"r\1", key).replace("m128", "x").replace("m256", "y")
    if register == key:
        return None
    scalar = key.partition(" ")[0] + " x,x"
    return forms.get(register) or forms.get(re.sub(r",i$", ",r64", register)) or forms.get(scalar)


def lea_forms(rows: list[dict[str, str]]) -> dict[str, Form]:
    """LEA by its parts: 2 (one or two), 3 (base, index and displacement), rip."""
    forms: dict[str, Form] = {}
    for row in rows:
        for raw, part in (("LEA_B_I ", "2"), ("LEA_B_I_D8 ", "3"), ("LEA_R_D32 ", "rip")):
            if row["instruction"].startswith(raw):
                width = row["instruction"].split("(")[1].rstrip(")").lower()
                low, high = bounds(row["latency"])
                forms[f"lea {width},{part}"] = Form(int(row["uops"].split("/")[0]), low or high or 1,
                                                   float(row["throughput"].split("/")[-1]), row["ports"], 0, 0)
    return forms


def bare_mnemonics(forms: dict[str, Form]) -> dict[str, Form]:
    """What a mnemonic costs with operands the table lacks: its 64-bit or first register form."""
    best: dict[str, tuple[int, str]] = {}
    for key in forms:
        name, _, args = key.partition(" ")
        rank = ("m" in args.replace("mm", "")) * 4 + ("64" not in args) * 2 + (args != "")
        if name not in best or rank < best[name][0]:
            best[name] = (rank, key)
    return {name: forms[key] for name, (_, key) in best.items()}


# LLVM's resources as ports of ours: ALUs, the second branch unit, vector pipes, moves to and from general registers
_ZEN4 = ("ALU0", "ALU1", "ALU2", "ALU3", "BRU1", "FP0", "FP1", "FP2", "FP3", "FP45.0", "FP45.1")
ZEN4_PORTS = {name: port for port, name in enumerate(_ZEN4)}


def port_sets(pressure: Mapping[str, float]) -> str:
    """LLVM's even spread over resources as port sets: what all busy ports share is one choice among them, then the rest."""
    left = dict.fromkeys(ZEN4_PORTS.values(), 0.0)
    for name, use in pressure.items():
        key = name.removeprefix("Zn4").replace("\0", "0").replace("\x01", "1")
        if key in ZEN4_PORTS:
            left[ZEN4_PORTS[key]] += use
    if left[9] == left[10]:
        left[9], left[10] = left[9] / 2, left[10] / 2  # for a pair of like units LLVM gives each the whole
    found: list[str] = []
    while len(found) < MAX_SETS and (busy := sorted(p for p, use in left.items() if use > 0.01)):
        least = min(left[p] for p in busy)
        alike = [p for p in busy if left[p] - least < 0.01] if least * len(busy) < 0.99 else busy
        found.append(f"{max(1, round(least * len(alike)))}*p{''.join(f'{p:x}' for p in alike)}")
        for p in alike:
            left[p] -= least
    return "+".join(found)


def ports_by_llvm(forms: Mapping[str, Form], cpu: str) -> None:
    """Replaces the ports of every form that LLVM can assemble; a division is one micro-op that holds its unit."""
    tool = find_llvm_mca()
    if tool is None:
        raise SystemExit(HOW_TO_GET)
    spelled = [(key, text) for key in forms if " " in key and (text := assembly(key)) is not None]
    for number, told in ask(tool.mca, cpu, [text for _, text in spelled]).items():
        form = forms[spelled[number][0]]
        if "FP" not in form.ports:
            form.ports = "+".join(_at_most(part, form) for part in port_sets(told.pressure).split("+") if part)
    for form in forms.values():
        form.complex = 0
        form.ports = re.sub(r"FP([0-5]+)", lambda m: "p" + "".join(f"{int(d) + 5:x}" for d in m[1]), form.ports)
    for key, form in forms.items():
        if not ONLY_MOVES.match(key) and (twin := register_twin(forms, key)) is not None:
            form.ports = twin.ports
        if re.match(r"j|call|ret|loop", key):
            form.ports = BRANCH_PORTS


def _at_most(port_set: str, form: Form) -> str:
    """A set whose micro-ops fit the measured throughput; a division is one that holds its unit."""
    count, ports = port_set.split("*p")
    fits = max(1, int(form.throughput * len(ports) + 0.5))
    return f"{1 if form.own else min(int(count), fits)}*p{ports}"


BRANCH_PORTS = "1*p04"  # LLVM: the first ALU's branch unit, and the second one
MAX_SETS = 12
FIELDS = ("uops", "latency", "throughput", "ports", "own", "complex", "grade")
HEADER = """\
# SPDX-License-Identifier: GPL-2.0-or-later
# Made by tools/make_uarch_tables.py; do not edit. Units: fused micro-ops, cycles, cycles per instruction.
# published: measured by uops.info (Abel and Reineke), by way of the AssemblyStats repository, Apache-2.0.{ports}
# modelled, assumed, and what "complex" says: the tool's own tables say why.
"""


def make(rows: list[dict[str, str]], divisions: Mapping[str, int], llvm_ports: str = "") -> str:
    """The table's text."""
    forms = read_forms(rows, divisions) | lea_forms(rows)
    if llvm_ports:
        ports_by_llvm(forms, llvm_ports)
    for key, (uops, latency, throughput, ports, grade, _) in BY_HAND.items():
        own_ports = "" if llvm_ports else ports
        forms[key] = Form(uops, latency, throughput, own_ports, int(uops > 4), 0, grade)
    forms = bare_mnemonics(forms) | forms
    lines = [f'"{key}",{forms[key].line()}\n' for key in sorted(forms)]
    said = f"\n# Ports: LLVM's scheduling model of {llvm_ports}, by llvm-mca's tables." if llvm_ports else ""
    return HEADER.format(ports=said) + ",".join(("form", *FIELDS)) + "\n" + "".join(lines)


def parsed(text: str) -> dict[str, dict[str, str]]:
    """A table's rows by form."""
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return {row["form"]: row for row in rows}


def changes(old: str, new: str) -> list[str]:
    """A sentence for every form that came, went or changed, and their count at the end."""
    before, after = parsed(old), parsed(new)
    told = [f"gone: {name}" for name in before if name not in after]
    added = [name for name in after if name not in before]
    told += [f"new: {name}" for name in added]
    gone, changed = len(told) - len(added), 0
    for name in after:
        if name not in before:
            continue
        was, now = before[name], after[name]
        fields = [f"{f} {was.get(f) or '-'} -> {now[f] or '-'}" for f in FIELDS if (was.get(f) or "") != now[f]]
        changed += bool(fields)
        told += [f"changed: {name}: {', '.join(fields)}"] if fields else []
    return [*told, f"{len(after)} forms: {len(added)} new, {gone} gone, {changed} changed"]


def main() -> int:
    """Exit code 1: --check, and the table is not what the raw rows give."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("raw", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if the table would change")
    parser.add_argument("--llvm-ports", default="", metavar="CPU", help="take the ports from LLVM's model of this processor")
    args = parser.parse_args()
    with args.raw.open(encoding="utf-8", newline="") as f:
        rows = list(csv.DictReader(f))
    new = make(rows, DIVISION_LATENCY.get(args.raw.stem, {}), args.llvm_ports)
    old = args.table.read_text(encoding="ascii") if args.table.exists() else ""
    print("\n".join(changes(old, new)))
    if args.check:
        return int(old != new)
    args.table.write_text(new, encoding="ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main())
