# SPDX-License-Identifier: GPL-2.0-or-later
"""What clusters, machines and roles may be called: files and folders of a run directory, and tables, have these names."""

from __future__ import annotations

from emu.errors import ConfigError

LONGEST = 60
"""Letters."""


def check_cluster_name(name: str) -> None:
    """A folder's. Raises ConfigError."""
    usable = name.isprintable() and "/" not in name and name.strip(".") and not name.endswith(".json")
    if not usable or len(name) > LONGEST:
        raise ConfigError(
            f"[cluster] name {name[:LONGEST]!r}: a folder of --out has it, and by default it is the file's; give up to {LONGEST} "
            "letters, no / among them, and not .json at the end"
        )


def check_name(table: str, name: str) -> None:
    """A node's, a switch's or a pool's. Raises ConfigError."""
    if not 1 <= len(name) <= LONGEST or not all(c.isascii() and (c.isalnum() or c in "-_.") for c in name):
        raise ConfigError(f"[[{table}]] name {name[:LONGEST]!r}: up to {LONGEST} letters, digits, - _ and . make a name")


def check_role(where: str, role: str) -> None:
    """A column's. Raises ConfigError."""
    if not 1 <= len(role) <= LONGEST or not role.isprintable():
        raise ConfigError(f"{where}: role {role[:LONGEST]!r}: give a word of up to {LONGEST} letters")
