# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a whole program's cycles went, by component; no request is followed."""

from __future__ import annotations

from rich.console import Console

from cyclescope.report.tables import compact_table
from cyclescope.report.terminal import print_unmapped
from cyclescope.result import Run


def print_program(console: Console, run: Run, timing: str) -> None:
    """Components by cycles, all vCPUs, from the program's first instruction to its end; idling apart."""
    vcpus = len(run.vcpu_cycles)
    table = compact_table(f"{run.title}: busy cycles by component, {vcpus} vCPU{'s' if vcpus > 1 else ''}, {timing}")
    table.add_column("Component", no_wrap=True)
    for name in ("cycles", "share", "largest causes"):
        table.add_column(name, justify="left" if name == "largest causes" else "right", no_wrap=True)
    busy = max(1, run.busy_cycles)
    for component, cycles in run.component_cycles().items():
        if component == "idle":
            continue
        causes = sorted(run.cycles[component].items(), key=lambda item: (-item[1], item[0]))
        named = ", ".join(f"{cause} {100 * part / cycles:.0f} %" for cause, part in causes[:3] if part)
        table.add_row(component, f"{cycles:,}", f"{100 * cycles / busy:.1f} %", named)
    console.print(table, markup=False)
    console.print(
        f"{run.busy_cycles:,} busy cycles and {run.busy_instructions:,} instructions;"
        f" {max(run.vcpu_cycles, default=0):,} cycles from its first instruction to its end",
        highlight=False,
    )
    print_unmapped(console, run)
