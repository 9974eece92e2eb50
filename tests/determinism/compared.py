# SPDX-License-Identifier: GPL-2.0-or-later
"""Small comparisons for tests, through the console script's own function."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from cyclescope.cli import run_cli

HOST = "host.json"  # wall time and MIPS: the one file that may differ
PERSONALITIES = ["libos", "linux_like"]
LEVELS = ["functional", "fast", "detailed"]
RUNS = [(name, level) for name in PERSONALITIES for level in LEVELS]


def arguments(personality: str, *options: str, requests: int = 300) -> list[str]:
    """`compare` of one personality; each test adds the options it is about."""
    return ["compare", "--personality", personality, "--requests", str(requests), "--warmup", "50", "--quiet", *options]


def compare_into(folder: Path, personality: str, *options: str) -> Path:
    """A run directory in `folder`, which must not exist."""
    assert run_cli([*arguments(personality, *options), "--out", str(folder)]) == 0
    return folder


def compare_json(file: Path, personality: str, *options: str, requests: int) -> dict[str, Any]:
    """The document's only run."""
    assert run_cli([*arguments(personality, *options, requests=requests), "--json", str(file)]) == 0
    (run,) = msgspec.json.decode(file.read_bytes())["runs"]
    return dict(run)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a run directory but HOST, by its name in there."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    del files[HOST]
    return files
