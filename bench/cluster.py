# SPDX-License-Identifier: GPL-2.0-or-later
"""What nodes cost the host: memory of an idle one, CPU time of a simulated request, from 1 node to 16.

    python -m bench.cluster [--personality libos] [--timing detailed] [--rounds 20] [--each] [--json FILE]

The keys are spread over the nodes (client-side sharding, no front end). All sizes get the same load; with --each, each node gets
that much, so n nodes serve n times the requests at n times the rate.

The clusters of all sizes live in one process and take turns, a few hundred requests each: other work on the host then meets
all of them alike. A round's figures are put beside the same round's of one node, and medians shown. Memory and booting have a
process each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from cyclescope.cluster.bed import ClusterBed
from cyclescope.cluster.experiment import ClusterTraffic
from cyclescope.cluster.spec import Cluster, ClusterLoad, NodeSpec

SIZES = (1, 2, 4, 8, 16)
# A turn's requests and rate: of all nodes, or of each; the rest is always of each.
REQUESTS, WARMUP, RATE, KEYS = 400, 200, 50_000, 50
_STATUS = Path("/proc/self/status")


def cluster(nodes: int, personality: str, timing: str, each_node: bool = False) -> Cluster:
    """So many alike, of one vCPU and 128 MiB."""
    each = tuple(NodeSpec(name=f"n{i}", personality=personality, vcpus=1, memory_mib=128) for i in range(nodes))
    times = nodes if each_node else 1
    load = ClusterLoad(requests=REQUESTS * times, warmup=WARMUP * nodes, keys=KEYS * nodes, rate=RATE * times)
    return Cluster(nodes=each, load=load, timing=timing)


def resident_mib() -> float:
    """Of this process, now."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def idle(shape: Cluster) -> dict[str, float]:
    """In this process: memory [MiB] once all nodes are booted and idle, and CPU time [s] of booting them."""
    before, begun = resident_mib(), time.process_time()
    with ClusterBed(shape) as bed:
        bed.boot()
        return {"idle_mib": resident_mib() - before, "boot_s": time.process_time() - begun}


def turns(shapes: dict[int, Cluster], rounds: int) -> dict[int, list[tuple[float, int]]]:
    """CPU time of a request [ms] and requests lost, round by round, of clusters that take turns."""
    found: dict[int, list[tuple[float, int]]] = {nodes: [] for nodes in shapes}
    with ExitStack() as open_beds:
        loads = {}
        for nodes, shape in shapes.items():
            bed = open_beds.enter_context(ClusterBed(shape))
            bed.boot()
            loads[nodes] = ClusterTraffic(bed)
            loads[nodes].prepare()
        for turn in range(rounds):
            for nodes, load in loads.items():
                begun = time.process_time()
                phase = load.send(shapes[nodes].load.requests, turn + 2, "measuring")
                found[nodes].append(((time.process_time() - begun) * 1000 / phase.count, phase.lost))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--personality", default="libos")
    parser.add_argument("--timing", default="detailed")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--each", action="store_true", help="the load is each node's")
    parser.add_argument("--json", type=Path, help="the figures, there")
    parser.add_argument("--idle", type=int, help="only memory and booting of so many nodes, as JSON")
    options = parser.parse_args()
    shapes = {nodes: cluster(nodes, options.personality, options.timing, options.each) for nodes in SIZES}
    if options.idle:
        print(json.dumps(idle(shapes[options.idle])))
        return
    command = [sys.executable, "-m", "bench.cluster", "--timing", options.timing, "--personality", options.personality]
    found = turns(shapes, options.rounds)
    rows = []
    for nodes in SIZES:
        done = subprocess.run([*command, "--idle", str(nodes)], capture_output=True, text=True, check=True)
        request_ms = [each for each, _ in found[nodes]]
        beside = [mine / one for mine, (one, _) in zip(request_ms, found[SIZES[0]], strict=True)]
        row = {"nodes": nodes, **json.loads(done.stdout), "request_ms": statistics.median(request_ms)}
        rows.append(row | {"of_one_node": statistics.median(beside), "lost": sum(lost for _, lost in found[nodes])})
    print("nodes  idle MiB  boot s  ms/request  of 1 node's  lost")
    for row in rows:
        print("{nodes:5}  {idle_mib:8.0f}  {boot_s:6.2f}  {request_ms:10.3f}  {of_one_node:11.2f}  {lost:4.0f}".format(**row))
    if options.json:
        about = {key: vars(options)[key] for key in ("personality", "timing", "rounds", "each")}
        about |= {"requests_a_round": REQUESTS, "rate_rps": RATE, "sizes": rows}
        options.json.write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
