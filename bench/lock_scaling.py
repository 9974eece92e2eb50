# SPDX-License-Identifier: GPL-2.0-or-later
"""Lock contention as vCPUs grow: kvd with one global lock, 1 to 8 vCPUs near saturation, both personalities.

    python -m bench.lock_scaling [--json FILE] [--svg FILE] [--requests N] [--load SHARE]

Emits a series: capacity, mean lock wait a request, and the lock component's share of busy cycles.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from cyclescope.config import Hardware, Load
from cyclescope.experiments.compare import compare
from cyclescope.report.document import run_document
from personalities.base import get_personality

CPUS = (1, 2, 4, 8)
PERSONALITIES = ("linux_like", "libos")
COLOURS = {"linux_like": "#c0392b", "libos": "#2471a3"}


def series(requests: int, load: float) -> list[dict[str, Any]]:
    """One point a vCPU count and personality."""
    points = []
    for cpus in CPUS:
        _, outcomes = compare(
            [get_personality(name) for name in PERSONALITIES],
            Hardware(cpus=cpus),
            Load(requests=requests, load=load, locks="global"),
        )
        for outcome in outcomes:
            document = run_document(outcome.run)
            busy = document["cycles_total"] - document["cycles"].get("idle", 0)
            points.append(
                {
                    "personality": document["personality"],
                    "cpus": cpus,
                    "capacity_rps": document["capacity_rps"],
                    "lock_wait_ns": document["parts_ns"].get("wait.lock", {"mean": 0.0})["mean"],
                    "lock_run_ns": document["parts_ns"].get("run.lock", {"mean": 0.0})["mean"],
                    "lock_share": document["cycles"].get("lock", 0) / busy,
                    "latency_ns": document["latency_ns"]["mean"],
                }
            )
    return points


def chart(points: list[dict[str, Any]]) -> str:
    """Two panels as SVG: mean lock wait a request, and capacity, over vCPUs."""
    panels = (("lock_wait_ns", 1e-3, "lock wait a request (us)"), ("capacity_rps", 1e-6, "capacity (M requests/s)"))
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" width="760" height="300" font-family="sans-serif" font-size="12">']
    for panel, (key, scale, title) in enumerate(panels):
        left, top, width, height = 60 + panel * 370, 40, 280, 200
        most = max(point[key] for point in points) * scale or 1.0
        parts.append(f'<text x="{left}" y="24" font-size="14">{title}</text>')
        parts.append(f'<path d="M{left} {top}v{height}h{width}" fill="none" stroke="#444"/>')
        for tick in range(5):
            y = top + height - height * tick / 4
            parts.append(f'<text x="{left - 6}" y="{y + 4:.0f}" text-anchor="end">{most * tick / 4:.2f}</text>')
        for place, cpus in enumerate(CPUS):
            x = left + width * (place + 0.5) / len(CPUS)
            parts.append(f'<text x="{x:.0f}" y="{top + height + 18}" text-anchor="middle">{cpus}</text>')
        for name in PERSONALITIES:
            line = [
                (left + width * (CPUS.index(p["cpus"]) + 0.5) / len(CPUS), top + height * (1 - p[key] * scale / most))
                for p in points
                if p["personality"] == name
            ]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in line)
            parts.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[name]}" stroke-width="2"/>')
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{COLOURS[name]}"/>' for x, y in line]
    for place, name in enumerate(PERSONALITIES):
        parts.append(f'<text x="{80 + place * 110}" y="290" fill="{COLOURS[name]}">{name}</text>')
    parts.append('<text x="400" y="290">vCPUs</text></svg>')
    return "\n".join(parts) + "\n"


def main() -> None:
    """Prints the series as a table."""
    parser = argparse.ArgumentParser(description="Lock contention as vCPUs grow.")
    parser.add_argument("--requests", type=int, default=4_000)
    parser.add_argument("--load", type=float, default=0.9, help="share of the slower personality's capacity")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--svg", type=Path)
    options = parser.parse_args()
    points = series(options.requests, options.load)
    if options.json:
        options.json.write_text(json.dumps(points, indent=2) + "\n")
    if options.svg:
        options.svg.write_text(chart(points))
    print("| personality | vCPUs | capacity (requests/s) | lock wait a request (us) | lock share of busy cycles |")
    print("|---|---|---|---|---|")
    for p in points:
        wait, share = p["lock_wait_ns"] / 1e3, p["lock_share"] * 100
        print(f"| {p['personality']} | {p['cpus']} | {p['capacity_rps']:,.0f} | {wait:.3f} | {share:.1f} % |")


if __name__ == "__main__":
    main()
