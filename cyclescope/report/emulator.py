# SPDX-License-Identifier: GPL-2.0-or-later
"""Blocks run beside blocks predicted: for a terminal, and as a document."""

from __future__ import annotations

from collections.abc import Mapping

from capstone import CS_ARCH_X86, CS_MODE_64, Cs
from rich.console import Console
from rich.table import Table

from cyclescope.experiments.validate.emulator import MAX_MEDIAN, MAX_P95, MODES, Agreement


def print_agreement(console: Console, result: Agreement, heading: str, worst: int) -> None:
    """A row a mode, what was left aside, and the blocks with the largest differences."""
    table = Table(title=heading, title_justify="left", show_edge=False, pad_edge=False)
    table.add_column("Mode", no_wrap=True)
    for name in ("Blocks", "Median difference", "Bound", "95 % within", "Bound", "Largest"):
        table.add_column(name, justify="right")
    for mode in MODES:
        found = result.of(mode)
        if not found:
            table.add_row(mode, "0", *["-"] * 5)
            continue
        most = max(abs(one.difference) for one in found)
        table.add_row(
            mode, f"{len(found):,}", f"{result.median(mode):.2%}", f"{MAX_MEDIAN:.0%}", f"{result.p95(mode):.2%}",
            f"{MAX_P95:.0%}", f"{most:.2%}",
        )  # fmt: skip
    console.print(table)
    left = ", ".join(f"{count:,} ({reason})" for reason, count in result.aside.items())
    console.print(f"Left aside: {left or 'none'} of {result.blocks:,} blocks", highlight=False, markup=False)
    decoder = Cs(CS_ARCH_X86, CS_MODE_64)
    chosen = sorted(result.compared, key=lambda one: -abs(one.difference))[:worst]
    if chosen:
        console.print(f"\nThe largest {len(chosen)}:", highlight=False)
    for one in chosen:
        console.print(
            f"\n{one.mode}: predicted {one.predicted:.2f}, emulated {one.emulated:.2f} ({one.difference:+.1%}): {one.code.hex()}",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
        for _, _, mnemonic, operands in decoder.disasm_lite(one.code, 0):
            console.print(f"    {mnemonic} {operands}".rstrip(), highlight=False, markup=False)


def agreement_document(result: Agreement, file: str, uarch: str, rows: Mapping[str, int]) -> dict[str, object]:
    """Differences are shares: 0.03 is 3 %."""
    modes = {
        mode: {"blocks": len(result.of(mode)), "median": result.median(mode), "p95": result.p95(mode)}
        for mode in MODES
        if result.of(mode)
    }
    return {
        "file": file, "uarch": uarch, "rows": dict(rows), "blocks": result.blocks, "aside": dict(result.aside),
        "bounds": {"median": MAX_MEDIAN, "p95": MAX_P95}, "holds": result.holds, "modes": modes,
        "per_block": [
            {"hex": one.code.hex(), "mode": one.mode, "predicted": one.predicted, "emulated": one.emulated}
            for one in result.compared
        ],
    }  # fmt: skip
