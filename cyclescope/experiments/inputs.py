# SPDX-License-Identifier: GPL-2.0-or-later
"""The files that a booted guest is a function of, and their hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from emu.loader.boot import BootSpec
from emu.uarch.table import HERE as TABLES


def input_files(spec: BootSpec, manifest: Path, uarch: str) -> dict[str, Path]:
    """Image, modules, manifest and processor table, by name."""
    files = (Path(spec.image), *(module.path for module in spec.modules), manifest, *TABLES.glob(f"{uarch}.*"))
    return {path.name: path for path in files}


def digests(files: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 of each, by name and in the order of names."""
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in sorted(files.items())}
