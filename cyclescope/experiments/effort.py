# SPDX-License-Identifier: GPL-2.0-or-later
"""Effort against utility: what each port of a program took, and what it gives, under one load.

A file lists the ports; the first is the base. Effort is counted from the sources (`sources.py` has the rule), utility is
measured as `compare` does.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from cyclescope.config import DEFAULT_TIMING, Hardware, Load, config_hash
from cyclescope.experiments.compare import compare, server
from cyclescope.experiments.phases import Progress, no_progress
from cyclescope.experiments.sources import Kept, Lines, Size, compare_sources, count, expand, image_size, kept_functions
from cyclescope.result import Outcome
from emu.errors import ConfigError
from personalities.base import Knob, Personality, Tuned, get_personality


class PortSpec(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One `[[port]]` of the file."""

    name: str
    personality: str
    sources: list[str]
    """Of the program, whole: what this port compiles, shared or not. Patterns, from the file's folder."""
    layer: list[str] = []
    """What lies between it and the system, written once for all such ports."""
    system: list[str] = []
    keys: dict[str, str] = {}
    """Words for the kernel's command line."""


class PortsFile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The whole file."""

    title: str
    port: list[PortSpec]


@dataclass(frozen=True)
class Port:
    """A port, its effort counted."""

    name: str
    personality: Personality
    lines: Lines
    layer: int
    system: int


@dataclass(frozen=True)
class Measured:
    """A port with its image's size and what came out."""

    port: Port
    size: Size
    kept: Kept
    outcome: Outcome


def read_ports(path: Path) -> tuple[str, list[Port]]:
    """The file's title and ports, their sources counted. Raises ConfigError, with one sentence, for whatever is wrong with it."""
    try:
        found = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), PortsFile)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}.") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}.") from error
    except RecursionError:
        raise ConfigError(f"{path}: is no TOML: brackets are nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError, UnicodeDecodeError, a number of thousands of digits
        raise ConfigError(f"{path}: is no TOML: {error}.") from error
    names = [spec.name for spec in found.port]
    if len(names) < 2 or len(set(names)) != len(names):
        raise ConfigError(f"{path}: give a base and one port or more, each with a name of its own.")
    folder = path.resolve().parent
    base: tuple[Path, ...] = ()
    ports = []
    for spec in found.port:
        where = f"{path}: port {spec.name!r}"
        sources = expand(folder, spec.sources, where)
        base = base or sources
        ports.append(
            Port(
                spec.name, _named(spec, where), compare_sources(base, sources), count(expand(folder, spec.layer, where)),
                count(expand(folder, spec.system, where)),
            )
        )  # fmt: skip
    return found.title, ports


def _named(spec: PortSpec, where: str) -> Personality:
    """The personality, under the port's name, with its words."""
    name, _, rest = spec.personality.partition("+")
    try:
        get_personality(spec.personality)  # its knobs, too
        plain = get_personality(name)
        base, server_name = (plain.base, plain.server) if isinstance(plain, Tuned) else (plain, "")
        tuned = Tuned(base, rest.split("+") if rest else [], server_name)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    tuned.turned.append(Knob(spec.name, spec.keys))
    tuned.name = spec.name
    return tuned


def measure_ports(
    ports: Sequence[Port], hardware: Hardware, load: Load, *, timing: str = DEFAULT_TIMING, progress: Progress = no_progress
) -> tuple[str, list[Measured]]:
    """The configuration's hash, and each port under the same requests at the same times; capacity is each one's own.

    Raises ConfigError, GuestError: as `compare`.
    """
    specs = [server(port.personality, hardware, load) for port in ports]
    files = [[spec.image, *spec.programs] for spec in specs]
    sizes = [image_size(each) for each in files]
    kept = [kept_functions(files[0], each) for each in files]
    _, outcomes = compare([port.personality for port in ports], hardware, load, timing=timing, progress=progress)
    digest = config_hash(hardware, load, timing, "effort", *(port.name for port in ports))
    return digest, [
        Measured(port, size, same, replace(outcome, run=replace(outcome.run, config_hash=digest)))
        for port, size, same, outcome in zip(ports, sizes, kept, outcomes, strict=True)
    ]
