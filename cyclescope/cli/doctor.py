# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope doctor`: whether this host has what is needed, one line a check."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import metadata

import typer

from emu.errors import CyclescopeError
from emu.world import World
from personalities.base import Personality, all_personalities

REFEREES = {
    "qemu-system-x86_64": "boots the same images (make crosscheck)",
    "memcached": "judges kvd's answers",
    "tshark": "reads our captures",
}


def add_to(app: typer.Typer) -> None:
    app.command("doctor", help="Check this host: Python, libraries, the core, the guest images, optional referees.")(
        command
    )


def command() -> int:
    """Exit code 1 when something needed is missing."""
    failed = False
    for name, check in _checks():
        try:
            print(f"  ok       {name}: {check()}")
        except (CyclescopeError, OSError, metadata.PackageNotFoundError) as error:
            failed = True
            print(f"  MISSING  {name}: {error}")
    for personality in all_personalities():
        if not personality.is_shipped:
            print(_fetched(personality))
    for tool, use in REFEREES.items():
        found = shutil.which(tool)
        print(f"  {'ok      ' if found else 'absent  '} {tool}: {use}{'' if found else ' (optional)'}")
    return 1 if failed else 0


def _checks() -> Iterator[tuple[str, Callable[[], str]]]:
    yield "host", _host
    for package in ("unicorn", "capstone", "keystone-engine", "scapy", "numpy"):
        yield package, lambda package=package: metadata.version(package)  # type: ignore[misc]
    yield "core", _core
    for personality in all_personalities():
        if not personality.is_shipped:
            continue
        yield f"personality {personality.name}", lambda p=personality: str(p.prepare().image.name)  # type: ignore[misc]


def _fetched(personality: Personality) -> str:
    """One whose image is the user's business: there, or optional."""
    try:
        return f"  ok       personality {personality.name}: {personality.prepare().image.name}"
    except CyclescopeError as error:
        return f"  absent   personality {personality.name}: {error} (optional)"


def _host() -> str:
    if platform.machine() != "x86_64" or sys.platform != "linux":
        raise OSError(f"{sys.platform} on {platform.machine()}; Cyclescope runs on Linux on x86-64")
    return f"Linux on x86-64, Python {platform.python_version()}"


def _core() -> str:
    with World() as world:
        _ = world.core
    return "loads, and Unicorn's private layout is the proven one"
