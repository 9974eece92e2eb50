# SPDX-License-Identifier: GPL-2.0-or-later
"""The run directory: written beside its final name and moved there when whole, so that no half of one is ever seen."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from cyclescope.experiments.seeds import Repetition
from cyclescope.report.flame import flame_graph
from cyclescope.result import Host, Outcome, Run
from emu.errors import ConfigError
from emu.ledger.components import CAUSES
from nic.sinks.pcapng import PcapngWriter


def check_output(path: Path) -> None:
    """Raises ConfigError when `path` can't become a run directory: tells before the run, not after it."""
    if path.exists():
        raise ConfigError(f"{path}: exists already; give --out a new directory")
    parent = path.parent
    if not parent.is_dir():
        raise ConfigError(f"{parent}: is not a directory; create it, or give --out another place")
    try:  # permission bits do not tell: read-only mounts, /proc
        os.rmdir(tempfile.mkdtemp(prefix=f".{path.name}.", dir=parent))
    except OSError as error:
        raise ConfigError(f"{parent}: is not writable ({error.strerror}); give --out another place") from error


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
    """requests.npz: one column an array (times, each part by name, `cycles.CAUSE`), uncompressed, fixed dates."""
    columns = {"token": run.tokens, "start_ps": run.start_ps, "latency_ps": run.latency_ps}
    columns.update({name: np.ascontiguousarray(run.parts_ps[:, i]) for i, name in enumerate(run.part_names)})
    if run.request_cycles.any():
        columns.update({f"cycles.{cause}": run.request_cycles[:, i].copy() for i, cause in enumerate(CAUSES)})
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **columns)  # zip members carry 1980-01-01, so bytes repeat


def host_document(runs: list[Run], hosts: list[Host]) -> dict[str, Any]:
    """host.json: wall time, MIPS, memory; differs from run to run."""
    return {
        run.personality: {
            "wall_s": round(host.wall_s, 3),
            "cpu_s": round(host.cpu_s, 3),
            "mips": round(host.mips, 1),
            "events": host.events,
            "peak_mib": round(host.peak_mib, 1),
        }
        for run, host in zip(runs, hosts, strict=True)
    }


def write_run_directory(path: Path, document: dict[str, Any], outcomes: Sequence[Outcome]) -> None:
    """Everything of a comparison: summary.json, host.json, and for each personality requests, wire and flame stacks."""
    with run_directory(path) as partial:
        write_json(partial / "summary.json", {**document, "versions": versions()})
        _write_outcomes(partial, outcomes)


def write_seeds_directory(path: Path, document: dict[str, Any], repetitions: Sequence[Repetition]) -> None:
    """summary.json over all seeds, and a folder `seed-N` for each, like a single comparison's but for its summary."""
    with run_directory(path) as partial:
        write_json(partial / "summary.json", {**document, "versions": versions()})
        for repetition in repetitions:
            folder = partial / f"seed-{repetition.load.seed}"
            folder.mkdir()
            _write_outcomes(folder, repetition.outcomes)


def write_experiment_directory(path: Path, document: dict[str, Any], pictures: Mapping[str, str]) -> None:
    """An experiment that keeps no requests: summary.json, and its pictures by name."""
    with run_directory(path) as partial:
        write_json(partial / "summary.json", {**document, "versions": versions()})
        for name, text in pictures.items():
            (partial / name).write_text(text)


def _write_outcomes(place: Path, outcomes: Sequence[Outcome]) -> None:
    write_json(place / "host.json", host_document([o.run for o in outcomes], [o.host for o in outcomes]))
    for outcome in outcomes:
        folder = place / outcome.run.personality
        folder.mkdir()
        write_requests(folder / "requests.npz", outcome.run)
        (folder / "flame.collapsed").write_text(outcome.run.flame)
        if outcome.run.profile is not None:
            (folder / "stacks.folded").write_text(outcome.run.profile.folded())
            title = f"{outcome.run.personality}: busy cycles by call stack"
            (folder / "stacks.svg").write_text(flame_graph(outcome.run.profile, title, outcome.run.latency_ps.size))
        write_wire(folder / "wire.pcapng", outcome)


def write_wire(path: Path, outcome: Outcome) -> None:
    """The client's frames, nanosecond times; the last datagram of each answer carries its request's breakdown."""
    run = outcome.run
    last = {frame.token: i for i, (_, direction, frame) in enumerate(outcome.wire) if direction == "rx" and frame.token}
    rows = {int(token): row for row, token in enumerate(run.tokens)}
    with path.open("wb") as file, PcapngWriter(file) as writer:
        for number, (time_ps, direction, frame) in enumerate(outcome.wire):
            row = rows.get(frame.token) if last.get(frame.token) == number else None
            comment = "" if row is None else _breakdown(run, row)
            writer.write(time_ps, frame.data, comment, direction)


def _breakdown(run: Run, row: int) -> str:
    parts = run.parts_ps[row]
    listed = ", ".join(f"{name} {int(parts[i]) / 1e6:.3f}" for i, name in enumerate(run.part_names) if parts[i])
    return f"request {int(run.tokens[row])}: latency {int(run.latency_ps[row]) / 1e6:.3f} us = {listed}"


def versions() -> dict[str, str]:
    """Of what can change a result: ours and the libraries' that execute and decode."""
    return {name: metadata.version(name) for name in ("cyclescope", "unicorn", "capstone", "numpy")}
