# SPDX-License-Identifier: GPL-2.0-or-later
"""What asking a general-purpose node costs, on both nodes and by component: the table and the picture of docs/offload.md.

    python -m bench.offload [--timing detailed] [--write docs/offload.md] [--picture docs/offload.svg]

Runs examples/offload/costs.toml. A step's cycles are all that a node's vCPUs were busy with meanwhile, but for its console; what
they are busy with when nothing is asked, in as much time, is taken off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.followed import CONSOLE, follow_to_end, page_arguments
from bench.markdown import deliver, number, table, us
from cyclescope.cluster.file import read_cluster
from cyclescope.cluster.follow import Step
from cyclescope.report.bars import stacked_bars

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "offload" / "costs.toml"
ASKS, ANSWERS = "back", "gpos"
IDLE = "nothing for 20 ms"
OWN = ("offload", "message", "app", "event", "ebb")  # of a libos node
PARTS = ("node: library and program", "node: rest of libos", "gpos: program", "gpos: kernel")


@dataclass(frozen=True)
class Operation:
    """One of them; busy cycles by node and component."""

    name: str
    times: int
    latency_ns: float
    cycles: Mapping[str, Mapping[str, float]]

    def busy(self, node: str, own: Sequence[str]) -> tuple[float, float]:
        """Of those components, and of others."""
        mine = sum(count for name, count in self.cycles.get(node, {}).items() if name in own)
        return mine, sum(self.cycles.get(node, {}).values()) - mine


def measure(timing: str) -> list[Operation]:
    """All that the example measures. Raises GuestError where it does not come to its end."""
    cluster = msgspec.structs.replace(read_cluster(EXAMPLE), timing=timing)
    followed = follow_to_end(cluster, ASKS, "bench: ", "offload: over")
    steps = [step for step in followed.steps if step.line != "begin"]
    still = next(step for step in steps if step.line.endswith(IDLE))
    return [_operation(step, still) for step in steps if step is not still]


def _operation(step: Step, still: Step) -> Operation:
    times, name = step.line.split(" ", 1)
    took, idle_took = step.end_ps - step.start_ps, still.end_ps - still.start_ps
    cycles = {
        node: {
            part: max(0.0, count - still.cycles.get(node, {}).get(part, 0) * took / idle_took) / int(times)
            for part, count in parts.items()
            if part != CONSOLE
        }
        for node, parts in step.cycles.items()
    }
    return Operation(name, int(times), took / 1000 / int(times), cycles)


def costs(operations: Sequence[Operation]) -> str:
    """A line an operation."""
    rows = []
    for each in operations:
        library, rest = each.busy(ASKS, OWN)
        program, kernel = each.busy(ANSWERS, ("app",))
        cycles = (library, rest, library + rest, program, kernel, program + kernel)
        rows.append([each.name, us(each.latency_ns), *map(number, cycles)])
    return table(["", "us", *PARTS[:2], "node, all", *PARTS[2:], "gpos, all"], rows)


def picture(operations: Sequence[Operation]) -> str:
    """Busy cycles as bars."""
    bars = [(each.name, [n / 1000 for n in (*each.busy(ASKS, OWN), *each.busy(ANSWERS, ("app",)))]) for each in operations]
    return stacked_bars("Asking a general-purpose node", "thousands of busy cycles of both nodes", PARTS, [("", bars)])


def main() -> None:
    """Makes both."""
    options = page_arguments(__doc__).parse_args()
    operations = measure(options.timing)
    deliver({"costs": costs(operations)}, options.write)
    if options.picture:
        options.picture.write_text(picture(operations))


if __name__ == "__main__":
    main()
