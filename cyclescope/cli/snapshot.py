# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope snapshot`: boot once, save the booted machine, start experiments from it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from cyclescope.cli.expand import expanded
from cyclescope.cli.options import Quiet, Shape, check_json_option, locks_of
from cyclescope.cli.progress import shown
from cyclescope.config import Hardware
from cyclescope.experiments.compare import PROGRAM, server_arguments
from cyclescope.experiments.saved import save_booted
from emu.errors import ConfigError
from emu.loader.boot import BootSpec
from personalities.base import Personality, get_personality


def add_to(app: typer.Typer) -> None:
    app.command(
        "snapshot",
        help="Boot a personality until its program is ready and save the machine; `replay --from FILE` goes on from there.",
    )(command)


@expanded
def command(
    file: Annotated[Path, typer.Argument(help="The snapshot to write.")],
    program: Annotated[
        list[str] | None, typer.Argument(help="PROGRAM ARGS, behind --; default: kvd, with a worker for each vCPU.")
    ] = None,
    personality: Annotated[str, typer.Option("--personality", help="Name.")] = "linux_like",
    shape: Shape = Shape(),
    locks: Annotated[
        str | None, typer.Option("--locks", help="kvd's hash table: striped or global lock; as compare gives it.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Checks every option, and that the file can be written, before the guest boots."""
    hardware = shape.hardware()
    chosen = get_personality(personality)
    if locks is not None and program:
        raise ConfigError("--locks is for kvd: leave it out, or the program")
    words = ["--locks", locks_of(locks)] if locks is not None else []
    if locks is not None and chosen.server != PROGRAM:
        raise ConfigError(f"--locks is kvd's; {chosen.name} serves with {chosen.server}")
    name, *arguments = program or [chosen.server, *server_arguments(chosen, hardware), *words]
    take(chosen, hardware, chosen.prepare(name, arguments), name, arguments, file, quiet=quiet)


def take(
    personality: Personality,
    hardware: Hardware,
    spec: BootSpec,
    program: str,
    arguments: list[str],
    file: Path,
    *,
    quiet: bool,
) -> None:
    """Boots, saves, and says how long that took."""
    check_json_option(str(file), "snapshot")
    begun = time.perf_counter()
    with shown(quiet) as progress:
        size = save_booted(personality, hardware, spec, program, arguments, file, progress)
    took = time.perf_counter() - begun
    print(f"{file}: {personality.name} with {program}, booted and saved in {took:.1f} s ({size / 1e6:.1f} MB).")
