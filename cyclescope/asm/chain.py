# SPDX-License-Identifier: GPL-2.0-or-later
"""The longest loop-carried dependency chain: the cycle of largest latency per iteration in the graph of who waits for whom.

The graph is one iteration's micro-ops; an edge says that one needs another's result, so many iterations before. The largest
ratio of latency to iterations over all its cycles is what the chain alone would take: the maximum cycle ratio, found by
Dinkelbach's method (raise the ratio to that of any cycle that exceeds it, until none does).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeVar

Node = TypeVar("Node", bound=Hashable)


@dataclass(frozen=True)
class Edge(Generic[Node]):
    """`to` is done at least `latency` cycles after `source`, of `distance` iterations before, is."""

    source: Node
    to: Node
    latency: int
    distance: int
    memory: bool = False


@dataclass(frozen=True)
class Chain(Generic[Node]):
    """Cycles an iteration; the edges around it, in order of dependence."""

    cycles: Fraction
    edges: tuple[Edge[Node], ...]


def longest_chain(edges: Sequence[Edge[Node]]) -> Chain[Node] | None:
    """None when nothing is carried from an iteration to a later one. Edges of distance 0 must form no cycle."""
    best: Chain[Node] | None = None
    while True:
        ratio = best.cycles if best is not None else Fraction(0)
        cycle = _exceeding(edges, ratio)
        if cycle is None:
            return best
        best = Chain(Fraction(sum(e.latency for e in cycle), sum(e.distance for e in cycle)), tuple(cycle))


def _exceeding(edges: Sequence[Edge[Node]], ratio: Fraction) -> list[Edge[Node]] | None:
    """A cycle whose latency an iteration is larger (Bellman and Ford, longest paths)."""
    p, q = ratio.numerator, ratio.denominator
    weighted = [(e, e.latency * q - e.distance * p) for e in edges]
    length: dict[Node, int] = {node: 0 for e in edges for node in (e.source, e.to)}
    last: dict[Node, Edge[Node]] = {}
    for _ in range(len(length) + 1):
        changed = False
        for edge, weight in weighted:
            if length[edge.source] + weight > length[edge.to]:
                length[edge.to] = length[edge.source] + weight
                last[edge.to] = edge
                changed = True
        if not changed:
            return None
        cycle = _cycle(last)
        if cycle is not None:
            return cycle
    return None


def _cycle(last: dict[Node, Edge[Node]]) -> list[Edge[Node]] | None:
    seen: dict[Node, int] = {}
    for walk, start in enumerate(last):
        node = start
        while node in last and node not in seen:
            seen[node] = walk
            node = last[node].source
        if node in last and seen.get(node) == walk:
            found = [last[node]]
            while found[-1].source != node:
                found.append(last[found[-1].source])
            return found[::-1]
    return None
