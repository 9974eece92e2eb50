# SPDX-License-Identifier: GPL-2.0-or-later
"""What a personality is: an OS image, how to boot it, the manifest by which its cycles are read. And which there are.

Subclass `Personality`, give the class attributes, and implement `prepare`. Expose one instance through the entry-point group
`cyclescope.personalities`; nothing in this tree needs to change.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from glob import escape
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

from emu.errors import ConfigError
from emu.ledger.install import Code, read_code
from emu.ledger.manifest import load_manifest
from emu.loader.boot import BootModule, BootSpec

__all__ = [
    "BootModule",
    "BootSpec",
    "Knob",
    "Personality",
    "Tuned",
    "all_personalities",
    "boot_words",
    "get_personality",
    "personality_names",
]

GROUP = "cyclescope.personalities"
BUILT_IN = ("linux_like", "libos", "linux")  # known without an installation, for use from a source tree
LONGEST_NAME = 255  # of a file, in bytes
SEARCH_VARIABLE = "CYCLESCOPE_IMAGES"  # folders to search first, separated as in PATH


def boot_words(keys: Mapping[str, str], words: Sequence[str], *, quotes: bool = False) -> str:
    """A kernel command line: `key=value` words, then ` -- ` and the program's own.

    With `quotes` the kernel takes program words with spaces in double quotes. Raises ConfigError for words that cannot stand there.
    """
    for word in [*keys, *keys.values(), *words]:
        spaces = any(character.isspace() for character in word) and not (quotes and word in words)
        if spaces or not word.isprintable() or (quotes and '"' in word):
            raise ConfigError(
                f"{word!r} cannot stand on a kernel command line: it holds a space, a quote or a control character."
            )
    if quotes:
        words = [f'"{word}"' if " " in word or not word else word for word in words]
    line = " ".join(f"{key}={value}" for key, value in keys.items())
    return f"{line} -- {' '.join(words)}".strip() if words else line


@dataclass(frozen=True, slots=True)
class Knob:
    """A feature of a kernel that can be taken away or added at boot."""

    title: str
    keys: Mapping[str, str] = field(default_factory=dict)  # for the kernel's command line
    words: tuple[str, ...] = ()  # for the program, where it must take part


class Personality(ABC):
    """One operating system, as an experiment sees it."""

    name: str  # as in --personality
    title: str  # for a heading
    kind: str  # "symmetric" or "asymmetric": whether every vCPU may run all of it
    folder: Path  # where manifest.toml is, and the images when installed
    knobs: ClassVar[Mapping[str, Knob]] = MappingProxyType({})  # features to take away or add: `--personality NAME+KNOB`
    ready_line = " ready"  # what the console line ends in that says that the program serves
    boot_limit_ps = 10**12  # simulated time it may take from power-on to that line
    is_shipped = True  # whether its image comes with this package; else it must be fetched first
    code_is_early = True  # whether `code` can be told before the guest runs
    server = "kvd"  # what serves memcached's protocol in experiments that choose the program

    @property
    def manifest_path(self) -> Path:
        """Components and probes."""
        return self.folder / "manifest.toml"

    def find(self, file_name: str, subfolder: str = "") -> Path:
        """A built file of this personality.

        Looked for in the folders of CYCLESCOPE_IMAGES, then beside the personality (where an installation has it), then in the
        `build` folder of the source tree.

        Raises:
            ConfigError: it is nowhere.
        """
        searched = [Path(place) for place in os.environ.get(SEARCH_VARIABLE, "").split(os.pathsep) if place]
        candidates = [*(place / file_name for place in searched), self.folder / subfolder / file_name]
        build = self.folder.parents[1] / "build"
        if "/" in file_name or not 0 < len(os.fsencode(file_name)) <= LONGEST_NAME:
            raise ConfigError(f"{self.name}: {file_name[:LONGEST_NAME]!r} is no file's name; give one of its programs.")
        built = sorted(build.rglob(escape(file_name))) if build.is_dir() else []
        for candidate in [*candidates, *built]:
            if candidate.is_file():
                return candidate
        raise ConfigError(f"{self.name}: {candidates[-1]} is not there; build the guest images with `make build`.")

    @abstractmethod
    def prepare(
        self,
        program: str | Path = "kvd",
        arguments: Sequence[str] = (),
        *,
        keys: Mapping[str, str] | None = None,
        beside: Sequence[str | Path] = (),
    ) -> BootSpec:
        """What to boot.

        Args:
            program: a program of this personality by name, or (where it can run one) the path of a program's file.
            arguments: the program's own, without its name.
            keys: `key=value` words for the kernel's command line.
            beside: further programs, at their paths or by name in /bin, which the first may start; not for all personalities.
        Raises:
            ConfigError: a file is missing or cannot be run by this personality.
        """

    def code(self, spec: BootSpec, console: str = "") -> Code:
        """What runs where; `console` is what the guest printed up to its ready line, or nothing where `code_is_early`.

        Raises:
            ConfigError: an image has no readable symbols.
            GuestError: the guest did not tell what it should.
        """
        programs = [p for p in spec.programs if p.read_bytes()[:4] == b"\x7fELF"]
        return read_code(spec.image, programs, load_manifest(spec.manifest or self.manifest_path))

    def is_report(self, line: str) -> bool:
        """Whether a console line before the ready line, or that one, is meant for `code` and not for people."""
        return False

    def arguments_for(self, program: str, cpus: int, port: int) -> list[str]:
        """The usual arguments of a known program serving UDP `port` on `cpus` vCPUs; none for a program not known."""
        return []


class Tuned(Personality):
    """Another personality with another server, with some of its knobs turned, or both."""

    def __init__(self, base: Personality, turned: Sequence[str], server: str = "") -> None:
        self.base, self.turned = base, [base.knobs[knob] for knob in turned]
        self.name = "+".join([f"{base.name}:{server}" if server else base.name, *turned])
        self.title = ", ".join([base.title, *([server] if server else []), *(knob.title for knob in self.turned)])
        self.server = server or base.server
        self.kind, self.folder = base.kind, base.folder
        self.ready_line, self.boot_limit_ps, self.code_is_early = base.ready_line, base.boot_limit_ps, base.code_is_early

    @property
    def manifest_path(self) -> Path:
        return self.base.manifest_path

    def prepare(
        self,
        program: str | Path = "kvd",
        arguments: Sequence[str] = (),
        *,
        keys: Mapping[str, str] | None = None,
        beside: Sequence[str | Path] = (),
    ) -> BootSpec:
        """As the base's; the knobs' keys give way to `keys`."""
        turned = {key: value for knob in self.turned for key, value in knob.keys.items()}
        more = {"beside": beside} if beside else {}
        return self.base.prepare(program, arguments, keys={**turned, **(keys or {})}, **more)

    def code(self, spec: BootSpec, console: str = "") -> Code:
        """The base's."""
        return self.base.code(spec, console)

    def arguments_for(self, program: str, cpus: int, port: int) -> list[str]:
        """The base's, with the knobs' words where it knows the program."""
        usual = self.base.arguments_for(program, cpus, port)
        return [*usual, *(word for knob in self.turned for word in knob.words)] if usual else usual


