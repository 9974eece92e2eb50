# SPDX-License-Identifier: GPL-2.0-or-later
"""How clusters scale with their nodes: a table, JSON, a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console

from cyclescope.cluster.scaling import ScaledCluster
from cyclescope.cluster.spec import Cluster
from cyclescope.config import config_hash
from cyclescope.report.svg import COLOURS, Line, line_chart, panels
from cyclescope.report.tables import compact_table

SCHEMA = 1


def cluster_scale_document(clusters: Sequence[Cluster], found: Sequence[ScaledCluster], share: float) -> dict[str, Any]:
    """All figures, and the hash of what they are of."""
    return {
        "schema": SCHEMA, "load": share, "config_hash": config_hash(*clusters, str(share)),
        "sizes": [each.document() for each in found],
    }  # fmt: skip


def print_cluster_scale(console: Console, found: Sequence[ScaledCluster], share: float) -> None:
    """One line a size."""
    table = compact_table("")
    table.add_column("", no_wrap=True)
    near = f"at {share * 100:.0f} %"
    for name in (
        "\nnodes", "capacity\nk/s", "\na node", "one\nmean us", "\np99", f"{near}\nmean us", "\np99", "full\ncycles", "\nlost"
    ):  # fmt: skip
        table.add_column(name, justify="right", no_wrap=True)
    first: dict[str, ScaledCluster] = {}
    for each in found:
        if each.name not in first and first:
            table.add_section()
        one = first.setdefault(each.name, each)
        per_node = each.full.rate_rps / each.nodes / (one.full.rate_rps / one.nodes)
        table.add_row(
            each.name, str(each.nodes), f"{each.full.rate_rps / 1e3:,.0f}", f"{per_node * 100:.0f} %",
            *(f"{ns / 1e3:,.2f}" for ns in (each.one.mean_ns, each.one.p99_ns, each.near.mean_ns, each.near.p99_ns)),
            f"{each.full.cycles:,.0f}", str(each.one.lost + each.full.lost + each.near.lost),
        )  # fmt: skip
    console.print(table, markup=False)


def cluster_scale_picture(found: Sequence[ScaledCluster], title: str, share: float) -> str:
    """Two panels over nodes: capacity, and latency."""
    names = list(dict.fromkeys(each.name for each in found))
    ticks = [(float(nodes), str(nodes)) for nodes in sorted({each.nodes for each in found})]

    def lines(*curves: Callable[[ScaledCluster], float]) -> list[Line]:
        """The second curve is dashed, and not in the legend: the title names it."""
        return [
            Line(
                "" if dashed else name, COLOURS[number % len(COLOURS)],
                [(float(each.nodes), value(each)) for each in found if each.name == name], dashed=dashed > 0,
            )
            for number, name in enumerate(names)
            for dashed, value in enumerate(curves)
        ]  # fmt: skip

    charts = [
        line_chart(f"Capacity ({title})", "nodes", "requests/s (M)", lines(lambda each: each.full.rate_rps / 1e6), ticks),
        line_chart(
            f"Latency at {share * 100:.0f} % of capacity: mean; dashed: p99", "nodes", "us",
            lines(lambda each: each.near.mean_ns / 1e3, lambda each: each.near.p99_ns / 1e3), ticks,
        ),
    ]  # fmt: skip
    return panels(charts, 2)
