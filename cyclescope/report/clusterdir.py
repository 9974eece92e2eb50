# SPDX-License-Identifier: GPL-2.0-or-later
"""Run directories of clusters: summary.json, and for each cluster requests, its timeline, a capture a switch port, flame stacks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cyclescope.cluster.result import ClusterOutcome, ClusterRun
from cyclescope.cluster.spec import CLIENT
from cyclescope.report.clusters import BETWEEN_NODES, cluster_document
from cyclescope.report.rundir import run_directory, versions, write_json
from cyclescope.report.timelines import timeline_document, timeline_svg
from nic.ports import Frame
from nic.sinks.pcapng import PcapngWriter


def write_cluster_directory(path: Path, outcomes: Sequence[ClusterOutcome]) -> None:
    """A folder a cluster, beside host.json, the only file that differs between two runs."""
    with run_directory(path) as partial:
        hosts = {
            outcome.run.cluster.name: {
                "wall_s": round(outcome.host.wall_s, 3), "cpu_s": round(outcome.host.cpu_s, 3),
                "mips": round(outcome.host.mips, 1), "events": outcome.host.events, "peak_mib": round(outcome.host.peak_mib, 1),
            }
            for outcome in outcomes
        }  # fmt: skip
        write_json(partial / "host.json", hosts)
        write_json(
            partial / "summary.json",
            {"clusters": [cluster_document(outcome.run) for outcome in outcomes], "versions": versions()},
        )
        for outcome in outcomes:
            folder = partial / outcome.run.cluster.name
            folder.mkdir()
            _write_requests(folder / "requests.npz", outcome.run)
            write_json(folder / "timeline.json", timeline_document(outcome.run.timeline))
            (folder / "timeline.svg").write_text(timeline_svg(outcome.run))
            (folder / "flame.collapsed").write_text("".join(node.flame for node in outcome.run.nodes))
            for name, frames in sorted(outcome.capture.items()):
                _write_port(folder / f"{name}.pcapng", outcome, name, sorted(frames, key=lambda frame: frame[0]))


def _write_requests(path: Path, run: ClusterRun) -> None:
    columns = {"token": run.tokens, "start_ps": run.start_ps, "latency_ps": run.latency_ps}
    for i, (place, name) in enumerate(zip(run.places, run.part_names, strict=True)):
        where = run.nodes[place].name if place >= 0 else BETWEEN_NODES.replace(" ", "_")
        columns[f"{where}.{name}"] = np.ascontiguousarray(run.parts_ps[:, i])
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **columns)


def _write_port(path: Path, outcome: ClusterOutcome, name: str, frames: list[tuple[int, str, Frame]]) -> None:
    """A switch port's frames; on the client's port the last frame of each answer carries its request's breakdown."""
    run = outcome.run
    last = {frame.token: i for i, (_, direction, frame) in enumerate(frames) if direction == "tx" and frame.token}
    rows = {int(token): row for row, token in enumerate(run.tokens)} if name == CLIENT else {}
    with path.open("wb") as file, PcapngWriter(file, name) as writer:
        for number, (time_ps, direction, frame) in enumerate(frames):
            row = rows.get(frame.token) if last.get(frame.token) == number else None
            writer.write(time_ps, frame.data, "" if row is None else _breakdown(run, row), direction)


def _breakdown(run: ClusterRun, row: int) -> str:
    parts = run.parts_ps[row]
    listed = ", ".join(
        f"{run.nodes[place].name if place >= 0 else BETWEEN_NODES} {name} {int(parts[i]) / 1e6:.3f}"
        for i, (place, name) in enumerate(zip(run.places, run.part_names, strict=True))
        if parts[i]
    )
    return f"request {int(run.tokens[row])}: latency {int(run.latency_ps[row]) / 1e6:.3f} us = {listed}"
