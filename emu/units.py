# SPDX-License-Identifier: GPL-2.0-or-later
"""World time is an integer number of picoseconds (suffix _ps); everything else converts here, in integers."""

PS_PER_NS = 1_000
PS_PER_US = 1_000_000
PS_PER_MS = 1_000_000_000
PS_PER_S = 1_000_000_000_000

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30


def ns(value: float) -> int:
    """Nanoseconds to picoseconds, to the nearest."""
    return round(value * PS_PER_NS)


def us(value: float) -> int:
    """Microseconds to picoseconds, to the nearest."""
    return round(value * PS_PER_US)


def ms(value: float) -> int:
    """Milliseconds to picoseconds, to the nearest."""
    return round(value * PS_PER_MS)


def seconds(value: float) -> int:
    """Seconds to picoseconds, to the nearest."""
    return round(value * PS_PER_S)


def cycles_to_ps(cycles: int, hz: int) -> int:
    """Cycles of a clock of `hz` to picoseconds, rounded down: the same rule as the core's, so both agree."""
    return cycles * PS_PER_S // hz


def ps_to_cycles(time_ps: int, hz: int) -> int:
    """Picoseconds to whole cycles of a clock of `hz`, rounded down."""
    return time_ps * hz // PS_PER_S


def bits_to_ps(bits: int, bits_per_second: int) -> int:
    """Time that `bits` occupy a link, rounded up (a frame is not there before its last bit is)."""
    return -(-bits * PS_PER_S // bits_per_second)
