# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast the emulator is: plain Unicorn, the functional and the fast level, in one run on this host; packets and memory.

    python bench/speed.py [--json -]

`plain_mips`: kvd's handler loop on Unicorn without hooks. `functional_mips`, `fast_mips`: kvd serving the same requests in a
closed loop; idle, polling and lock-spinning instructions are not counted, and time inside Python's device callbacks is not
either (it is `packet_us`: Python's time for one packet in or out, event loop included). Keys are vCPUs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.plain import plain_mips
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


class TimedWorld(World):
    """Counts the host time spent in the core, without what it spends in Python's callbacks."""

    def __init__(self) -> None:
        super().__init__()
        self.core_s = 0.0
        self.callbacks_s = 0.0

    def watch(self) -> None:
        """Start counting; the core exists by now."""
        core = self.core
        inner = core.run

        def run(until_ps: int) -> Any:
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


def served(personality_name: str, cpus: int, timing: str, requests: int) -> dict[str, float]:
    """One booted guest under a closed loop."""
    personality = get_personality(personality_name)
    spec = personality.prepare("kvd", personality.arguments_for("kvd", cpus, DEFAULT_PORT))
    load = EtcLoad(1)
    world = TimedWorld()
    with Testbed(Hardware(cpus=cpus), personality, spec, timing=timing, world=world) as bed:
        bed.boot()
        bed.closed_loop(4, list(frames(load.preload(), FLOWS)), "keys")
        bed.closed_loop(OUTSTANDING * cpus, list(frames(load.requests(500), FLOWS)), "warm-up")
        sent = list(frames(load.requests(requests), FLOWS))
        before = bed.snapshot()
        world.watch()
        begun, callbacks = time.thread_time(), world.callbacks_s
        bed.closed_loop(OUTSTANDING * cpus, sent, "measured")
        wall_s = time.thread_time() - begun
        accounts = bed.accounts(before, bed.snapshot())
        busy = accounts.instructions - sum(accounts.instructions_of(bed.manifest).values())
    python_s = wall_s - world.core_s
    return {
        "mips": busy / world.core_s / 1e6,
        "instructions_per_request": busy / requests,
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


def measure(personality: str, with_memory: bool) -> dict[str, Any]:
    """The document that `--json` prints."""
    load = EtcLoad(1)
    datagrams = [*load.preload(), *load.requests(1_000)]
    result: dict[str, Any] = {"personality": personality, "plain_mips": {}, "functional_mips": {}, "fast_mips": {}}
    detail: dict[str, Any] = {}
    for cpus in CPUS:
        result["plain_mips"][str(cpus)] = plain_mips(FLAT, datagrams, cpus, max(40 // cpus, 10))
        for timing in ("functional", "fast"):
            figures = served(personality, cpus, timing, REQUESTS)
            result[f"{timing}_mips"][str(cpus)] = figures["mips"]
            detail[f"{timing}-{cpus}"] = figures
    result["functional_to_plain"] = {
        cpus: result["functional_mips"][cpus] / result["plain_mips"][cpus] for cpus in result["plain_mips"]
    }
    result["packet_us"] = detail["fast-4"]["packet_us"]
    result["detail"] = detail
    if with_memory:
        result["peak_mib"] = {str(n): peak_mib(n) for n in (10_000, 100_000)}
    return result


def main() -> None:
    """Prints a table, or JSON."""
    parser = argparse.ArgumentParser(description="Speed and memory of the emulator on this host.")
    parser.add_argument("--json", metavar="FILE", help="write JSON there; - is standard output")
    parser.add_argument("--personality", default="linux_like")
    parser.add_argument("--no-memory", action="store_true", help="leave the peak memory of long runs out")
    options = parser.parse_args()
    result = measure(options.personality, not options.no_memory)
    text = json.dumps(result, indent=2)
    if options.json == "-":
        print(text)
        return
    if options.json:
        Path(options.json).write_text(text + "\n")
    for name in ("plain_mips", "functional_mips", "fast_mips", "functional_to_plain"):
        print(f"{name:22}" + "  ".join(f"{cpus} vCPU: {value:8.2f}" for cpus, value in result[name].items()))
    print(f"{'packet_us':22}{result['packet_us']:.1f}")
    for requests, mib in result.get("peak_mib", {}).items():
        print(f"peak memory, {requests} requests: {mib:.0f} MiB")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
