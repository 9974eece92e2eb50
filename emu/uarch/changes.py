# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows of a processor table changed by name, as people write it: `iret=300` gives a value, `iret=x0.5` scales the table's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from fractions import Fraction

from emu.errors import ConfigError
from emu.uarch.table import UarchTable

MAX_VALUE = 2**31 - 1
_CHANGE = re.compile(r"([a-z0-9_]+)=(x?)(\d+(?:\.\d+)?)")
HOW = "give ROW=VALUE, or ROW=xFACTOR such as iret=x0.5"


def parse_changes(table: UarchTable, words: Iterable[str]) -> dict[str, int]:
    """Row -> new value, in the order of the words. A scaled value is rounded to the nearest integer, halves up.

    Raises:
        ConfigError: no such row, no number, a factor of 0, a row named twice, a value beyond 2^31 - 1.
    """
    changes: dict[str, int] = {}
    for word in words:
        match = _CHANGE.fullmatch(word)
        if match is None:
            raise ConfigError(f"--set {word!r}: {HOW}")
        name, scaled, number = match[1], bool(match[2]), match[3]
        row = {row.name: row for row in table.rows}.get(name)
        if row is None:
            near = get_close_matches(name, [row.name for row in table.rows], 1)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise ConfigError(f"--set {word!r}: processor table {table.name} has no row {name}{meant}")
        if name in changes:
            raise ConfigError(f"--set {word!r}: row {name} is given twice; give it once")
        if scaled:
            if not Fraction(number):
                raise ConfigError(f"--set {word!r}: a factor is above 0; to switch a row off, give {name}=0")
            value = scale(row.value, Fraction(number))
        elif "." in number:
            raise ConfigError(f"--set {word!r}: a row's value is an integer ({row.unit}); {HOW}")
        else:
            value = int(number)
        if value > MAX_VALUE:
            raise ConfigError(f"--set {word!r}: {value} is beyond a row's largest value, {MAX_VALUE}")
        changes[name] = value
    return changes


def scale(value: int, factor: Fraction) -> int:
    """`value` times `factor`, rounded to the nearest integer, halves up."""
    return int(value * factor + Fraction(1, 2))
