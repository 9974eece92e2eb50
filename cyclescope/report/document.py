# SPDX-License-Identifier: GPL-2.0-or-later
"""The JSON object of a comparison: what `--json` prints and `summary.json` holds. Its shape is versioned by SCHEMA."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cyclescope.report.chronos import percentile_ns
from cyclescope.report.events import events_document
from cyclescope.report.functions import functions_document, roots_document, slow_document
from cyclescope.result import Host, Run
from emu.ledger.components import CAUSES

SCHEMA = 1


def run_document(run: Run) -> dict[str, Any]:
    """One run, without anything that depends on the host."""
    latency = run.latency_ps
    return {
        "personality": run.personality,
        "kind": run.kind,
        "requests": int(latency.size),
        "sent": run.sent,
        "lost": run.lost,
        "latency_ns": {
            "mean": _mean_ns(latency),
            "p50": percentile_ns(latency, 50.0),
            "p99": percentile_ns(latency, 99.0),
            "p999": percentile_ns(latency, 99.9),
        },
        "parts_ns": {
            name: {"mean": _mean_ns(run.parts_ps[:, i]), "p99": percentile_ns(run.parts_ps[:, i], 99.0)}
            for i, name in enumerate(run.part_names)
            if run.parts_ps[:, i].any()
        },
        "cycles": run.component_cycles(),
        "causes": {component: dict(causes) for component, causes in sorted(run.cycles.items())},
        "request_cycles": {
            cause: float(run.request_cycles[:, i].mean()) for i, cause in enumerate(CAUSES) if run.request_cycles[:, i].any()
        },
        "component_instructions": dict(run.component_instructions),
        "cycles_total": run.cycles_total,
        "instructions": run.instructions,
        "events": events_document(run.events),
        "capacity_rps": run.capacity_rps or None,  # measured only where the load is a share of it
        "rate_rps": run.rate_rps,
        "vcpus": [
            {"cycles": cycles, "components": components, "counters": counters}
            for cycles, components, counters in zip(run.vcpu_cycles, run.vcpu_components, run.counters, strict=True)
        ],
        "functions": functions_document(run),
        **({"call_roots": roots_document(run), "call_stacks_lost": run.profile.lost} if run.profile is not None else {}),
        **slow_document(run),
        "unmapped": [{"symbol": symbol, "cycles": cycles} for symbol, cycles in run.unmapped],
        "notes": {probe: {str(value): count for value, count in values.items()} for probe, values in run.notes.items()},
        "inputs": run.inputs,
    }


def comparison_document(config: dict[str, Any], config_hash: str, runs: Sequence[Run]) -> dict[str, Any]:
    """All runs of one comparison, in the order asked for."""
    return {
        "schema": SCHEMA,
        "config_hash": config_hash,
        "config": config,
        "runs": [run_document(run) for run in runs],
    }


def with_host(document: dict[str, Any], hosts: Sequence[Host]) -> dict[str, Any]:
    """The same document with each run's `mips`: for the terminal, never for what must be reproducible."""
    runs = [{**run, "mips": host.mips} for run, host in zip(document["runs"], hosts, strict=True)]
    return {**document, "runs": runs}


def _mean_ns(values: Any) -> float:
    return float(values.mean()) / 1000.0 if values.size else 0.0
