# SPDX-License-Identifier: GPL-2.0-or-later
"""How long unmodified Linux takes to boot, beside QEMU's TCG: the same kernel and initramfs, up to the program's start.

    python -m bench.linux_boot [--json -] [--rounds 3]

Each boot is a process of its own, in turn, and all times are of host CPUs, in seconds. `qemu_s`: QEMU's whole process, until
its guest's console says that the program serves. `boot_s`: ours to the same line, devices in Python included. `process_s`: our
whole process, with Python's start, preparing the initramfs, and finding symbols and probes in kernel, modules and program once
it serves. `serving_mips`: memcached answering the ETC load on 4 vCPUs at each level, counted as in bench.speed, and
`serving_to_plain`, the same beside plain Unicorn (bench.plain) in the same round; `request_instructions` is what a request takes at
the fast level. The figure behind another name is the number of vCPUs.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.plain import plain_mips, round_instructions
from bench.speed import FLAT, LEVELS, TimedWorld
from cyclescope.config import Hardware
from cyclescope.experiments.testbed import Testbed
from cyclescope.experiments.workload import frames
from emu.errors import ConfigError
from emu.world import StopInfo, World
from nic.sources.etc import EtcLoad
from personalities.linux.guest import READY_LINE
from personalities.linux.personality import Linux

ROOT = Path(__file__).resolve().parents[1]
CPUS = (1, 4)
SERVING_CPUS = 4
MEMORY_MIB = 256
PORT, FLOWS, OUTSTANDING, REQUESTS = 11211, 64, 8, 2_000
POLL_S, PATIENCE_S = 0.02, 300.0
MEMCACHED = "/usr/bin/memcached"


def guest(cpus: int) -> tuple[Linux, Any]:
    """The same for both machines."""
    linux = Linux()
    return linux, linux.prepare(MEMCACHED, linux.arguments_for(MEMCACHED, cpus, PORT))


class BootWorld(World):
    """Counts the CPU time that running takes, devices included."""

    run_s = 0.0

    def run(self, until_ps: int | None = None) -> StopInfo:
        begun = time.process_time()
        try:
            return super().run(until_ps)
        finally:
            self.run_s += time.process_time() - begun


def boot_here(cpus: int) -> float:
    """Seconds of this process's CPU time, from power-on to the ready line."""
    linux, spec = guest(cpus)
    world = BootWorld()
    with Testbed(Hardware(cpus=cpus, memory_mib=MEMORY_MIB), linux, spec, timing="functional", world=world) as bed:
        bed.boot()
        return world.run_s


def boot_ours(cpus: int) -> dict[str, float]:
    """A boot in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", f"from bench.linux_boot import boot_here; print(boot_here({cpus}))"]
    out = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "boot_s": float(out.split()[-1]),
        "process_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    }


def boot_qemu(cpus: int) -> float:
    """QEMU's CPU time for the same, one processor of TCG a vCPU."""
    qemu = shutil.which("qemu-system-x86_64")
    if qemu is None:
        raise ConfigError("qemu-system-x86_64 is not installed (Debian: qemu-system-x86)")
    _, spec = guest(cpus)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory(prefix="boot-") as folder:
        console = Path(folder) / "console"
        command = [
            qemu, "-nodefaults", "-no-user-config", "-M", "q35", "-accel", "tcg", "-smp", str(cpus),
            "-m", str(MEMORY_MIB), "-display", "none", "-monitor", "none", "-no-reboot", "-serial", f"file:{console}",
            "-kernel", str(spec.image), "-append", spec.cmdline, "-initrd", str(spec.modules[0].path),
            "-netdev", "user,id=n0", "-device", "virtio-net-pci,disable-legacy=on,netdev=n0",
        ]  # fmt: skip
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        limit = time.monotonic() + PATIENCE_S
        try:
            while READY_LINE not in (console.read_text(errors="replace") if console.exists() else ""):
                if process.poll() is not None or time.monotonic() > limit:
                    raise ConfigError("QEMU's guest was not ready: " + console.read_text(errors="replace")[-300:])
                time.sleep(POLL_S)
        finally:
            process.kill()
            process.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def serving(cpus: int, level: str) -> tuple[float, float]:
    """Busy guest instructions (idle, polling and spinning left out): millions a second of the core's time, and a request's."""
    linux, spec = guest(cpus)
    load, world = EtcLoad(1), TimedWorld()
    with Testbed(Hardware(cpus=cpus, memory_mib=MEMORY_MIB), linux, spec, timing=level, world=world) as bed:
        bed.boot()
        bed.closed_loop(4, list(frames(load.preload(), FLOWS)), "keys")
        bed.closed_loop(OUTSTANDING * cpus, list(frames(load.requests(500), FLOWS)), "warm-up")
        before = bed.snapshot()
        world.watch()
        bed.closed_loop(OUTSTANDING * cpus, list(frames(load.requests(REQUESTS), FLOWS)), "measured")
        accounts = bed.accounts(before, bed.snapshot())
        busy = accounts.instructions - sum(accounts.instructions_of(bed.manifest).values())
    return float(busy / world.core_s / 1e6), float(busy / REQUESTS)


def measure(rounds: int) -> dict[str, Any]:
    """The document that `--json` prints: medians of the rounds."""
    series: dict[str, list[float]] = {}
    load = EtcLoad(1)
    datagrams = [*load.preload(), *load.requests(1_000)]
    each = round_instructions(FLAT, datagrams)
    for _ in range(rounds):
        for cpus in CPUS:
            ours = boot_ours(cpus)
            series.setdefault(f"boot_s-{cpus}", []).append(ours["boot_s"])
            series.setdefault(f"process_s-{cpus}", []).append(ours["process_s"])
        series.setdefault("qemu_s-1", []).append(boot_qemu(1))
        plain = plain_mips(FLAT, datagrams, each, SERVING_CPUS, 10)
        series.setdefault("plain_mips", []).append(plain)
        for level in LEVELS:
            mips, instructions = serving(SERVING_CPUS, level)
            series.setdefault(f"serving_mips-{level}", []).append(mips)
            series.setdefault(f"serving_to_plain-{level}", []).append(mips / plain)
            if level == "fast":
                series.setdefault("request_instructions", []).append(instructions)
    found = {name: statistics.median(values) for name, values in series.items()}
    return {
        "rounds": rounds,
        **found,
        "boot_to_qemu": found["boot_s-1"] / found["qemu_s-1"],
        "process_to_qemu": found["process_s-1"] / found["qemu_s-1"],
        "four_to_one": found["boot_s-4"] / found["boot_s-1"],
    }


def main() -> None:
    """Prints a table, or JSON."""
    parser = argparse.ArgumentParser(description="Booting unmodified Linux: host CPU time, beside QEMU's TCG.")
    parser.add_argument("--json", metavar="FILE", help="write JSON there; - is standard output")
    parser.add_argument("--rounds", type=int, default=3, help="measure everything so many times, in turn (default 3)")
    options = parser.parse_args()
    result = measure(options.rounds)
    text = json.dumps(result, indent=2)
    if options.json == "-":
        print(text)
        return
    if options.json:
        Path(options.json).write_text(text + "\n")
    for name, value in result.items():
        print(f"{name:28}{value:10.2f}")


if __name__ == "__main__":
    main()
