# SPDX-License-Identifier: GPL-2.0-or-later
"""Clusters in a terminal and as JSON: where a request's latency goes by role and component, and what each node did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from cyclescope.cluster.result import ClusterRun, NodeRun
from cyclescope.report.bars import stacked_bars
from cyclescope.report.chronos import ROWS, Row, percentile_ns, rows_of
from cyclescope.report.tables import compact_table

SCHEMA = 1
BETWEEN_NODES = "between nodes"
_PALETTE = (  # of the table's rows: fabric, end host, kernel, application
    "#95a5a6", "#5d6d7e", "#aeb6bf", "#1f618d", "#2e86c1", "#85c1e9", "#7d3c98", "#c39bd3",
    "#c0392b", "#641e16", "#f1948a", "#239b56",
)  # fmt: skip
_NODE_COLUMNS = {  # components that share a column; offload: of libraries that ask a general-purpose node
    **{name: (name,) for name in ("app", "syscall", "irq", "driver")},
    "net": ("netdev", "ip", "udp"),
    **{name: (name,) for name in ("socket", "lock", "sched")},
    "offload": ("offload", "message", "console"),
}


def group_rows(run: ClusterRun) -> dict[str, list[Row]]:
    """Each role's rows, and those between nodes; all their means sum to the mean latency."""
    mean = float(run.latency_ps.mean()) if run.latency_ps.size else 0.0
    found: dict[str, list[Row]] = {}
    for role, places in run.groups().items():
        columns = run.of_places(places)
        rows = rows_of([run.part_names[i] for i in columns], run.parts_ps[:, columns], mean)
        found[role or BETWEEN_NODES] = [row for row in rows if row.mean_ns > 0]
    return found


def print_clusters(console: Console, runs: Sequence[ClusterRun]) -> None:
    """All tables, side by side where they are comparable."""
    console.print(latency_table(runs))
    console.print()
    console.print(node_table(runs))
    for run in runs:
        console.print()
        _footnotes(console, run)


def latency_table(runs: Sequence[ClusterRun]) -> Table:
    """Role by role: mean and p99 in microseconds, share of the mean latency."""
    load = runs[0].cluster.load
    table = compact_table(
        f"Where a request's latency goes: {runs[0].sent:,} requests after {load.warmup:,} of warm-up, seed {runs[0].cluster.seed}"
    )
    table.add_column("Role", no_wrap=True)
    table.add_column("Description", no_wrap=True)
    for run in runs:
        for name, unit in ((run.cluster.name, "mean us"), ("", "p99 us"), ("", "%")):
            table.add_column(f"{name}\n{unit}", justify="right", no_wrap=True)
    columns = [group_rows(run) for run in runs]
    order = [f"{group}, {name.lower()}" if group == "Kernel" else name for group, name, _ in ROWS]
    for role in dict.fromkeys(role for groups in columns for role in groups):
        named = [{_label(row): row for row in groups.get(role, [])} for groups in columns]
        if not any(named):
            continue
        first = role
        for label in order:
            if not any(label in rows for rows in named):
                continue
            cells = [cell for rows in named for cell in _cells(rows.get(label))]
            table.add_row(first, label, *cells)
            first = ""
        sums = [sum(row.mean_ns for row in groups.get(role, [])) for groups in columns]
        shares = [sum(row.share for row in groups.get(role, [])) for groups in columns]
        cells = [cell for both in zip(sums, shares, strict=True) for cell in (_us(both[0]), "", f"{both[1] * 100:.1f}")]
        table.add_row("", "sum", *cells, style="bold")
        table.add_section()
    totals = [cell for run in runs for cell in (_us(_mean_ns(run)), _us(percentile_ns(run.latency_ps, 99.0)), "100.0")]
    table.add_row("all", "latency, true end to end", *totals, style="bold")
    return table


def latency_picture(runs: Sequence[ClusterRun]) -> str:
    """Role by role, a bar a cluster, of what the latency table says."""
    columns = [group_rows(run) for run in runs]
    order = [f"{group}, {name.lower()}" if group == "Kernel" else name for group, name, _ in ROWS]
    roles = list(dict.fromkeys(role for groups in columns for role in groups))
    groups = []
    for title, wanted in [*((role, [role]) for role in roles), ("all", roles)]:
        bars = []
        for run, rows in zip(runs, columns, strict=True):
            sums = dict.fromkeys(order, 0.0)
            for row in (row for role in wanted for row in rows.get(role, [])):
                sums[_label(row)] += row.mean_ns / 1000
            bars.append((run.cluster.name, list(sums.values())))
        groups.append((title, bars))
    how = f"{runs[0].cluster.timing}, {runs[0].rate_rps:,.0f} requests/s, seed {runs[0].cluster.seed}"
    return stacked_bars(f"Where a request's mean latency goes ({how})", "us", order, groups, _PALETTE)


def _label(row: Row) -> str:
    return f"{row.group}, {row.name.lower()}" if row.group == "Kernel" else row.name


def _cells(row: Row | None) -> tuple[str, str, str]:
    return (_us(row.mean_ns), _us(row.p99_ns), f"{row.share * 100:.1f}") if row else ("-", "-", "-")


