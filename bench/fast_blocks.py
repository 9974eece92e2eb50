# SPDX-License-Identifier: GPL-2.0-or-later
"""The `fast` level's static block costs against blocks measured on real processors (BHive's form: hex, cycles per iteration).

    python -m bench.fast_blocks skl.csv [--uarch skylake_sp] [--worst 10]

Prints the mean absolute percentage error, its median, Kendall's tau and the geometric bias, for short and long blocks too. The
blocks were measured unrolled: decoded each time (so `frontend_bytes` is 16 here, the legacy decoder's), never branching (so
`block_min16` is 0). Guests run with the table as it is.
"""

import argparse
import csv
import math
import statistics
from collections.abc import Sequence
from pathlib import Path

import capstone

from emu.uarch.table import load
from tests.uarch_harness import Decoded, TimingWorld

UNROLLED = {"frontend_bytes": 16, "block_min16": 0}


def kendall_tau(a: Sequence[float], b: Sequence[float]) -> float:
    """Tau-b: agreement of two rankings, ties allowed."""
    same = pairs_a = pairs_b = 0
    for i in range(len(a)):
        for j in range(i):
            sign_a, sign_b = (a[i] > a[j]) - (a[i] < a[j]), (b[i] > b[j]) - (b[i] < b[j])
            same += sign_a * sign_b
            pairs_a += sign_a != 0
            pairs_b += sign_b != 0
    return same / math.sqrt(pairs_a * pairs_b)


def report(label: str, blocks: Sequence[tuple[float, Decoded]]) -> None:
    """One line of figures."""
    measured, model = [m for m, _ in blocks], [d.cost for _, d in blocks]
    errors = [abs(p - m) / m for m, p in zip(measured, model, strict=True)]
    bias = math.exp(statistics.fmean(math.log(p / m) for m, p in zip(measured, model, strict=True)))
    print(
        f"{label:24} {len(blocks):5} blocks  MAPE {statistics.fmean(errors):6.1%}  median {statistics.median(errors):6.1%}"
        f"  tau {kendall_tau(measured, model):.3f}  bias x{bias:.3f}  uncosted {sum(d.uncosted for _, d in blocks)}"
    )


def main() -> None:
    """Reads the file, costs each block, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", type=Path)
    parser.add_argument("--uarch", default="skylake_sp")
    parser.add_argument("--worst", type=int, default=0, help="list this many blocks with the largest errors")
    args = parser.parse_args()
    with args.csv.open(encoding="ascii", newline="") as f:
        rows = [(bytes.fromhex(r["block_hex"]), float(r["measured_cycles_per_iteration"])) for r in csv.DictReader(f)]
    with TimingWorld(load(args.uarch), **UNROLLED) as world:
        costed = [(measured, world.decode(code)) for code, measured in rows]
    report("all", costed)
    report("under 5 instructions", [c for c in costed if len(c[1].marks) < 5])
    report("5 to 14", [c for c in costed if 5 <= len(c[1].marks) < 15])
    report("15 and more", [c for c in costed if len(c[1].marks) >= 15])
    disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    order = sorted(range(len(rows)), key=lambda i: -abs(costed[i][1].cost - rows[i][1]) / rows[i][1])
    for i in order[: args.worst]:
        print(f"\nmeasured {rows[i][1]:.2f}, model {costed[i][1].cost:.2f}")
        for insn in disassembler.disasm(rows[i][0], 0):
            print(f"    {insn.mnemonic} {insn.op_str}")


if __name__ == "__main__":
    main()
