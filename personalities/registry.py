# SPDX-License-Identifier: GPL-2.0-or-later
"""The personalities there are: ours, and any installed package's, by the entry-point group `cyclescope.personalities`."""

from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points

from emu.errors import ConfigError
from personalities.base import Personality

GROUP = "cyclescope.personalities"
BUILT_IN = ("linux_like", "libos")  # known without an installation, for use from a source tree


def names() -> list[str]:
    """Names of all personalities, ours first."""
    return list(dict.fromkeys([*BUILT_IN, *sorted(point.name for point in entry_points(group=GROUP))]))


def get(name: str) -> Personality:
    """A personality by name. Raises ConfigError when there is none, or its package is broken."""
    if name in BUILT_IN:
        point = EntryPoint(name, f"personalities.{name}.personality:PERSONALITY", GROUP)
    else:
        found = entry_points(group=GROUP, name=name)
        if not found:
            raise ConfigError(f"There is no personality {name!r}; there are: {', '.join(names())}.")
        if len({candidate.value for candidate in found}) > 1:
            raise ConfigError(f"Several installed packages offer a personality {name!r}; uninstall all but one.")
        point = next(iter(found))
    try:
        personality = point.load()
    except Exception as error:
        raise ConfigError(f"Personality {name!r} ({point.value}) cannot be loaded: {error}.") from error
    if not isinstance(personality, Personality):
        raise ConfigError(f"Personality {name!r} ({point.value}) is a {type(personality).__name__}, not a Personality.")
    return personality


def every() -> Iterator[Personality]:
    """All personalities, in the order of `names`."""
    return map(get, names())
