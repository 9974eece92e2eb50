# SPDX-License-Identifier: GPL-2.0-or-later
"""A personality's manifest.toml: which symbols make up which component, and the probes that follow requests.

The format is README.md beside this file. Every error is one sentence that names the file and the place.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from emu.errors import ConfigError
from emu.ledger.components import COMPONENTS, REASONS
from emu.ledger.symbols import plain_name

#: enum cs_probe_do, in order, with the keys each takes.
ACTIONS: dict[str, tuple[str, ...]] = {
    "bind": ("key",),
    "tag": ("key",),
    "move": ("key", "to"),
    "release": ("reason",),
    "handoff": ("key", "reason"),
    "wait": ("reason",),
    "wake": ("key",),
    "switch": ("key", "to"),
    "clear": (),
    "note": ("key",),
    "enter": (),
    "leave": (),
    "gather": ("key",),
    "merge": ("key", "to"),
    "part": ("key",),
    "sent": ("key", "reason"),
    "share": ("key", "to"),
    "waited": ("key", "reason"),
    "resume": ("key",),
}
RETURN_VALUE = 6
_ARGUMENT = re.compile(r"arg([0-5])|ret|\[\s*(arg([0-5])|ret)\s*(([+-])\s*(0x[0-9a-fA-F]+|\d+|[A-Za-z_]\w*\.[A-Za-z_]\w*)\s*)?\]")
_PATTERN = re.compile(r"[A-Za-z0-9_.$*?\[\]!-]+")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Argument(NamedTuple):
    """Where a probe finds a value: argument register 0 to 5 or the return value (6); when `load`, 8 bytes at it + offset.

    Or + the offset of `member`, "structure.member" of the kernel's.
    """

    source: int
    load: bool
    offset: int
    member: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """One [[probe]] entry; `id` is its number in the file, from 0."""

    id: int
    symbol: str
    do: str
    at_return: bool = False
    program: bool = False
    optional: bool = False
    key: Argument | None = None
    to: Argument | None = None
    reason: str | None = None
    name: str = ""
    when: Argument | None = None


@dataclass(frozen=True)
class Patterns:
    """An ordered list of (symbol pattern, component); the first match wins, `default` is for the rest."""

    rules: tuple[tuple[str, str], ...] = ()
    default: str = "unknown"

    @cached_property
    def _groups(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Rules in a row that name one component: (component, its patterns)."""
        groups = groupby(self.rules, key=lambda rule: rule[1])
        return tuple((component, tuple(pattern for pattern, _ in rules)) for component, rules in groups)

    @cached_property
    def _matchers(self) -> dict[str, tuple[re.Pattern[str], tuple[int, ...]]]:
        return {}

    def _matcher(self, initial: str) -> tuple[re.Pattern[str], tuple[int, ...]]:
        """One expression for all rules that such names can match, and each of its groups' place in `_groups`.

        Kernels have tens of thousands of functions: so one by initial.
        """
        if initial not in self._matchers:
            likely = [
                (place, chosen)
                for place, (_, patterns) in enumerate(self._groups)
                if (chosen := [translate(p) for p in patterns if p[0] in ("*", "?", "[", initial)])
            ]
            expression = re.compile("|".join(f"({'|'.join(chosen)})" for _, chosen in likely) or "(?!)")
            self._matchers[initial] = expression, tuple(place for place, _ in likely)
        return self._matchers[initial]

    def component(self, *symbols: str) -> str:
        """The component of a function by its name or names, whose GCC suffixes are ignored."""
        found = []
        for symbol in symbols:
            expression, places = self._matcher(symbol[:1])
            if match := expression.match(plain_name(symbol)):
                found.append(places[(match.lastindex or 1) - 1])
        return self._groups[min(found)][0] if found else self.default


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest as read; symbols are checked against the image when it is installed on a machine."""

    path: Path
    personality: Mapping[str, object] = field(default_factory=dict)
    kernel: Patterns = Patterns()
    program: Patterns = Patterns(default="app")
    spin: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    poll: tuple[str, ...] = ()
    probes: tuple[Probe, ...] = ()
    extra_components: tuple[str, ...] = ()
    extra_reasons: tuple[str, ...] = ()
    tables: Mapping[str, object] = field(default_factory=dict)  # the whole file, for keys that are others' business


def load_manifest(path: Path) -> Manifest:
    """Read and check a manifest. Raises ConfigError."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not TOML: {error}.") from error
    return _Reader(path, tables).manifest()