def node_table(runs: Sequence[ClusterRun]) -> Table:
    """One line a node: requests that came by, time there, how busy, busy cycles a request by component."""
    table = compact_table("Nodes: requests that were there, mean time there, busy share, busy cycles for each of them by component")
    for name in ("Cluster", "Node", "Personality"):
        table.add_column(name, no_wrap=True)
    for name in ("requests", "us there", "busy %", "cycles", *_NODE_COLUMNS, "other"):
        table.add_column(name, justify="right", no_wrap=True)
    for run in runs:
        for place, node in enumerate(run.nodes):
            found = node_figures(run, place)
            served = max(1, found["requests"])
            busy = {name: sum(causes.values()) for name, causes in node.cycles.items() if name != "idle"}
            shown = [sum(busy.pop(name, 0) for name in names) for names in _NODE_COLUMNS.values()]
            cycles = [f"{value / served:,.0f}" for value in (node.busy_cycles, *shown, sum(busy.values()))]
            table.add_row(
                run.cluster.name if not place else "", node.name, node.personality, f"{found['requests']:,}",
                _us(found["mean_ns"]), f"{found['busy_share'] * 100:.1f}", *cycles,
            )  # fmt: skip
        table.add_section()
    return table


def node_figures(run: ClusterRun, place: int) -> dict[str, Any]:
    """Requests that had any time on a node, their mean time there, the share of its vCPUs' time that was not idle."""
    node = run.nodes[place]
    there = run.parts_ps[:, run.of_places({place})].sum(axis=1)
    visits = there[there > 0]
    total = sum(node.vcpu_cycles)
    return {
        "requests": int(visits.size),
        "mean_ns": float(visits.mean()) / 1000.0 if visits.size else 0.0,
        "busy_share": node.busy_cycles / total if total else 0.0,
    }


def _footnotes(console: Console, run: ClusterRun) -> None:
    load = run.cluster.load
    how = f"{run.rate_rps:,.0f} requests/s" + (f" ({load.closed} outstanding)" if load.closed else " (open loop)")
    answers = ", ".join(f"{count:,} {name}" for name, count in run.answers.items()) or "no answers"
    vcpus = sum(len(node.vcpu_cycles) for node in run.nodes)
    lines = [
        f"{run.cluster.name}: {len(run.nodes)} nodes, {vcpus} vCPUs; {run.sent:,} sent at {how}, "
        f"{run.sent - run.lost:,} answered ({run.lost:,} lost): {answers}; configuration {run.config_hash}"
    ]
    lines += [f"  link {name}: {', '.join(f'{n:,} {what}' for what, n in counts.items())}" for name, counts in run.faults.items()]
    lines += [f"  {name} lost its power after {when / 1e6:,.3f} us" for name, when in run.killed.items()]
    lines += [f"  {name} ended its run after {when / 1e6:,.3f} us" for name, when in run.ended.items()]
    for command in run.commands:
        said = [f"    {line}" for line in command.answer.splitlines()]
        lines += [f"  {command.asked_ps / 1e6:,.3f} us: {command.command}", *said]
    if run.drops:
        lines.append(f"  {run.drops:,} frames found a switch's queue full")
    for node in run.nodes:
        lines += [f"  no component on {node.name}: {symbol} {cycles:,} cycles" for symbol, cycles in node.unmapped]
    if run.answers.get("wrong"):
        lines.append(f"  WRONG ANSWERS, the first: {run.first_wrong}")
    for line in lines:
        console.print(line, highlight=False, soft_wrap=not console.is_terminal)


def cluster_document(run: ClusterRun) -> dict[str, Any]:
    """One run as JSON: what `--json` prints and `summary.json` holds."""
    latency = run.latency_ps
    parts = [
        {
            "place": run.nodes[place].name if place >= 0 else BETWEEN_NODES, "part": name,
            "mean_ns": float(run.parts_ps[:, i].mean()) / 1000.0, "p99_ns": percentile_ns(run.parts_ps[:, i], 99.0),
        }
        for i, (place, name) in enumerate(zip(run.places, run.part_names, strict=True))
    ]  # fmt: skip
    percentiles = {f"p{str(p).replace('.', '')}": percentile_ns(latency, p) for p in (50, 99, 99.9)}
    return {
        "schema": SCHEMA,
        "config_hash": run.config_hash,
        "config": msgspec.to_builtins(msgspec.structs.replace(run.cluster, where="")),
        "requests": int(latency.size), "sent": run.sent, "lost": run.lost, "rate_rps": run.rate_rps,
        "latency_ns": {"mean": _mean_ns(run), **percentiles},
        "parts": parts,
        "answers": run.answers, "faults": run.faults, "switch_drops": run.drops, "killed_ps": run.killed, "ended_ps": run.ended,
        "commands": [vars(command) for command in run.commands],
        "nodes": [_node_document(run, place, node) for place, node in enumerate(run.nodes)],
        "starts": [asdict(start) for start in run.timeline.starts],
        "inputs": run.inputs,
    }  # fmt: skip


def _node_document(run: ClusterRun, place: int, node: NodeRun) -> dict[str, Any]:
    return {
        "name": node.name, "role": node.role, "personality": node.personality, **node_figures(run, place),
        "vcpu_cycles": node.vcpu_cycles, "busy_cycles": node.busy_cycles, "instructions": node.instructions,
        "causes": {component: dict(causes) for component, causes in sorted(node.cycles.items())},
    }  # fmt: skip


def _mean_ns(run: ClusterRun) -> float:
    return float(run.latency_ps.mean()) / 1000.0 if run.latency_ps.size else 0.0


def _us(nanoseconds: float) -> str:
    return f"{nanoseconds / 1000.0:,.3f}"


