# SPDX-License-Identifier: GPL-2.0-or-later
"""What nodes cost the host: memory of an idle one, CPU time of a simulated request, from 1 node to 16.

    python -m bench.cluster [--personality libos] [--timing detailed] [--rounds 3] [--each]

The keys are spread over the nodes (client-side sharding, no front end). All sizes get the same load; with --each, each node gets
that much, so n nodes serve n times the requests at n times the rate. Each measurement is a process of its own; rounds go over all
sizes in turn, and medians are shown, since the host has other work.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from cyclescope.cluster.bed import ClusterBed
from cyclescope.cluster.experiment import run_cluster
from cyclescope.cluster.spec import Cluster, ClusterLoad, NodeSpec

SIZES = (1, 2, 4, 8, 16)
REQUESTS, WARMUP, RATE, KEYS = 1_600, 200, 50_000, 50  # of all nodes, or of each; the warm-up is always of each
_STATUS = Path("/proc/self/status")


def cluster(nodes: int, personality: str, timing: str, each_node: bool = False) -> Cluster:
    """So many alike, of one vCPU and 128 MiB."""
    each = tuple(NodeSpec(name=f"n{i}", personality=personality, vcpus=1, memory_mib=128) for i in range(nodes))
    times = nodes if each_node else 1
    load = ClusterLoad(requests=max(REQUESTS, WARMUP * times), warmup=WARMUP * nodes, keys=KEYS * nodes, rate=RATE * times)
    return Cluster(nodes=each, load=load, timing=timing)


def resident_mib() -> float:
    """Of this process, now."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def measured(nodes: int, personality: str, timing: str, each_node: bool) -> dict[str, float]:
    """In this process: memory once all nodes are booted and idle, CPU time [s] of booting, and of a measured request [ms]."""
    shape, begun = cluster(nodes, personality, timing, each_node), time.process_time()
    with ClusterBed(shape) as bed:
        bed.boot()
        idle_mib, boot_s = resident_mib(), time.process_time() - begun
    outcome = run_cluster(shape)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    request_ms = outcome.host.cpu_s * 1000 / outcome.run.sent
    return {
        "idle_mib": idle_mib, "boot_s": boot_s, "request_ms": request_ms, "peak_mib": peak_mib, "lost": outcome.run.lost,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--personality", default="libos")
    parser.add_argument("--timing", default="detailed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--each", action="store_true", help="the load is each node's")
    parser.add_argument("--nodes", type=int, help="one measurement, as JSON")
    options = parser.parse_args()
    if options.nodes:
        print(json.dumps(measured(options.nodes, options.personality, options.timing, options.each)))
        return
    found: dict[int, list[dict[str, float]]] = {nodes: [] for nodes in SIZES}
    for _ in range(options.rounds):
        for nodes in SIZES:
            command = [sys.executable, "-m", "bench.cluster", "--nodes", str(nodes), "--timing", options.timing]
            command += ["--personality", options.personality, *(["--each"] if options.each else [])]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[nodes].append(json.loads(done.stdout))
    print("nodes  idle MiB  boot s  ms/request  of 1 node's  peak MiB  lost")
    first = statistics.median(each["request_ms"] for each in found[SIZES[0]])
    for nodes, rows in found.items():
        idle, boot, request, peak, lost = (
            statistics.median(row[key] for row in rows) for key in ("idle_mib", "boot_s", "request_ms", "peak_mib", "lost")
        )
        print(f"{nodes:5}  {idle:8.0f}  {boot:6.2f}  {request:10.3f}  {request / first:11.2f}  {peak:8.0f}  {lost:4.0f}")


if __name__ == "__main__":
    main()
