# SPDX-License-Identifier: GPL-2.0-or-later
"""The run directory: written beside its final name and moved there when whole, so that no half of one is ever seen."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from cyclescope.result import Host, Run
from emu.errors import ConfigError


def check_output(path: Path) -> None:
    """Raises ConfigError when `path` can't become a run directory: tells before the run, not after it."""
    if path.exists():
        raise ConfigError(f"{path}: exists already; give --out a new directory")
    parent = path.parent
    if not parent.is_dir():
        raise ConfigError(f"{parent}: is not a directory; create it, or give --out another place")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise ConfigError(f"{parent}: is not writable; give --out another place")


@contextmanager
def run_directory(path: Path) -> Iterator[Path]:
    """A temporary directory that becomes `path` when the block ends well, and vanishes when it does not."""
    check_output(path)
    try:
        partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise ConfigError(f"{path.parent}: cannot write there ({error.strerror}); give --out another place") from error
    try:
        yield partial
        partial.chmod(0o755)
        partial.rename(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); give --out another place") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    """Sorted keys, two-space indent, one newline at the end: the same bytes for the same value."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=2) + b"\n")


def write_requests(path: Path, run: Run) -> None:
    """requests.npz: one column an array (`start_ps`, `latency_ps`, then each part by name), uncompressed, fixed dates."""
    columns = {"start_ps": run.start_ps, "latency_ps": run.latency_ps}
    columns.update({name: np.ascontiguousarray(run.parts_ps[:, i]) for i, name in enumerate(run.part_names)})
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **columns)  # zip members carry 1980-01-01, so bytes repeat


def write_flame(path: Path, run: Run) -> None:
    """Collapsed stacks, one a line: `personality;component;symbol cycles`, as flame graph tools read them."""
    lines = [
        f"{run.personality};{component};{symbol} {cycles}" for component, symbol, cycles, _ in run.symbols if cycles
    ]
    path.write_text("".join(line + "\n" for line in sorted(lines)))


def host_document(runs: list[Run], hosts: list[Host]) -> dict[str, Any]:
    """host.json: wall time, MIPS, memory; differs from run to run."""
    return {
        run.personality: {
            "wall_s": round(host.wall_s, 3),
            "cpu_s": round(host.cpu_s, 3),
            "mips": round(host.mips, 1),
            "python_us_per_packet": round(host.packet_us, 1),
            "peak_mib": round(host.peak_mib, 1),
        }
        for run, host in zip(runs, hosts, strict=True)
    }
