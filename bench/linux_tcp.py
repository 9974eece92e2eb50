# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables of docs/linux-tcp.md: Debian's memcached on unmodified Linux, over UDP and over TCP, with and without losses.

python -m bench.linux_tcp [--requests 1000] [--jobs N] [--write docs/linux-tcp.md]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.linux_tables import kernel_ns
from bench.markdown import deliver, number, table, us
from cyclescope.config import DEFAULT_TIMING, Hardware, Load
from cyclescope.experiments.seeds import Comparison, run_comparison
from cyclescope.experiments.workers import host_processors, run_all
from cyclescope.result import Run
from personalities.base import get_personality

RATE = 50_000.0
CONNECTIONS = (1, 8, 64, 200)
LOSS = 0.01
HEAD = (
    "", "load", "mean", "median", "p99", "kernel, running", "kernel, waiting", "application", "instructions", "busy cycles",
)  # fmt: skip
COMPONENTS = (
    "sched", "app", "syscall", "vfs", "irq", "ip", "lock", "netdev", "driver", "timer", "socket", "copy", "mm", "skb", "security",
)  # fmt: skip


def rows(requests: int) -> list[tuple[str, str, Load]]:
    """Name, load in words, load."""

    def load(connections: int, loss: float = 0.0, *, alone: bool = False) -> Load:
        return Load(
            requests=requests, warmup=200, keys=200, connections=connections, loss=loss,
            rate=None if alone else RATE, closed=1 if alone else None,
        )  # fmt: skip

    def name(connections: int) -> str:
        return f"TCP, {connections} connection{'s' if connections > 1 else ''}"

    words = f"{RATE:,.0f}/s"
    return [
        ("UDP", "one at a time", load(0, alone=True)),
        (name(1), "one at a time", load(1, alone=True)),
        ("UDP, 64 ports", words, load(0)),
        *((name(n), words, load(n)) for n in CONNECTIONS),
        *((f"{name(n)}, 1 % lost each way", words, load(n, LOSS)) for n in CONNECTIONS),
    ]


def line(name: str, words: str, run: Run) -> list[str]:
    """Times in microseconds, work a request."""
    latency = run.latency_ps / 1000
    return [
        name, words, us(float(latency.mean())), us(float(np.median(latency))), us(float(np.percentile(latency, 99))),
        us(kernel_ns(run, "Running")), us(kernel_ns(run, "Waiting")), us(kernel_ns(run, "Application")),
        number(run.busy_instructions / run.latency_ps.size), number(sum(cycles_of(run).values())),
    ]  # fmt: skip


def cycles_of(run: Run) -> dict[str, float]:
    """Busy cycles a request by component."""
    return {name: sum(causes.values()) / run.latency_ps.size for name, causes in run.cycles.items() if name != "idle"}


def components(name: str, run: Run) -> list[str]:
    """TCP or UDP first."""
    cycles = cycles_of(run)
    own = cycles.get("tcp", 0) + cycles.get("udp", 0)
    return [name, number(own), *(number(cycles.get(each, 0)) for each in COMPONENTS)]


def tables(requests: int, jobs: int) -> dict[str, str]:
    """Both tables."""
    wanted = rows(requests)
    runs = measured([load for _, _, load in wanted], jobs)
    chosen = [
        i for i, (name, _, load) in enumerate(wanted) if load.closed or (not load.loss and load.connections in (0, 64))
    ]
    return {
        "tcp": table(HEAD, [line(name, words, run) for (name, words, _), run in zip(wanted, runs, strict=True)]),
        "tcp-components": table(
            ("", "udp or tcp", *COMPONENTS), [components(f"{wanted[i][0]}, {wanted[i][1]}", runs[i]) for i in chosen]
        ),
    }


def measured(loads: Sequence[Load], jobs: int) -> list[Run]:
    """memcached under each of them, on four vCPUs; compare's linux serves TCP with memcached, too."""
    wanted = [
        Comparison(
            (get_personality("linux" if load.connections else "linux:memcached"),), Hardware(), load, DEFAULT_TIMING
        )
        for load in loads
    ]
    return [outcomes[0].run for _, outcomes in run_all(run_comparison, wanted, "rows", jobs)]


def main() -> None:
    """Makes both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1_000, help="measured requests a row")
    parser.add_argument("--jobs", type=int, default=host_processors())
    parser.add_argument("--write", type=Path, metavar="PAGE", help="replace the tables of this page")
    options = parser.parse_args()
    deliver(tables(options.requests, options.jobs), options.write)


if __name__ == "__main__":
    main()
