# SPDX-License-Identifier: GPL-2.0-or-later
"""What bounds a body: each resource's own bound, what lifting it brings, and which of them is the bottleneck.

`alone` is what the body would take if nothing else bound it: counted (issue slots over width; micro-ops over the ports that take
them, spread evenly; the longest dependency chain) or run with all else lifted (front end, units that are held, serialising
instructions). `without` is the same run with this one alone lifted. The bottleneck is the one whose lifting brings most; where no
single one brings anything, those whose own bound is what the body takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_

from emu.core.prediction import Lift

EVERYTHING = reduce(or_, Lift)
DEPENDENCIES = Lift.REGISTERS | Lift.FORWARDING
GAIN = 0.05
"""Share of the cycles that lifting a bound must bring to count."""
NEAR = 0.94
MAX_UNIONS = 4096


@dataclass(frozen=True)
class Bound:
    """Cycles an iteration; `alone` is None where a bound makes no sense by itself."""

    key: str
    name: str
    alone: float | None
    without: float


@dataclass(frozen=True)
class Bottleneck:
    """`keys`: one bound, or several that hold together; none: no bound explains it."""

    keys: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Counted:
    """What is counted, not run: cycles an iteration."""

    issue: float
    width: int
    ports: float
    port_mask: int
    chain: float
    through_memory: bool


def bounds_of(run: Callable[[Lift], float], cycles: float, counted: Counted) -> list[Bound]:
    """`run` gives cycles an iteration with bounds lifted; `cycles` is that with none."""
    nothing_left = run(EVERYTHING)

    def alone(lift: Lift) -> float | None:  # None: no more than what is left when nothing binds
        took = run(EVERYTHING & ~lift)
        return took if took > nothing_left + 0.01 else None

    def without(lift: Lift) -> float:
        return min(run(lift), cycles)

    port = f"port{'s' * (counted.port_mask.bit_count() > 1)} {port_names(counted.port_mask)}"
    chain = "dependency chain" + (", through memory" if counted.through_memory else "")
    lcp = without(Lift.LCP)
    return [
        Bound("chain", chain, counted.chain or None, without(DEPENDENCIES)),
        Bound("forwarding", "store forwarding", None, without(Lift.FORWARDING)),
        Bound("ports", port, counted.ports or None, without(Lift.PORTS)),
        Bound("unit", "divider or microcode sequencer", alone(Lift.DIVIDER), without(Lift.DIVIDER)),
        Bound("issue", f"issue width ({counted.width} a cycle)", counted.issue, without(Lift.ISSUE)),
        Bound("predecode", "predecoder", alone(Lift.PREDECODE | Lift.LCP), without(Lift.PREDECODE | Lift.LCP)),
        Bound("lcp", "length-changing prefixes", None, lcp),
        Bound("decode", "decoders", alone(Lift.DECODE), without(Lift.DECODE)),
        Bound("uop_cache", "micro-op cache, a taken branch", alone(Lift.UOP_CACHE), without(Lift.UOP_CACHE)),
        Bound("window", "window (ROB, scheduler, buffers)", None, without(Lift.WINDOW)),
        Bound("pages", "a new page (second-level TLB)", None, without(Lift.PAGES)),
        Bound("serial", "serialising instructions", alone(Lift.SERIAL), without(Lift.SERIAL)),
    ]


def bottleneck_of(bounds: list[Bound], cycles: float) -> Bottleneck:
    """See the module."""
    wins = sorted((b for b in bounds if cycles - b.without > GAIN * cycles), key=lambda b: b.without)
    special = {b.key: b for b in wins if b.key in ("forwarding", "lcp")}
    if wins:
        top = wins[0]
        if top.key == "predecode" and "lcp" in special and special["lcp"].without <= top.without + GAIN * cycles:
            top = special["lcp"]
        elif top.key == "forwarding":
            top = next((b for b in wins if b.key == "chain"), top)
        text = f"{top.name}: {top.without:.2f} cycles without it"
        if top.alone is not None and top.alone < NEAR * cycles:
            text += f"; by itself it would take {top.alone:.2f}"
        return Bottleneck((top.key,), text)
    together = [b for b in bounds if b.alone is not None and b.alone >= NEAR * cycles]
    if together:
        *most, last = [b.name for b in together]
        text = f"{', '.join(most)} and {last}, {'all' if len(most) > 1 else 'both'} at their limit" if most else last
        return Bottleneck(tuple(b.key for b in together), text)
    closest = max((b for b in bounds if b.alone is not None), key=lambda b: b.alone or 0.0)
    return Bottleneck((), f"no single one; the largest bound is {closest.name}, {closest.alone:.2f} cycles by itself")


def port_bound(by_mask: Mapping[int, float]) -> tuple[float, int]:
    """The largest number of micro-ops a port that must go to a set of ports, over all sets; and the smallest set that has it."""
    unions = {0}
    for mask in by_mask:
        unions |= {mask | other for other in unions}
        if len(unions) > MAX_UNIONS:
            break
    best, where = 0.0, 0
    for union in sorted(unions - {0}, key=lambda u: (u.bit_count(), u)):
        load = sum(n for mask, n in by_mask.items() if mask | union == union) / union.bit_count()
        if load > best + 1e-9:
            best, where = load, union
    return best, where


def port_names(mask: int) -> str:
    """`p0156`; beyond port 9, `p(0,10)`."""
    numbers = [n for n in range(16) if mask >> n & 1]
    if any(n > 9 for n in numbers):
        return f"p({','.join(map(str, numbers))})"
    return "p" + "".join(map(str, numbers))