def personality_names() -> list[str]:
    """Names of all personalities, ours first."""
    return list(dict.fromkeys([*BUILT_IN, *sorted(point.name for point in entry_points(group=GROUP))]))


def get_personality(name: str) -> Personality:
    """A personality by name, or NAME:SERVER+KNOB+KNOB. Raises ConfigError when there is none, or its package is broken."""
    name, *turned = name.split("+")
    name, colon, server = name.partition(":")
    if turned or colon:
        base = get_personality(name)
        if colon and not base.arguments_for(server, 1, 1):
            raise ConfigError(f"--personality: {name} is not known to serve with {server!r}; give {name} or {name}:{base.server}.")
        for number, knob in enumerate(turned):
            if server not in ("", base.server) and knob in base.knobs and base.knobs[knob].words:
                raise ConfigError(f"--personality: {server} does not know the knob {knob!r}; {base.server} does.")
            if knob not in base.knobs or knob in turned[:number]:
                there = f"there are: {', '.join(base.knobs)}" if base.knobs else "it has none"
                raise ConfigError(f"--personality: {name} has no knob {knob!r}, or it is given twice; {there}.")
        return Tuned(base, turned, server)
    if name in BUILT_IN:
        point = EntryPoint(name, f"personalities.{name}.personality:PERSONALITY", GROUP)
    else:
        found = entry_points(group=GROUP, name=name)
        if not found:
            raise ConfigError(f"There is no personality {name!r}; there are: {', '.join(personality_names())}.")
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


def all_personalities() -> list[Personality]:
    """All personalities, in the order of `personality_names`. Raises ConfigError when one cannot be loaded."""
    return [get_personality(name) for name in personality_names()]
