# SPDX-License-Identifier: GPL-2.0-or-later
"""The distributed matrix on 1 to 8 nodes: simulated time of a sum and a product of random matrices, as a series and as a picture.

    python -m bench.matrix [--timing detailed] [--picture docs/matrix-nodes.svg]
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from bench.followed import arguments, follow_to_end
from cyclescope.cluster.file import read_cluster
from cyclescope.report.svg import COLOURS, Line, line_chart

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "matrix" / "million.toml"
NODES = (1, 2, 4, 8)
LINES = (
    "create:512:512:64:64", "randomize:1:1", "sum:1", "sum:1", "create:128:128:32:32", "randomize:2:2", "multiply:2:2",
    "multiply:2:2", "sum:1", "get:1:0:0", "get:1:0:0",
)  # fmt: skip
WHAT = {3: "sum of 512 x 512 random elements", 7: "product of 128 x 128", 10: "one element"}  # by its line


def times_us(nodes: int, timing: str) -> dict[str, float]:
    """Of each operation when all nodes are there, by the front end's clock."""
    example = read_cluster(EXAMPLE)
    front = example.nodes[0]
    words = front.arguments or ()
    front = msgspec.structs.replace(front, arguments=(*words[: words.index("-c") + 1], *LINES))
    pool = msgspec.structs.replace(example.pools[0], max=nodes)
    cluster = msgspec.structs.replace(example, nodes=(front,), pools=(pool,), timing=timing)
    followed = follow_to_end(cluster, "front", "# ", "hosted_matrix ended")
    figures = [int(found[1]) / 1000 for _, _, line in followed.console if (found := re.match(r"matrix: \w+ done: (\d+) ns", line))]
    return {what: figures[line] for line, what in WHAT.items()}


def main() -> None:
    options = arguments(__doc__).parse_args()
    found = {nodes: times_us(nodes, options.timing) for nodes in NODES}
    print(f"{'nodes':>5}  " + "  ".join(f"{what} [us]" for what in WHAT.values()))
    for nodes, times in found.items():
        print(f"{nodes:5}  " + "  ".join(f"{times[what]:{len(what) + 5}.1f}" for what in WHAT.values()))
    if options.picture:
        lines = [
            Line(what, colour, [(nodes, times[what]) for nodes, times in found.items()])
            for what, colour in zip(WHAT.values(), COLOURS, strict=False)
        ]
        title = "A matrix on library OSes behind one front end on linux_like"
        picture = line_chart(title, "nodes", "simulated time [us]", lines, [(nodes, str(nodes)) for nodes in NODES])
        options.picture.write_text(picture)


if __name__ == "__main__":
    main()
