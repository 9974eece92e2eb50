# SPDX-License-Identifier: GPL-2.0-or-later
"""What faults on distributed shared memory cost, by component and place: the tables and picture of docs/shared-memory.md.

    python -m bench.shared_memory examples/shared-memory/faults.toml [--timing detailed] [--nodes 18]
        [--write docs/shared-memory.md] [--picture docs/shared-memory.svg]

Runs a cluster of `dsm` programs (apps/dsm). Busy cycles are of all nodes, between two lines of the home's console, divided by the
accesses: a message's acknowledgement is in them, though nobody waits for it; the console itself is not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.followed import cycles_each, follow_to_end, page_arguments
from bench.markdown import deliver, number, table
from bench.shared_memory_picture import READERS, picture
from cyclescope.cluster.file import read_cluster
from cyclescope.cluster.spec import Cluster
from emu.uarch.table import load

END = re.compile(r"end (.*): count (\d+) cycles (\d+) least (\d+) most (\d+)")


@dataclass(frozen=True)
class Measured:
    """One kind of access: what one took at the node that did it, and what it cost each node."""

    name: str
    count: int
    hz: int
    mean_us: float
    least_us: float
    most_us: float
    frames: float
    wire_bytes: float
    busy_cycles: dict[str, dict[str, float]]
    """Node -> component -> cycles, without idle ones and the console's; only what is not 0."""

    @property
    def who(self) -> str:
        """The node that did it."""
        return "home" if self.name.startswith("read by the home") else "writer"

    @property
    def busy(self) -> dict[str, float]:
        """Node -> cycles."""
        return {node: sum(components.values()) for node, components in self.busy_cycles.items()}


def of_size(cluster: Cluster, nodes: int, count: int | None = None) -> Cluster:
    """The same with so many nodes (3 to 64), further ones like its last, perhaps with another number of accesses."""
    last = cluster.nodes[-1]
    made = []
    for own in range(nodes):
        node = cluster.nodes[own] if own < len(cluster.nodes) else msgspec.structs.replace(last, name=f"reader{own - 1}")
        _, _, address, accesses = node.arguments or ()
        words = (str(own), str(nodes), address, str(count or accesses))
        made.append(msgspec.structs.replace(node, arguments=words))
    return msgspec.structs.replace(cluster, nodes=tuple(made))


def measure(cluster: Cluster) -> list[Measured]:
    """Boots it, and measures until the home says that it is over. Raises ConfigError, GuestError."""
    followed = follow_to_end(cluster, cluster.nodes[0].name, "dsm: ", "dsm: over")
    hz, found = load(cluster.nodes[0].uarch).hz, []
    for step in followed.steps:
        if (end := END.fullmatch(step.line)) is None:
            continue
        name, (count, cycles, least, most) = end[1], map(int, end.groups()[1:])
        busy = cycles_each(step.cycles, count)
        micro, frames = 1e6 / hz, step.frames / count
        mean = cycles / count * micro
        found.append(Measured(name, count, hz, mean, least * micro, most * micro, frames, step.frame_bytes / count, busy))
    return found


def accesses(found: Sequence[Measured]) -> str:
    """A line a kind of access."""
    rows = []
    for each in found:
        readers = READERS.fullmatch(each.name)
        if readers is not None and int(readers[1]).bit_count() > 1:
            continue  # the picture has them all
        busy = each.busy
        own, home = busy.pop(each.who, 0.0), busy.pop("home", 0.0)
        spread = [f"{least:.2f}" if each.most_us else "" for least in (each.least_us, each.most_us)]
        numbers = [f"{each.frames:.1f}", f"{each.wire_bytes:,.0f}", number(own), number(home), number(sum(busy.values()))]
        rows.append([each.name, f"{each.mean_us:.2f}", *spread, *numbers])
    head = ["access", "mean us", "least", "most", "frames", "bytes", "busy cycles: who faults", "the home", "others"]
    return table(head, rows)


def components(found: Sequence[Measured], names: Sequence[str]) -> str:
    """Busy cycles of all nodes by component, a column an access."""
    chosen = [each for name in names for each in found if each.name == name]
    total = [_by_component(each) for each in chosen]
    parts = sorted({part for each in total for part in each}, key=lambda part: -max(each.get(part, 0.0) for each in total))
    rows = [[part, *(number(each.get(part, 0.0)) for each in total)] for part in parts]
    rows.append(["all", *(number(sum(each.values())) for each in total)])
    return table(["cycles", *(each.name for each in chosen)], rows)


def _by_component(each: Measured) -> dict[str, float]:
    total: dict[str, float] = {}
    for parts in each.busy_cycles.values():
        for part, cycles in parts.items():
            total[part] = total.get(part, 0.0) + cycles
    return total


SHOWN = ["read, zeros", "read, at home", "read, written elsewhere", "write, written elsewhere", "write, read here and by 4 others"]


def main() -> None:
    parser = page_arguments(__doc__, timing=None)
    parser.add_argument("file", type=Path, help="a cluster of dsm programs")
    parser.add_argument("--nodes", type=int, help="so many, all but two of them readers; by default the file's")
    options = parser.parse_args()
    cluster = read_cluster(options.file)
    if options.nodes:
        cluster = of_size(cluster, options.nodes)
    if options.timing:
        cluster = msgspec.structs.replace(cluster, timing=options.timing)
    found = measure(cluster)
    deliver({"accesses": accesses(found), "components": components(found, SHOWN)}, options.write)
    if options.picture:
        options.picture.write_text(picture(found))


if __name__ == "__main__":
    main()
