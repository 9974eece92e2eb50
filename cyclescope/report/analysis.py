# SPDX-License-Identifier: GPL-2.0-or-later
"""What `cyclescope asm` prints: the answer first, then why, instruction by instruction, then cycle by cycle."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cyclescope.asm.analysis import Analysis, Row
from cyclescope.asm.timeline import Lane, lanes
from cyclescope.report.tables import compact_table
from emu.core.prediction import Mode

WIDE = 108
"""Columns from which ports, latency and notes fit beside one another."""
ROWS = 24
"""Lines of a timeline when nobody says how many iterations."""
FULL, HIGH = 0.95, 0.7
_LETTERS = {"D": "bold blue", "=": "yellow", "e": "green", "E": "bold green", "-": "dim", "R": "magenta", ".": "dim"}
_WAYS = {Mode.LOOP: "as a loop, from the micro-op cache", Mode.UNROLLED: "unrolled, through the decoders"}


def print_analysis(console: Console, analysis: Analysis, timeline: int | None, *, by_uop: bool = False) -> None:
    """`timeline`: iterations to show; None: as many as fit a screen."""
    _answer(console, analysis)
    console.print(_bounds_table(analysis))
    console.print()
    _instructions(console, analysis)
    for note in analysis.notes:
        console.print(Text(f"Note: {note}", style="yellow"))
    if timeline is None:
        timeline = max(1, min(ROWS // max(1, len(analysis.rows)), analysis.iterations))
    if timeline:
        _timeline(console, analysis, timeline, by_uop)


def _answer(console: Console, analysis: Analysis) -> None:
    n, size = len(analysis.rows), len(analysis.body.code)
    console.print(
        Text(
            f"{analysis.uarch}: {n} instruction{'s' * (n != 1)}, {size} byte{'s' * (size != 1)} an iteration",
            style="dim",
        )
    )
    for mode in sorted(Mode, key=lambda m: m != analysis.mode):
        chosen = mode == analysis.mode
        line = Text(f"{analysis.cycles[mode]:9.2f}", style="bold cyan" if chosen else "dim")
        line.append(f" cycles per iteration {_WAYS[mode]}", style="bold" if chosen else "dim")
        console.print(line)
    console.print(
        Text(f"{analysis.ipc:9.2f}", style="bold").append(" instructions a cycle; ", style="not bold")
        .append(f"{analysis.slots:.2f}").append(" micro-ops issued, ", style="not bold")
        .append(f"{analysis.uops:.2f}").append(" executed", style="not bold")
    )  # fmt: skip
    console.print(Text("Bottleneck: ", style="bold").append(analysis.bottleneck.text, style="bold red"))
    if analysis.chain is not None:
        console.print(Text(f"{_chain_name(analysis)}: ", style="bold").append(_chain(analysis), style="not bold"))
    console.print()


def _chain_name(analysis: Analysis) -> str:
    return "Critical chain" if "chain" in analysis.bottleneck.keys else "Longest loop-carried chain"


def _chain(analysis: Analysis) -> str:
    chain = analysis.chain
    assert chain is not None
    numbers = analysis.chain_instructions
    shown = " -> ".join(map(str, numbers[:12])) + (" ..." if len(numbers) > 12 else "")
    spans = sum(edge.distance for edge in chain.edges)
    over = f" over {spans} iterations" if spans > 1 else ""
    return f"{float(chain.cycles):.2f} cycles an iteration through {shown}{over}"


def _bounds_table(analysis: Analysis) -> Table:
    table = compact_table("")
    table.add_column("What bounds it (cycles an iteration)", no_wrap=True)
    table.add_column("by itself", justify="right", no_wrap=True)
    table.add_column("without it", justify="right", no_wrap=True)
    cycles = analysis.per_iteration
    for bound in analysis.bounds:
        gains = cycles - bound.without > 0.005
        if bound.alone is None and not gains:
            continue
        style = "bold red" if bound.key in analysis.bottleneck.keys else ""
        alone = "" if bound.alone is None else f"{bound.alone:.2f}"
        table.add_row(
            bound.name, alone, f"{bound.without:.2f}" if gains else Text("no change", style="dim"), style=style
        )
    return table


def _instructions(console: Console, analysis: Analysis) -> None:
    if console.width >= WIDE:
        console.print(_wide(console, analysis))
    else:
        console.print(_narrow(console, analysis))
        console.print()
        console.print(_pressure(analysis))
    if any(row.critical for row in analysis.rows):
        console.print(Text(f"* on the {_chain_name(analysis).lower()}", style="red"))
    console.print(Text("Uops: fused, issued / executed. Lat: cycles to its result.", style="dim"))
    console.print(Text("TP: cycles an instruction, as measured by uops.info.", style="dim"))


def _head(console: Console, table: Table, share: int) -> None:
    table.add_column("", no_wrap=True, width=1)
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("Instruction", no_wrap=True, overflow="ellipsis", max_width=max(22, console.width * share // 100))
    table.add_column("Uops", justify="right", no_wrap=True)


def _first(row: Row) -> list[Text]:
    style = "bold" if row.critical else ""
    uops = f"{row.issued}/{row.uops}" if "macro-fused" not in row.notes else "-"
    return [
        Text("*" if row.critical else "", style="red"), Text(str(row.instruction.number), style="dim"),
        Text(row.instruction.text, style=style), Text(uops),
    ]  # fmt: skip


def _wide(console: Console, analysis: Analysis) -> Table:
    table = compact_table("")
    _head(console, table, 30)
    for port in analysis.ports:
        table.add_column(f"p{port}", justify="right", no_wrap=True)
    table.add_column("Lat", justify="right", no_wrap=True)
    table.add_column("TP", justify="right", no_wrap=True)
    table.add_column("Notes")
    for row in analysis.rows:
        table.add_row(
            *_first(row), *_port_cells(analysis, row.pressure), *_figures(row), Text(", ".join(row.notes), style="dim")
        )
    table.add_section()
    table.add_row(
        "",
        "",
        Text("an iteration", style="dim"),
        f"{analysis.slots:.0f}/{analysis.uops:.0f}",
        *_totals(analysis),
        "",
        "",
        "",
    )
    return table


def _narrow(console: Console, analysis: Analysis) -> Table:
    table = compact_table("")
    _head(console, table, 36)
    table.add_column("Lat", justify="right", no_wrap=True)
    table.add_column("TP", justify="right", no_wrap=True)
    table.add_column("Ports and notes", overflow="fold")
    for row in analysis.rows:
        words = [word for word in (row.ports, ", ".join(row.notes)) if word]
        table.add_row(*_first(row), *_figures(row), Text("; ".join(words), style="dim"))
    return table


def _pressure(analysis: Analysis) -> Table:
    table = compact_table("")
    table.add_column("#", justify="right", no_wrap=True)
    for port in analysis.ports:
        table.add_column(f"p{port}", justify="right", no_wrap=True)
    for row in analysis.rows:
        if row.pressure:
            table.add_row(Text(str(row.instruction.number), style="dim"), *_port_cells(analysis, row.pressure))
    table.add_section()
    table.add_row("", *_totals(analysis))
    return table


def _figures(row: Row) -> list[str]:
    if "macro-fused" in row.notes:
        return ["", ""]
    return ["" if row.latency is None else str(row.latency), "" if row.throughput is None else f"{row.throughput:.2f}"]


def _port_cells(analysis: Analysis, pressure: dict[int, float]) -> list[Text]:
    return [
        Text(f"{pressure[p]:.2f}") if pressure.get(p, 0) >= 0.005 else Text("-", style="dim") for p in analysis.ports
    ]


def _totals(analysis: Analysis) -> list[Text]:
    cells = []
    for port in analysis.ports:
        load = sum(row.pressure.get(port, 0.0) for row in analysis.rows)
        share = load / analysis.per_iteration if analysis.per_iteration else 0.0
        style = "bold red" if share >= FULL else "yellow" if share >= HIGH else "bold"
        cells.append(Text(f"{load:.2f}", style=style) if load >= 0.005 else Text("-", style="dim"))
    return cells


def _timeline(console: Console, analysis: Analysis, iterations: int, by_uop: bool) -> None:
    rows = lanes(analysis, iterations, by_uop=by_uop)
    labels = [_label(lane) for lane in rows]
    texts = [_words(analysis, lane) for lane in rows]
    if not rows:
        return
    left = max(map(len, labels)) + 2
    longest = max(len(lane.cells) for lane in rows)
    right = min(max(map(len, texts)), max(16, console.width // 3))
    room = max(20, console.width - left - right - 2)
    shown = min(longest, room)
    console.print()
    console.print(
        Text("Timeline", style="bold").append(
            "  D issued, = waiting, e executing, E done, - retiring, R retired", style="dim"
        )
    )
    tens = "".join(f"{c // 10 % 10}" if c % 10 == 0 else " " for c in range(shown))
    console.print(Text(" " * left + tens, style="dim"))
    console.print(Text(" " * left + "".join(str(c % 10) for c in range(shown)), style="dim"))
    cut = 0
    for lane, label, text in zip(rows, labels, texts, strict=True):
        if lane.cells.strip() and len(lane.cells) - len(lane.cells.lstrip()) >= shown:
            cut += 1
            continue
        cells = "".join("." if c == " " and i % 5 == 0 else c for i, c in enumerate(lane.cells[:shown].ljust(shown)))
        line = Text(label.ljust(left), style="dim")
        for cell in cells:
            line.append(cell, style=_LETTERS.get(cell, ""))
        row = analysis.rows[lane.row]
        line.append("  " + text[:right], style="bold" if row.critical else "not bold")
        console.print(line, no_wrap=True, overflow="crop")
    if longest > shown or cut:
        console.print(
            Text(f"Cut at cycle {shown} of {longest}: a wider terminal shows more, --json all of it.", style="dim")
        )


def _label(lane: Lane) -> str:
    return f"[{lane.iteration},{lane.row}]" if lane.uop < 0 else f"[{lane.iteration},{lane.row}.{lane.uop}]"


def _words(analysis: Analysis, lane: Lane) -> str:
    text = analysis.rows[lane.row].instruction.text
    return f"{text} (p{lane.port})" if lane.port >= 0 else text
