# SPDX-License-Identifier: GPL-2.0-or-later
"""Loads a processor table: `NAME.toml` (rows) and the CSV of instruction forms it names.

A row is a number with its unit, source and grade. `core_rows` and `core_forms` are what the core library takes (`cs_uarch`,
`cs_insn_table`); it refuses missing and unknown rows itself, so their list lives in one place, `emu/core/uarch.h`.
"""

import csv
import enum
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from emu.errors import ConfigError

HERE = Path(__file__).parent
MORE_PORTS = 0x8000
"""`CoreForm.flags`: another port set of the form before (uarch.h: FORM_MORE)."""
OWN_UNIT = 1
"""`CoreForm.flags`: the form holds its unit for its whole throughput (uarch.h: FORM_UNPIPELINED)."""
COMPLEX = 2
"""`CoreForm.flags`: only the first decoder takes it (uarch.h: FORM_COMPLEX)."""
MAX_16 = 0xFFFF


class Grade(enum.StrEnum):
    """How good a number is."""

    PUBLISHED = "published"
    MEASURED = "measured"
    MODELLED = "modelled"
    ASSUMED = "assumed"


@dataclass(frozen=True, slots=True)
class Row:
    """One named number of a processor."""

    section: str
    name: str
    value: int
    unit: str
    source: str
    grade: Grade


@dataclass(frozen=True, slots=True)
class Form:
    """One instruction form: fused micro-ops, cycles from a register to the result, cycles per instruction, port sets."""

    name: str
    uops: int
    latency: int
    throughput: float
    ports: tuple[tuple[int, int], ...]
    """(micro-ops, mask of ports) pairs."""
    own_unit: bool
    complex: bool
    grade: Grade


@dataclass(frozen=True, slots=True)
class CoreForm:
    """One row of `cs_insn_table`, field by field."""

    mnemonic: str
    uops16: int
    latency: int
    ports: int
    recip16: int
    flags: int


@dataclass(frozen=True, slots=True)
class UarchTable:
    """A processor: frequency in Hz, rows, instruction forms."""

    name: str
    hz: int
    rows: tuple[Row, ...]
    forms: tuple[Form, ...]

    def __getitem__(self, name: str) -> Row:
        """The row of that name; KeyError if there is none."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def core_rows(self) -> list[tuple[str, int]]:
        """(name, value) for `cs_uarch`."""
        return [(row.name, row.value) for row in self.rows]

    def core_forms(self) -> list[CoreForm]:
        """Rows for `cs_insn_table`: each form, then its port sets."""
        out: list[CoreForm] = []
        for form in self.forms:
            recip16 = min(round(form.throughput * 16), MAX_16)
            flags = OWN_UNIT * form.own_unit + COMPLEX * form.complex
            out.append(CoreForm(form.name, min(form.uops * 16, MAX_16), form.latency, 0, recip16, flags))
            out += [CoreForm(form.name, n * 16, 0, mask, 0, MORE_PORTS) for n, mask in form.ports]
        return out

    def varied(self, changes: Mapping[str, int]) -> "UarchTable":
        """The same processor with some rows' values replaced. Raises ConfigError for a row there is not."""
        unknown = sorted(set(changes) - {row.name for row in self.rows})
        if unknown:
            raise ConfigError(f"Processor table {self.name} has no row {unknown[0]!r}.")
        rows = (replace(r, value=changes[r.name]) if r.name in changes else r for r in self.rows)
        return replace(self, rows=tuple(rows))


def names() -> list[str]:
    """Tables there are, sorted."""
    return sorted(path.stem for path in HERE.glob("*.toml"))


@cache
def load(name: str) -> UarchTable:
    """The table of that name. Raises ConfigError, naming the file and the place, if it is not there or not sound."""
    if name not in names():
        raise ConfigError(f"There is no processor table {name!r}; there are: {', '.join(names())}.")
    path = HERE / f"{name}.toml"
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path.name}: {error}.") from error
    rows = [_row(path, section, key, value)
            for section, table in raw.items() if isinstance(table, dict) for key, value in table.items()]
    seen: set[str] = set()
    for row in rows:
        if row.name in seen:
            raise ConfigError(f"{path.name}: row {row.name} is given twice.")
        seen.add(row.name)
    hz = raw.get("hz")
    if not isinstance(hz, int) or hz <= 0 or not raw.get("hz_source"):
        raise ConfigError(f"{path.name}: hz must be a positive integer, with hz_source.")
    return UarchTable(name, hz, tuple(rows), _forms(HERE / str(raw["instructions"])))


def _row(path: Path, section: str, name: str, value: Any) -> Row:
    where = f"{path.name}: row {section}.{name}"
    if not isinstance(value, dict) or set(value) != {"value", "unit", "source", "grade"}:
        raise ConfigError(f"{where} needs value, unit, source and grade, and nothing else.")
    if type(value["value"]) is not int or value["value"] < 0:
        raise ConfigError(f"{where}: value must be an integer, 0 or more.")
    if not all(isinstance(value[k], str) and value[k] for k in ("unit", "source")):
        raise ConfigError(f"{where}: unit and source must say something.")
    return Row(section, name, value["value"], value["unit"], value["source"], _grade(where, value["grade"]))


def _grade(where: str, text: str) -> Grade:
    try:
        return Grade(text)
    except ValueError:
        raise ConfigError(f"{where}: {text!r} is no grade; there are {', '.join(Grade)}.") from None


def _ports(where: str, text: str) -> tuple[tuple[int, int], ...]:
    """ "1*p0156+1*p23" to ((1, 0x63), (1, 0x0c))."""
    if not text:
        return ()
    sets = []
    for part in text.split("+"):
        match = re.fullmatch(r"(\d+)\*p([0-9a-f]+)", part)
        if match is None:
            raise ConfigError(f"{where}: {part!r} is no port set.")
        sets.append((int(match[1]), sum(1 << int(p, 16) for p in match[2])))
    return tuple(sets)


def _forms(path: Path) -> tuple[Form, ...]:
    forms = []
    with path.open(encoding="ascii", newline="") as f:
        for line, row in enumerate(csv.DictReader(r for r in f if not r.startswith("#")), 2):
            where = f"{path.name}: form {line - 1} ({row['form']})"
            try:
                forms.append(Form(row["form"], int(row["uops"]), int(row["latency"]), float(row["throughput"]),
                                  _ports(where, row["ports"]), row["own"] == "1", row["complex"] == "1",
                                  _grade(where, row["grade"])))
            except ValueError as error:
                raise ConfigError(f"{where}: {error}.") from error
    return tuple(forms)
