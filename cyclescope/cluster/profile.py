# SPDX-License-Identifier: GPL-2.0-or-later
"""What a node's samples, as gpos tells them, say of its functions: addresses become names by the node's own image."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter

from cyclescope.cluster.programs import boot_spec, personality_of
from cyclescope.cluster.spec import Cluster, NodeSpec
from emu.ledger.symbols import read_functions

UNKNOWN = "[unknown]"


def by_function(cluster: Cluster, node: NodeSpec, answer: str) -> Counter[str]:
    """Samples of all vCPUs by function; what is no sample is passed over. Raises ConfigError for the image."""
    functions = read_functions(boot_spec(cluster, node, personality_of(node)).image)
    starts = [function.start for function in functions]
    found: Counter[str] = Counter()
    for line in answer.splitlines():
        words = line.split(" ")
        if len(words) != 3 or not words[2].isdigit():
            continue
        try:
            address = int(words[1], 16)
        except ValueError:
            continue
        at = bisect_right(starts, address) - 1
        inside = at >= 0 and address < functions[at].end
        found[functions[at].name if inside else UNKNOWN] += int(words[2])
    return found
