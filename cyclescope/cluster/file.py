# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading a cluster from TOML. What is not understood is refused, naming file, table and key."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from cyclescope.cluster.check import check_cluster
from cyclescope.cluster.operator import CommandSpec
from cyclescope.cluster.poolspec import PoolSpec
from cyclescope.cluster.spec import Cluster, ClusterLoad, KillSpec, LinkSpec, NodeSpec, SwitchSpec
from cyclescope.cluster.topology import links_of
from cyclescope.config import parse_rate
from cyclescope.experiments.machines import level_of
from emu.errors import ConfigError
from emu.machine import parse_size
from emu.units import MIB

_TABLES = {
    "cluster": Cluster, "node": NodeSpec, "link": LinkSpec, "switch": SwitchSpec, "kill": KillSpec, "do": CommandSpec,
    "pool": PoolSpec, "load": ClusterLoad,
}  # fmt: skip
_CLUSTER_KEYS = ("name", "seed", "timing")
_WRITTEN = {"rate_bps": "rate", "memory_mib": "mem"}  # fields whose key takes a text like 10G or 128M
_T = TypeVar("_T", bound=msgspec.Struct)
_AT = re.compile(r" - at `\$\.?([^`]*)`")


def read_cluster(path: Path) -> Cluster:
    """The cluster that a file describes, checked. Raises ConfigError."""
    try:
        text = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give a cluster's TOML file") from error
    except RecursionError:
        raise ConfigError(f"{path}: is not TOML: brackets are nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError, UnicodeDecodeError, a number of thousands of digits
        raise ConfigError(f"{path}: is not TOML: {error}") from error
    try:
        cluster = _cluster(text, path)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    check_cluster(cluster)
    links_of(cluster)
    try:
        level_of(cluster.timing)
    except ConfigError as error:
        raise ConfigError(f"{path}: [cluster] {str(error).removeprefix('--')}") from None
    return cluster


def _cluster(text: dict[str, Any], path: Path) -> Cluster:
    for table in text:
        if table not in _TABLES:
            raise ConfigError(f"there is no table {table!r}; there are: {', '.join(_TABLES)}")
    head = _one(text, "cluster")
    for key in head:
        if key not in _CLUSTER_KEYS:
            raise ConfigError(f"[cluster]: there is no key {key!r}; there are: {', '.join(_CLUSTER_KEYS)}")
    parts: dict[str, Any] = {
        "name": path.stem, **head, "where": str(path),
        "nodes": _many(text, "node", NodeSpec),
        "links": _many(text, "link", LinkSpec),
        "switches": _many(text, "switch", SwitchSpec) or (SwitchSpec(),),
        "kills": _many(text, "kill", KillSpec),
        "commands": _many(text, "do", CommandSpec),
        "pools": _many(text, "pool", PoolSpec),
    }  # fmt: skip
    if "load" in text:
        parts["load"] = _struct(_one(text, "load"), ClusterLoad, "[load]")
    return _converted(parts, Cluster, "[cluster]")


def _one(text: dict[str, Any], table: str) -> dict[str, Any]:
    found = text.get(table, {})
    if not isinstance(found, dict):
        raise ConfigError(f"[{table}]: give one table, not {'several' if isinstance(found, list) else 'a value'}")
    return found


def _many(text: dict[str, Any], table: str, kind: type[_T]) -> tuple[_T, ...]:
    found = text.get(table, [])
    tables = [found] if isinstance(found, dict) else found
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise ConfigError(f"[[{table}]]: give tables, not a value")
    return tuple(
        _struct(each, kind, f"[[{table}]] {name if isinstance(name := each.get('name'), str) else number}")
        for number, each in enumerate(tables, 1)
    )


def _struct(table: dict[str, Any], kind: type[_T], where: str) -> _T:
    fields = {field: _WRITTEN.get(field, field) for field in kind.__struct_fields__}
    for key in table:
        if key not in fields.values():
            raise ConfigError(f"{where}: there is no key {key!r}; there are: {', '.join(fields.values())}")
    values = {field: table[key] for field, key in fields.items() if key in table}
    for field, read in (("rate_bps", parse_rate), ("memory_mib", lambda text: parse_size(text) // MIB)):
        if field in values:
            key = _WRITTEN[field]
            if not isinstance(values[field], str):
                raise ConfigError(f"{where}: {key} is {values[field]!r}: write it as text, like \"10G\" or \"128M\"")
            try:
                values[field] = read(values[field])
            except ConfigError as error:
                raise ConfigError(f"{where}: {key}: {error}") from None
    return _converted(values, kind, where)


def _converted(values: dict[str, Any], kind: type[_T], where: str) -> _T:
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        text = str(error)
        at = _AT.search(text)
        key = f" {at[1]}" if at and at[1] else ""
        raise ConfigError(f"{where}{key}: {_AT.sub('', text)[0].lower()}{_AT.sub('', text)[1:]}") from None
