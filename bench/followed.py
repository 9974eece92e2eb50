# SPDX-License-Identifier: GPL-2.0-or-later
"""What benchmarks share that follow a cluster to its end: their options, the run, and what an operation of it took."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from cyclescope.cluster.follow import Followed, follow_cluster
from cyclescope.cluster.spec import Cluster
from emu.errors import GuestError

LIMIT_MS = 60_000
CONSOLE = "console"
"""The component whose cycles are the measurement's own."""


def arguments(about: str | None, timing: str | None = "detailed") -> argparse.ArgumentParser:
    """Options of all of them; without a timing level the file's holds."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--timing", default=timing, help=f"detailed, fast or functional; default: {timing or 'the file says it'}")
    parser.add_argument("--picture", type=Path, metavar="SVG")
    return parser


def page_arguments(about: str | None, timing: str | None = "detailed") -> argparse.ArgumentParser:
    """The same for one whose tables stand in a page."""
    parser = arguments(about, timing)
    parser.add_argument("--write", type=Path, metavar="PAGE", help="replace the tables of this page")
    return parser


def follow_to_end(cluster: Cluster, node: str, prefix: str, until: str) -> Followed:
    """As follow_cluster. Raises GuestError where the end does not come."""
    followed = follow_cluster(cluster, node, prefix, until, LIMIT_MS)
    if not followed.ended:
        raise GuestError(f"{cluster.where}: it did not come to its end; the last that was said: {followed.console[-1:]}")
    return followed


def cycles_each(cycles: Mapping[str, Mapping[str, int]], times: int) -> dict[str, dict[str, float]]:
    """Of one of so many operations, by node and component, without the console's."""
    return {node: {part: count / times for part, count in parts.items() if part != CONSOLE} for node, parts in cycles.items()}
