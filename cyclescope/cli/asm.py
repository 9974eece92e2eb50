# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope asm`: assemble, list with costs, run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cyclescope.asm.flat import assemble
from cyclescope.asm.listing import Listed, listing
from cyclescope.asm.runner import Ran, run_code
from cyclescope.cli.options import Json, Uarch, check_json_option, write_json_option
from emu.errors import ConfigError

REGISTERS = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", *(f"r{n}" for n in range(8, 16)))


def add_to(app: typer.Typer) -> None:
    app.command("asm", help="Assemble x86-64 code, list it with its costs, and run it.")(command)


def command(
    code: Annotated[str | None, typer.Argument(help="Assembly; ';' separates instructions.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="Read the assembly from a file.")] = None,
    hex_code: Annotated[str | None, typer.Option("--hex", help="Machine code in hexadecimal instead.")] = None,
    att: Annotated[bool, typer.Option("--att", help="AT&T syntax.")] = False,
    uarch: Uarch = "skylake_sp",
    run: Annotated[bool, typer.Option("--run/--no-run", help="Run it.")] = True,
    json: Json = None,
) -> int:
    """Exit code 3 when the code faults."""
    check_json_option(json)
    machine_code = _machine_code(code, file, hex_code, att)
    listed = listing(machine_code, uarch)
    ran = run_code(machine_code, uarch) if run else None
    if json is not None:
        write_json_option(json, _document(listed, ran))
    if json != "-":
        _print(listed, ran)
    return ran.exit_code if ran is not None else 0


def _machine_code(code: str | None, file: Path | None, hex_code: str | None, att: bool) -> bytes:
    if sum(source is not None for source in (code, file, hex_code)) != 1:
        raise ConfigError("asm: give the code, --file or --hex, and only one of them")
    if hex_code is not None:
        try:
            found = bytes.fromhex(hex_code)
        except ValueError as error:
            raise ConfigError(f"asm: --hex {hex_code!r}: {error}") from error
        if not found:
            raise ConfigError("asm: --hex holds no instruction")
        return found
    if file is not None:
        try:
            code = file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file}: cannot be read as text ({error})") from error
    assert code is not None
    return assemble(code, att=att)


def _document(listed: list[Listed], ran: Ran | None) -> dict[str, object]:
    return {
        "instructions": [
            {"address": i.address, "hex": i.code.hex(), "text": i.text, "cycles": i.cycles, "block": i.block}
            for i in listed
        ],
        "run": None
        if ran is None
        else {
            "exit_code": ran.exit_code,
            "message": ran.message,
            "cycles": ran.cycles,
            "instructions": ran.instructions,
            "registers": ran.registers,
        },
    }


def _print(listed: list[Listed], ran: Ran | None) -> None:
    console = Console(highlight=False, markup=False, soft_wrap=True)
    table = Table(show_edge=False, pad_edge=False)
    for name in ("Address", "Code", "Instruction"):
        table.add_column(name, no_wrap=True)
    table.add_column("Cycles", justify="right")
    for item in listed:
        table.add_row(
            f"{item.address:#x}", item.code.hex(), Text(item.text), f"{item.cycles:.2f}", end_section=item.ends_block
        )
    console.print(table)
    console.print("Cycles: what each instruction adds to its block's static cost at the fast level.", style="dim")
    if ran is None:
        return
    if ran.message:
        console.print(ran.message)
    console.print(f"Ran {ran.instructions:,} instructions in {ran.cycles:,} cycles")
    changed = [f"{name}={ran.registers[name]:#x}" for name in REGISTERS if ran.registers[name]]
    console.print("  ".join(changed))
