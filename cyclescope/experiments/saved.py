# SPDX-License-Identifier: GPL-2.0-or-later
"""Booted machines in files: boot once, start any number of experiments from there.

A snapshot is taken at the functional level when the program is ready, so it serves every timing level. What it is of
(`About`) comes from the file, so it is checked like the rest; no path in it is ever opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cyclescope.config import Hardware
from cyclescope.experiments.inputs import digests, input_files
from cyclescope.experiments.phases import Progress, no_progress
from cyclescope.experiments.testbed import Testbed
from emu.errors import BadSnapshot, ConfigError
from emu.loader.boot import BootSpec
from emu.snapshot import SavedWorld, about_as
from emu.state import Data, State, plain
from emu.uarch.table import HERE as TABLES
from personalities.base import Personality, get_personality


class About(State):
    """What a snapshot is of: the inputs that made it, by name and SHA-256."""

    personality: str
    program: str
    arguments: list[str]
    image: str
    cmdline: str
    program_cpl: int
    hardware: Data
    inputs: dict[str, str]


@dataclass(frozen=True)
class Start:
    """A snapshot and what a testbed for it is built from."""

    personality: Personality
    hardware: Hardware
    spec: BootSpec
    saved: SavedWorld
    arguments: tuple[str, ...]
    inputs: dict[str, str]


def inputs_of(personality: Personality, spec: BootSpec, hardware: Hardware) -> dict[str, str]:
    """The hashes of what a booted machine was made from."""
    return digests(input_files(spec, spec.manifest or personality.manifest_path, hardware.uarch))


def save_booted(
    personality: Personality,
    hardware: Hardware,
    spec: BootSpec,
    program: str,
    arguments: Sequence[str],
    path: Path,
    progress: Progress = no_progress,
) -> int:
    """Boot `spec` (that program on that personality) until it is ready, and save it; the file's size.

    Raises:
        ConfigError: a bad option or image, a program that is a file of the user's, or a file that cannot be written.
        GuestError: the guest crashed or hung.
    """
    if personality.code_is_early and "/" in program:  # open_saved looks for it by name, and opens no path in a snapshot
        raise ConfigError(
            f"{program}: a snapshot of {personality.name} holds one of its own programs only; give the name of one, such as kvd"
        )
    about = About(
        personality.name, program, list(arguments), spec.image.name, spec.cmdline, spec.program_cpl,
        msgspec.to_builtins(hardware), inputs_of(personality, spec, hardware),
    )  # fmt: skip
    with Testbed(hardware, personality, spec, timing="functional") as bed:
        bed.boot(progress)
        progress(f"{personality.name}: saving", 0, 0)
        return bed.save(plain(about)).write(path)


def open_saved(path: Path) -> Start:
    """Read a snapshot of a booted machine.

    Raises:
        BadSnapshot: it is damaged, forged, or was made from other files than there are now.
        ConfigError: it cannot be read, or its personality is not there.
    """
    saved = SavedWorld.read(path)
    about = about_as(About, saved.about)
    try:
        hardware = msgspec.convert(about.hardware, Hardware)
    except (msgspec.ValidationError, RecursionError) as error:
        raise BadSnapshot(f"{path}: its hardware: {error}") from None
    hardware.check()
    personality = get_personality(about.personality)
    if personality.code_is_early:
        if "/" in about.program:
            raise BadSnapshot(f"{path}: its program cannot be {about.program!r}")
        spec = personality.prepare(about.program, about.arguments)
    else:
        spec = BootSpec(
            Path(Path(about.image).name), about.cmdline, manifest=personality.manifest_path, program_cpl=about.program_cpl
        )
    _check_inputs(path, about, personality, spec, hardware)
    return Start(personality, hardware, spec, saved, tuple(about.arguments), about.inputs)


def _check_inputs(path: Path, about: About, personality: Personality, spec: BootSpec, hardware: Hardware) -> None:
    """What a run from here still reads has to be what the snapshot was made with."""
    if not any(TABLES.glob(f"{hardware.uarch}.*")):
        raise ConfigError(f"{path}: there is no processor table {hardware.uarch!r}")
    needed = spec if personality.code_is_early else BootSpec(spec.manifest or personality.manifest_path, manifest=spec.manifest)
    for name, digest in inputs_of(personality, needed, hardware).items():
        if about.inputs.get(name) != digest:
            raise BadSnapshot(f"{path}: it was taken with another {name}; take the snapshot again")
    if spec.cmdline != about.cmdline or spec.program_cpl != about.program_cpl:
        raise BadSnapshot(f"{path}: it was taken with another command line; take the snapshot again")
