# SPDX-License-Identifier: GPL-2.0-or-later
"""Measured basic blocks and who predicts them how well: for a terminal, and as a document."""

from __future__ import annotations

from collections.abc import Mapping

from capstone import CS_ARCH_X86, CS_MODE_64, Cs
from rich.console import Console
from rich.table import Table

from cyclescope.experiments.validate.blockfile import MeasuredBlock
from cyclescope.experiments.validate.blocks import BlockResult, Predictor


def print_blocks(console: Console, result: BlockResult, heading: str, worst: int) -> None:
    """One row a predictor, then the blocks that ours is most wrong on, disassembled."""
    table = Table(title=heading, title_justify="left", show_edge=False, pad_edge=False)
    table.add_column("Predictor", no_wrap=True)
    for name in ("Blocks", "Mean error (MAPE)", "Median error", "Kendall's tau", "Failed"):
        table.add_column(name, justify="right")
    for one in result.predictors:
        if one.accuracy is not None:
            tau = "-" if one.accuracy.tau is None else f"{one.accuracy.tau:.3f}"
            mape, median = f"{one.accuracy.mape:.2%}", f"{one.accuracy.median:.2%}"
            table.add_row(one.name, f"{len(result.blocks):,}", mape, median, tau, f"{one.failed:,}")
        else:
            table.add_row(one.name, "-", "-", "-", "-", "-")
    console.print(table)
    console.print("A block that a predictor cannot decode or analyse counts as 100 % wrong.", highlight=False)
    for one in result.predictors:
        if one.missing:
            console.print(one.missing, highlight=False, markup=False)
    if result.uncosted:
        console.print(f"{result.uncosted:,} instructions have no row in the table: its defaults", highlight=False)
    _print_worst(console, result, worst)


def _print_worst(console: Console, result: BlockResult, worst: int) -> None:
    ours = result.predictors[0].cycles
    errors = [abs(p - block.measured) / block.measured for p, block in zip(ours, result.blocks, strict=True)]
    decoder = Cs(CS_ARCH_X86, CS_MODE_64)
    chosen = sorted(range(len(errors)), key=lambda i: -errors[i])[:worst]
    if chosen:
        console.print(f"\nThe worst {len(chosen)}:", highlight=False)
    for i in chosen:
        block = result.blocks[i]
        console.print(f"\nmeasured {block.measured:.2f}, predicted {ours[i]:.2f} ({errors[i]:.0%} off): {block.code.hex()}",
                      highlight=False, soft_wrap=True)  # fmt: skip
        for _, _, mnemonic, operands in decoder.disasm_lite(block.code, 0):
            console.print(f"    {mnemonic} {operands}".rstrip(), highlight=False, markup=False)
        if block.instructions is None:
            console.print("    (bytes that are no instruction)")


def blocks_document(result: BlockResult, file: str, uarch: str, rows: Mapping[str, int]) -> dict[str, object]:
    """Errors are shares: 0.09 is 9 %."""
    ours = result.predictors[0]
    return {
        "file": file,
        "uarch": uarch,
        "rows": dict(rows),
        "blocks": len(result.blocks),
        **_figures(ours),
        "uncosted": result.uncosted,
        "per_block": [_one(block, cycles) for block, cycles in zip(result.blocks, ours.cycles, strict=True)],
        "baselines": {one.key: {"name": one.name, **_figures(one)} for one in result.predictors[1:]},
    }


def _figures(one: Predictor) -> dict[str, object]:
    if one.accuracy is None:
        return {"missing": one.missing}
    return {"mape": one.accuracy.mape, "median": one.accuracy.median, "tau": one.accuracy.tau, "failed": one.failed}


def _one(block: MeasuredBlock, predicted: float) -> dict[str, object]:
    return {"hex": block.code.hex(), "predicted": predicted, "measured": block.measured}
