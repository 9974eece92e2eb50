# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast the emulator is: plain Unicorn and the three levels, in one run on this host; packets and memory.

    python -m bench.speed [--json -] [--rounds 3]

`plain_mips`: kvd's handler loop on Unicorn without hooks. `functional_mips`, `fast_mips`, `detailed_mips`: kvd serving the same
requests in a closed loop; idle, polling and lock-spinning instructions are not counted, and time inside Python's device callbacks
is not either (it is `packet_us`: Python's time for one packet in or out, event loop included). Keys are vCPUs. Host time is the
thread's; every figure is the median of the rounds, which measure everything in turn, since hosts are shared and change their pace.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.plain import plain_mips, round_instructions
from cyclescope.config import Hardware
from cyclescope.experiments.testbed import Testbed
from cyclescope.experiments.workload import frames
from emu.world import World
from nic.memcached_udp import DEFAULT_PORT
from nic.sources.etc import EtcLoad
from personalities.base import get_personality

ROOT = Path(__file__).resolve().parents[1]
FLAT = ROOT / "build" / "cmake" / "apps" / "kvd" / "kvd_flat"
REQUESTS, FLOWS, OUTSTANDING = 4_000, 64, 8
CPUS = (1, 4)
LEVELS = ("functional", "fast", "detailed")


class TimedWorld(World):
    """Counts the host time spent in the core, without what it spends in Python's callbacks."""

    def __init__(self) -> None:
        super().__init__()
        self.core_s = 0.0
        self.callbacks_s = 0.0
        self.core_runs = 0

    def watch(self) -> None:
        """Start counting; the core exists by now."""
        core = self.core
        inner = core.run

        def run(until_ps: int) -> Any:
            self.core_runs += 1
            before, begun = self.callbacks_s, time.thread_time()
            try:
                return inner(until_ps)
            finally:
                self.core_s += time.thread_time() - begun - (self.callbacks_s - before)

        core.run = run  # type: ignore[method-assign]

    def mmio_read(self, *arguments: Any) -> int:
        begun = time.thread_time()
        try:
            return super().mmio_read(*arguments)
        finally:
            self.callbacks_s += time.thread_time() - begun

    def mmio_write(self, *arguments: Any) -> None:
        begun = time.thread_time()
        try:
            super().mmio_write(*arguments)
        finally:
            self.callbacks_s += time.thread_time() - begun


def anonymous_mib() -> float:
    """This process's memory but for files and guest RAM."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss_Anon:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/smaps_rollup has no Pss_Anon: Linux 5.13 or newer is needed")


def served(personality_name: str, cpus: int, timing: str, requests: int, *, profiled: bool = False) -> dict[str, float]:
    """One booted guest under a closed loop; with call stacks followed, perhaps."""
    personality = get_personality(personality_name)
    spec = personality.prepare("kvd", personality.arguments_for("kvd", cpus, DEFAULT_PORT))
    load = EtcLoad(1)
    world = TimedWorld()
    with Testbed(Hardware(cpus=cpus), personality, spec, timing=timing, world=world) as bed:
        bed.boot()
        bed.closed_loop(4, list(frames(load.preload(), FLOWS)), "keys")
        bed.closed_loop(OUTSTANDING * cpus, list(frames(load.requests(500), FLOWS)), "warm-up")
        if profiled:
            bed.follow_calls()
        sent = list(frames(load.requests(requests), FLOWS))
        before, counted = bed.snapshot(), bed.counters()
        world.watch()
        begun, callbacks = time.thread_time(), world.callbacks_s
        bed.closed_loop(OUTSTANDING * cpus, sent, "measured")
        wall_s = time.thread_time() - begun
        accounts = bed.accounts(before, bed.snapshot())
        slices = sum(now["slices"] - then["slices"] for now, then in zip(bed.counters(), counted, strict=True))
        mib = anonymous_mib()
        busy = accounts.instructions - sum(accounts.instructions_of(bed.manifest).values())
    python_s = wall_s - world.core_s
    return {
        "mips": busy / world.core_s / 1e6,
        "instructions_per_request": busy / requests,
        "slices_per_request": slices / requests,
        "core_runs_per_request": world.core_runs / requests,
        "anonymous_mib": mib,
        "packet_us": python_s / (2 * requests) * 1e6,
        "callbacks_share": (world.callbacks_s - callbacks) / wall_s,
        "requests_per_host_s": requests / wall_s,
    }


def peak_mib(requests: int) -> float:
    """Peak memory of a process of its own that runs a comparison of so many requests."""
    code = (
        "from cyclescope.cli import run_cli; import resource\n"
        f"run_cli(['compare','--personality','libos','--requests','{requests}','--json','/dev/null','--quiet'])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return float(out.strip().splitlines()[-1])


def vcpu_mib(personality: str, timing: str) -> float:
    """Memory that one more vCPU takes: engine, translations, block records, models; in processes of their own."""
    code = f"from bench.speed import served; print(served({personality!r}, %d, {timing!r}, 1_000)['anonymous_mib'])"
    few, many = (
        float(
            subprocess.run(
                [sys.executable, "-c", code % n], capture_output=True, text=True, check=True, cwd=ROOT
            ).stdout
        )
        for n in CPUS
    )
    return (many - few) / (CPUS[1] - CPUS[0])


def measure(personality: str, rounds: int, with_memory: bool) -> dict[str, Any]:
    """The document that `--json` prints."""
    load = EtcLoad(1)
    datagrams = [*load.preload(), *load.requests(1_000)]
    each = round_instructions(FLAT, datagrams)
    series: dict[str, list[dict[str, float]]] = {}
    for _ in range(rounds):
        for cpus in CPUS:
            plain = plain_mips(FLAT, datagrams, each, cpus, max(40 // cpus, 10))
            series.setdefault(f"plain-{cpus}", []).append({"mips": plain})
            for timing in LEVELS:
                figures = served(personality, cpus, timing, REQUESTS if timing != "detailed" else REQUESTS // 4)
                series.setdefault(f"{timing}-{cpus}", []).append({**figures, "to_plain": figures["mips"] / plain})
    detail = {
        name: {key: statistics.median(figures[key] for figures in runs) for key in runs[0]}
        for name, runs in series.items()
    }
    result: dict[str, Any] = {"personality": personality, "rounds": rounds}
    for name in ("plain", *LEVELS):
        result[f"{name}_mips"] = {str(cpus): detail[f"{name}-{cpus}"]["mips"] for cpus in CPUS}
    for name in LEVELS:
        result[f"{name}_to_plain"] = {str(cpus): detail[f"{name}-{cpus}"]["to_plain"] for cpus in CPUS}
    result["packet_us"] = detail[f"fast-{CPUS[-1]}"]["packet_us"]
    result["detail"] = detail
    if with_memory:
        result["vcpu_mib"] = {timing: vcpu_mib(personality, timing) for timing in LEVELS}
        result["peak_mib"] = {str(n): peak_mib(n) for n in (10_000, 100_000)}
    return result


def main() -> None:
    """Prints a table, or JSON."""
    parser = argparse.ArgumentParser(description="Speed and memory of the emulator on this host.")
    parser.add_argument("--json", metavar="FILE", help="write JSON there; - is standard output")
    parser.add_argument("--personality", default="linux_like")
    parser.add_argument("--rounds", type=int, default=3, help="measure everything so many times, in turn (default 3)")
    parser.add_argument(
        "--no-memory", action="store_true", help="leave memory out: per vCPU, and the peak of long runs"
    )
    options = parser.parse_args()
    result = measure(options.personality, options.rounds, not options.no_memory)
    text = json.dumps(result, indent=2)
    if options.json == "-":
        print(text)
        return
    if options.json:
        Path(options.json).write_text(text + "\n")
    for name in ("plain", *LEVELS):
        print(
            f"{name + '_mips':22}" + "  ".join(f"{cpus} vCPU: {x:8.2f}" for cpus, x in result[f"{name}_mips"].items())
        )
    for name in LEVELS:
        print(
            f"{name + '_to_plain':22}"
            + "  ".join(f"{cpus} vCPU: {x:8.3f}" for cpus, x in result[f"{name}_to_plain"].items())
        )
    for key in ("instructions_per_request", "slices_per_request", "core_runs_per_request"):
        print(
            f"{key + ', fast':32}"
            + "  ".join(f"{cpus} vCPU: {result['detail'][f'fast-{cpus}'][key]:8.1f}" for cpus in CPUS)
        )
    print(f"{'packet_us':22}{result['packet_us']:.1f}")
    for timing, mib in result.get("vcpu_mib", {}).items():
        print(f"memory of a vCPU, {timing}: {mib:.1f} MiB")
    for requests, mib in result.get("peak_mib", {}).items():
        print(f"peak memory, {requests} requests: {mib:.0f} MiB")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
