# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables of docs/results.md about unmodified Linux, made again; and that of docs/lock-contention.md, of our own kernels.

    python -m bench.linux_results [--only scale,chronos,variants] [--jobs N] [--write docs/results.md] [--svg FILE]
    python -m bench.linux_results --only scale --names linux_like,libos --write docs/results.md --svg FILE
    python -m bench.linux_results --only global [--jobs N] [--write docs/lock-contention.md] [--svg FILE]

`scale`: every personality on 1 to 8 vCPUs (`cyclescope scale`): capacity, locks, components, functions, the picture. `chronos`:
memcached on 4 vCPUs over seeds, one at a time and near capacity, beside the published table. `variants`: what might explain the
difference, tried one by one. With `--write`, each table replaces the one between its marks in the file; else all are printed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench.linux_tables import MEMCACHED, chronos_texts, lock_text, measured, scale_texts, variant_texts
from bench.markdown import deliver
from cyclescope.config import DEFAULT_TIMING, Hardware, Load
from cyclescope.experiments.scale import scale
from cyclescope.experiments.seeds import Comparison, compare_seeds, run_comparison
from cyclescope.experiments.workers import host_processors, run_all
from cyclescope.report.scales import picture
from personalities.base import get_personality

NAMES = ("linux_like", "libos", "linux", "linux:memcached")
CPUS = (1, 2, 4, 8)
SHARE = 0.9
SEEDS, LIGHT_SEEDS = (1, 2, 3, 4, 5), (1, 2, 3)
PLAIN, NEAR = Hardware(), Load(load=SHARE, warmup=200, keys=200, flows=256)


def scale_tables(names: Sequence[str], jobs: int, requests: int, kept: Path) -> tuple[dict[str, str], str]:
    """The tables by name, and the picture; of other personalities than `names` from what was kept when they were measured last."""
    before = json.loads(kept.read_text()) if kept.exists() else []
    now = _scaled(names, jobs, _near(requests=requests))
    points = sorted((each for each in before if each["personality"] not in names), key=_place) + now
    points.sort(key=_place)
    kept.write_text("[\n" + ",\n".join(json.dumps(each, sort_keys=True) for each in points) + "\n]\n")
    return scale_texts(points), picture(points, "kvd, and memcached on Linux", SHARE)


def _place(each: dict[str, Any]) -> tuple[int, int]:
    return NAMES.index(each["personality"]), each["cpus"]


def _scaled(names: Sequence[str], jobs: int, load: Load) -> list[dict[str, Any]]:
    hardware = Hardware(link_bps=100_000_000_000)
    return [measured(each) for each in scale([get_personality(name) for name in names], hardware, load, CPUS, jobs=jobs)[1]]


def global_tables(jobs: int, requests: int) -> tuple[dict[str, str], str]:
    """kvd with one lock, on the kernels that need no fetching."""
    points = _scaled(NAMES[:2], jobs, _near(requests=requests, locks="global"))
    return {"global": lock_text(points)}, picture(points, "kvd with one global lock", SHARE)


def _near(**changes: Any) -> Load:
    return msgspec.structs.replace(NEAR, **changes)


# ---- beside Chronos


def chronos_tables(jobs: int, requests: int) -> dict[str, str]:
    """memcached on four vCPUs beside the published rows, means and 99th percentiles over seeds."""
    memcached, base = get_personality(MEMCACHED), msgspec.structs.replace(NEAR, requests=requests)
    light, near = (
        [each.outcomes[0].run for each in compare_seeds([memcached], PLAIN, load, seeds, jobs=jobs)]
        for load, seeds in ((msgspec.structs.replace(base, closed=1), LIGHT_SEEDS), (base, SEEDS))
    )
    return chronos_texts(light, near)


# ---- what might explain the difference


@dataclass(frozen=True)
class Variant:
    """A run of its own beside the plain one."""

    title: str
    name: str = MEMCACHED
    hardware: Hardware = PLAIN
    load: Load = NEAR


VARIANTS = (
    Variant("as above, at 90 % of capacity"),
    Variant("at 50 %", load=_near(load=0.5)),
    Variant("at 99 %", load=_near(load=0.99)),
    Variant("at 120 %: overload", load=_near(load=1.2)),
    Variant("interrupt moderation of 50 us", hardware=Hardware(moderation_us=50)),
    Variant("other hosts' traffic, half of the port's rate", hardware=Hardware(cross_traffic=0.5)),
    Variant("2,000 clients' ports", load=_near(flows=2_000)),
    Variant("over TCP, 200 connections", name="linux", load=_near(connections=200)),
    Variant("kvd, its locks striped", name="linux"),
    Variant("kvd, one global lock", name="linux", load=_near(locks="global")),
    Variant("kvd, a socket and a vCPU a thread", name="linux+pin"),
    Variant("no mitigations", name=f"{MEMCACHED}+unmitigated"),
    Variant("Haswell", hardware=Hardware(uarch="haswell")),
    Variant("one vCPU, at 120 %", hardware=Hardware(cpus=1), load=_near(load=1.2)),
)


def variant_tables(jobs: int, requests: int) -> dict[str, str]:
    """One line a variant."""
    wanted = [
        Comparison(
            (get_personality(each.name),), each.hardware,
            msgspec.structs.replace(each.load, requests=requests), DEFAULT_TIMING,
        )
        for each in VARIANTS
    ]  # fmt: skip
    found = run_all(run_comparison, wanted, "variants", jobs)
    return variant_texts([each.title for each in VARIANTS], [outcomes[0].run for _, outcomes in found])


def main() -> None:
    """Makes the tables asked for."""
    parser = argparse.ArgumentParser(description="The tables of docs/results.md about unmodified Linux.")
    parser.add_argument("--only", default="scale,chronos,variants", help="which, joined by commas")
    parser.add_argument("--names", default=",".join(NAMES), help="scale: personalities to measure again; others as kept")
    parser.add_argument("--kept", type=Path, default=Path("docs/results-scale.json"), help="scale: where figures are kept")
    parser.add_argument("--requests", type=int, default=1_000, help="measured requests a run; chronos takes twice as many")
    parser.add_argument("--jobs", type=int, default=host_processors())
    parser.add_argument("--write", type=Path, metavar="PAGE", help="replace the tables of this page")
    parser.add_argument("--svg", type=Path, default=None, help="the picture of scale")
    options = parser.parse_args()
    wanted = options.only.split(",")
    made = []
    if "scale" in wanted:
        made.append(scale_tables(options.names.split(","), options.jobs, options.requests, options.kept))
    if "global" in wanted:
        made.append(global_tables(options.jobs, options.requests))
    for tables, drawn in made:
        deliver(tables, options.write)
        if options.svg:
            options.svg.write_text(drawn)
    if "chronos" in wanted:
        deliver(chronos_tables(options.jobs, 2 * options.requests), options.write)
    if "variants" in wanted:
        deliver(variant_tables(options.jobs, options.requests), options.write)


if __name__ == "__main__":
    main()
