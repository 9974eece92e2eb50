# SPDX-License-Identifier: GPL-2.0-or-later
"""`--from`: starting from snapshots, and the options that these have decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import typer

from cyclescope.config import DEFAULT_LOCKS
from cyclescope.experiments.saved import Start, open_saved
from emu.errors import ConfigError

SHAPE = {
    "personality": "--personality", "cpus": "--cpus", "mem": "--mem", "uarch": "--uarch", "set_rows": "--set", "net": "--net",
}  # fmt: skip


def given(context: typer.Context, options: Mapping[str, str]) -> str | None:
    """The first option (parameter: option) that stands on the command line."""
    for name, option in options.items():
        if (source := context.get_parameter_source(name)) is not None and source.name == "COMMANDLINE":
            return option
    return None


def refuse_decided(context: typer.Context, decided: Mapping[str, str]) -> None:
    """Raises ConfigError for an option that was given though a snapshot has decided it."""
    if option := given(context, decided):
        raise ConfigError(f"{option} and --from exclude each other: the snapshot says what machine it is")


def starts_of(files: str) -> list[Start]:
    """`--from A,B`. Raises ConfigError unless they are of different personalities on the same hardware, with the same locks."""
    starts = [open_saved(Path(file)) for file in files.split(",")]
    first = starts[0]
    for file, start in zip(files.split(","), starts, strict=True):
        if start.hardware != first.hardware or locks_in([start]) != locks_in([first]):
            raise ConfigError(f"{file}: its hardware or locks are not those of {files.split(',')[0]}; take both alike")
    return starts


def locks_in(starts: Sequence[Start]) -> str:
    """kvd's locks in a snapshot."""
    words = starts[0].arguments
    return words[words.index("--locks") + 1] if "--locks" in words[:-1] else DEFAULT_LOCKS