class _Reader:
    def __init__(self, path: Path, tables: dict[str, object]) -> None:
        self.path, self.tables = path, tables

    def fail(self, place: str, what: str) -> ConfigError:
        return ConfigError(f"{self.path}: {place}: {what}.")

    def manifest(self) -> Manifest:
        taxonomy = self.table(self.tables, "taxonomy")
        self.known(taxonomy, "[taxonomy]", ("components", "reasons"))
        self.extra_components = self.names(taxonomy, "components")
        self.extra_reasons = self.names(taxonomy, "reasons")
        self.components = {*COMPONENTS, *self.extra_components}
        self.reasons = {*REASONS, *self.extra_reasons}
        symbols = self.table(self.tables, "symbols")
        self.known(symbols, "[symbols]", ("spin", "idle", "poll"))
        program = self.table(self.tables, "program")
        self.known(program, "[program]", ("default", "components"))
        default = program.get("default", "app")
        if not isinstance(default, str) or default not in self.components:
            raise self.fail("[program] default", f"{default!r} is no component")
        entries = self.tables.get("probe", [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise self.fail("probe", "probes are written as [[probe]] tables")
        return Manifest(
            path=self.path,
            personality=self.table(self.tables, "personality"),
            kernel=Patterns(self.rules(self.table(self.tables, "components"), "[components]")),
            program=Patterns(self.rules(self.table(program, "components"), "[program.components]"), default),
            spin=self.patterns(symbols.get("spin", []), "[symbols] spin"),
            idle=self.patterns(symbols.get("idle", []), "[symbols] idle"),
            poll=self.patterns(symbols.get("poll", []), "[symbols] poll"),
            probes=tuple(self.probe(number, entry) for number, entry in enumerate(entries)),
            extra_components=self.extra_components,
            extra_reasons=self.extra_reasons,
            tables=self.tables,
        )

    def table(self, within: Mapping[str, object], name: str) -> dict[str, object]:
        value = within.get(name, {})
        if not isinstance(value, dict):
            raise self.fail(name, "is not a table")
        return value

    def known(self, table: Mapping[str, object], place: str, names: tuple[str, ...]) -> None:
        for name in table:
            if name not in names:
                raise self.fail(place, f"there is no key {name!r}; it takes {', '.join(names) or 'none'}")

    def names(self, table: Mapping[str, object], key: str) -> tuple[str, ...]:
        values = table.get(key, [])
        if not isinstance(values, list) or not all(isinstance(v, str) and _NAME.fullmatch(v) for v in values):
            raise self.fail(f"[taxonomy] {key}", "is not a list of lower-case names")
        return tuple(values)

    def patterns(self, values: object, place: str) -> tuple[str, ...]:
        if not isinstance(values, list) or not all(isinstance(v, str) and _PATTERN.fullmatch(v) for v in values):
            raise self.fail(place, "is not a list of symbol patterns")
        return tuple(values)

    def rules(self, table: Mapping[str, object], place: str) -> tuple[tuple[str, str], ...]:
        rules = []
        for component, values in table.items():
            if component not in self.components:
                raise self.fail(place, f"{component!r} is no component; new ones are listed in [taxonomy] components")
            rules += [(pattern, component) for pattern in self.patterns(values, f"{place} {component}")]
        return tuple(rules)

    def probe(self, number: int, entry: dict[str, object]) -> Probe:
        place = f"probe {number + 1}"
        symbol = entry.get("symbol")
        if not isinstance(symbol, str) or not symbol:
            raise self.fail(place, "it names no symbol")
        place = f"probe {number + 1} ({symbol})"
        do = entry.get("do")
        if not isinstance(do, str) or do not in ACTIONS:
            raise self.fail(place, f"do = {do!r} is none of {', '.join(ACTIONS)}")
        self.known(entry, place, ("symbol", "at", "do", "space", "optional", "name", "when", *ACTIONS[do]))
        at, space = entry.get("at", "entry"), entry.get("space", "kernel")
        if at not in ("entry", "return"):
            raise self.fail(place, f"at = {at!r} is neither 'entry' nor 'return'")
        if space not in ("kernel", "program"):
            raise self.fail(place, f"space = {space!r} is neither 'kernel' nor 'program'")
        optional, name = entry.get("optional", False), entry.get("name", symbol)
        if not isinstance(optional, bool) or not isinstance(name, str):
            raise self.fail(place, "optional is true or false, and name is a string")
        needed = {key: entry.get(key) for key in ACTIONS[do]}
        for key, value in needed.items():
            if value is None:
                raise self.fail(place, f"{do!r} needs {key!r}")
        reason = needed.pop("reason", None)
        if reason is not None and (not isinstance(reason, str) or reason not in self.reasons):
            raise self.fail(place, f"{reason!r} is no reason to wait; new ones are listed in [taxonomy] reasons")
        if "when" in entry:
            needed["when"] = entry["when"]
        arguments = {key: self.argument(value, at == "return", f"{place} {key}") for key, value in needed.items()}
        return Probe(
            id=number,
            symbol=symbol,
            do=do,
            at_return=at == "return",
            program=space == "program",
            optional=optional,
            key=arguments.get("key"),
            to=arguments.get("to"),
            reason=reason,
            name=name,
            when=arguments.get("when"),
        )

    def argument(self, text: object, at_return: bool, place: str) -> Argument:
        match = _ARGUMENT.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise self.fail(place, f"{text!r} is neither arg0 to arg5, ret, nor a load such as '[arg0+24]'")
        load = match[0].startswith("[")
        number = match[3] if load else match[1]
        if number is None and not at_return:
            raise self.fail(place, "the return value is known at = 'return' only")
        member = match[6] if match[6] and "." in match[6] else ""
        if member and match[5] == "-":
            raise self.fail(place, f"{text!r} takes a member's offset away; it can only be added")
        offset = int(match[6], 0) if match[6] and not member else 0
        if offset >= 1 << 31:
            raise self.fail(place, f"the offset {offset:#x} is too large")
        return Argument(RETURN_VALUE if number is None else int(number), load, -offset if match[5] == "-" else offset, member)
