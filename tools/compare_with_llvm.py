# SPDX-License-Identifier: GPL-2.0-or-later
"""Holds a table of instruction forms against LLVM's scheduling model, the second source: micro-ops, latency, throughput.

    python tools/compare_with_llvm.py emu/uarch/skylake_sp.csv skylake-avx512 [--all]

LLVM's figures come from `llvm-mca -instruction-tables`; the newest llvm-mca on PATH is asked. Forms that LLVM cannot assemble are
counted. LLVM's latencies include the load's; so forms that read memory are compared by micro-ops and throughput alone.
"""

import argparse
import csv
import re
import sys
from collections import Counter
from pathlib import Path

from llvm_tables import ask, assembly

from cyclescope.experiments.validate.llvm_mca import HOW_TO_GET, find_llvm_mca


def main() -> int:
    """Exit code 0 whatever the tables say: which of them is right is for people to decide."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("cpu", help="LLVM's name of the processor")
    parser.add_argument("--all", action="store_true", help="differences of one cycle or micro-op too")
    args = parser.parse_args()
    tool = find_llvm_mca()
    if tool is None:
        print(HOW_TO_GET, file=sys.stderr)
        return 1
    with args.table.open(encoding="ascii", newline="") as f:
        rows = [row for row in csv.DictReader(line for line in f if not line.startswith("#")) if " " in row["form"]]
    spelled = [(row, text) for row in rows if (text := assembly(row["form"])) is not None]
    told = ask(tool.mca, args.cpu, [text for _, text in spelled])
    differ: Counter[str] = Counter()
    slack = 0 if args.all else 1
    for number, llvm in told.items():
        row, uops, latency, throughput = spelled[number][0], llvm.uops, llvm.latency, llvm.throughput
        ours = {"uops": _unfused(row), "latency": int(row["latency"]), "throughput": float(row["throughput"])}
        reads = re.search(r"\bm\d", row["form"]) is not None
        found = []
        if abs(ours["uops"] - uops) > slack:
            found.append(f"micro-ops {ours['uops']}, LLVM {uops}")
        if not reads and abs(ours["latency"] - latency) > slack:
            found.append(f"latency {ours['latency']}, LLVM {latency}")
        if abs(ours["throughput"] - throughput) > max(slack, 0.25 * throughput):
            found.append(f"throughput {ours['throughput']:g}, LLVM {throughput:g}")
        differ.update(text.split()[0] for text in found)
        if found:
            print(f"{row['form']}: {'; '.join(found)}")
    counts = ", ".join(f"{name} {n}" for name, n in sorted(differ.items())) or "none"
    print(f"{len(told)} of {len(rows)} forms compared with LLVM {tool.version}, {args.cpu}; differences: {counts}")
    return 0


def _unfused(row: dict[str, str]) -> int:
    """Micro-ops at the ports, which is what LLVM counts; a fused count where the table names no port."""
    return sum(int(part.split("*")[0]) for part in row["ports"].split("+") if part) or int(row["uops"])


if __name__ == "__main__":
    sys.exit(main())
