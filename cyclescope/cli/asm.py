# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope asm`: how fast a piece of code runs, and why; and, if asked, run it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cyclescope.asm.analysis import analyse
from cyclescope.asm.assembler import assemble
from cyclescope.asm.body import Body, body_of
from cyclescope.asm.document import document
from cyclescope.asm.runner import Ran, run_code
from cyclescope.cli.options import Json, Uarch, check_json_option, write_json_option
from cyclescope.experiments.machines import level_of
from cyclescope.report.analysis import print_analysis
from emu.core.binding import BLOCK_FILL
from emu.core.prediction import Mode
from emu.errors import ConfigError, NotModelled
from emu.uarch.table import load as load_table

REGISTERS = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", *(f"r{n}" for n in range(8, 16)))
MODES = {"loop": Mode.LOOP, "unrolled": Mode.UNROLLED}  # auto: by whether the code ends in its own branch
MAX_ITERATIONS = 10_000
MAX_FILE_BYTES = 1 << 20


def add_to(app: typer.Typer) -> None:
    app.command("asm", help="Say how fast x86-64 code runs, and why: bounds, ports, critical chain, timeline.")(command)


def command(
    code: Annotated[
        str | None, typer.Argument(help="Assembly; ';' separates instructions. - reads standard input.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="Read the assembly from a file; - is standard input.")
    ] = None,
    hex_code: Annotated[str | None, typer.Option("--hex", help="Machine code in hexadecimal instead.")] = None,
    att: Annotated[bool, typer.Option("--att", help="AT&T syntax.")] = False,
    uarch: Uarch = "skylake_sp",
    mode: Annotated[
        str,
        typer.Option(
            "--mode",
            help="loop: from the micro-op cache; unrolled: decoded each time; auto: loop if the code ends in its own branch.",
        ),
    ] = "auto",
    iterations: Annotated[
        int,
        typer.Option("--iterations", help="Iterations to run, the second half counts; 0 is enough for a steady state."),
    ] = 0,
    fill: Annotated[str, typer.Option("--fill", help="What all general registers hold at first.")] = hex(BLOCK_FILL),
    timeline: Annotated[
        int | None,
        typer.Option("--timeline", help="Iterations in the timeline; 0 for none.", show_default="a screenful"),
    ] = None,
    uops: Annotated[bool, typer.Option("--uops", help="A line for every micro-op in the timeline.")] = False,
    run: Annotated[
        bool, typer.Option("--run", help="Also run it, in an emulated machine, and show the registers.")
    ] = False,
    timing: Annotated[str, typer.Option("--timing", help="Timing level of --run.")] = "detailed",
    json: Json = None,
) -> int:
    """Exit code 3 when --run's code faults."""
    check_json_option(json)
    if mode not in (*MODES, "auto"):
        raise ConfigError(f"--mode is {mode!r}: give loop, unrolled or auto")
    if iterations and not 10 <= iterations <= MAX_ITERATIONS:
        raise ConfigError(f"--iterations is {iterations}: give 10 to {MAX_ITERATIONS:,}, or 0")
    if timeline is not None and not 0 <= timeline <= MAX_ITERATIONS:
        raise ConfigError(f"--timeline is {timeline}: give 0 to {MAX_ITERATIONS:,} iterations")
    level, registers = level_of(timing), _fill(fill)
    load_table(uarch)
    machine_code = _machine_code(code, file, hex_code, att)
    body = body_of(machine_code, att=att)
    if run:
        _check_runs(body)
    how = MODES.get(mode, Mode.LOOP if body.loop else Mode.UNROLLED)
    analysis = analyse(body, uarch, how, iterations=iterations, fill=registers)
    ran = run_code(machine_code, uarch, level) if run else None
    if json is not None:
        write_json_option(json, document(analysis, ran))
    if json != "-":
        console = Console(highlight=False, markup=False)
        print_analysis(console, analysis, timeline, by_uop=uops)
        if ran is not None:
            _print_run(console, ran, timing)
    return ran.exit_code if ran is not None else 0


def _fill(text: str) -> int:
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if not 0 <= value < 1 << 64:
        raise ConfigError(f"--fill is {text!r}: give a number of 64 bits, such as {BLOCK_FILL:#x}")
    return value


def _machine_code(code: str | None, file: Path | None, hex_code: str | None, att: bool) -> bytes:
    if sum(source is not None for source in (code, file, hex_code)) != 1:
        raise ConfigError("asm: give the code, --file or --hex, and only one of them")
    if hex_code is not None:
        try:
            found = bytes.fromhex(hex_code)
        except ValueError as error:
            raise ConfigError(f"asm: --hex {hex_code[:60]!r}: {error}") from error
        if not found:
            raise ConfigError("asm: --hex holds no instruction")
        return found
    if file is not None or code == "-":
        code = _text(file if file is not None else Path("-"))
    assert code is not None
    return assemble(code, att=att)


def _text(file: Path) -> str:
    try:
        if str(file) == "-":
            raw = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        else:
            with file.open("rb") as source:
                raw = source.read(MAX_FILE_BYTES + 1)
        if len(raw) > MAX_FILE_BYTES:
            raise ConfigError(f"{file}: more than {MAX_FILE_BYTES:,} bytes of assembly")
        return raw.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read as text ({error})") from error


def _check_runs(body: Body) -> None:
    for instruction in (*body.left_out, *body.instructions):
        if instruction.needs:
            raise NotModelled(
                f"asm: --run cannot run instruction {instruction.number} ({instruction.text}): it needs {instruction.needs}, "
                "which the emulated processor lacks; leave --run out to analyse it"
            )


def _print_run(console: Console, ran: Ran, timing: str) -> None:
    console.print()
    if ran.message:
        console.print(ran.message, style="red")
    console.print(
        f"Ran {ran.instructions:,} instructions in {ran.cycles:,} cycles ({timing} level, cold caches)", soft_wrap=True
    )
    changed = [f"{name}={ran.registers[name]:#x}" for name in REGISTERS if ran.registers[name]]
    console.print("  ".join(changed), soft_wrap=True)
