# SPDX-License-Identifier: GPL-2.0-or-later
"""libos: an asymmetric library OS, one image per application."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from emu.errors import ConfigError
from personalities.base import BootSpec, Knob, Personality, boot_words


class LibOS(Personality):
    """Boots the image that an application was linked into."""

    name = "libos"
    title = "libos (asymmetric)"
    kind = "asymmetric"
    folder = Path(__file__).resolve().parent
    knobs = MappingProxyType({"poll": Knob("polling", {"poll_us": "100000"})})

    def prepare(
        self,
        program: str | Path = "kvd",
        arguments: Sequence[str] = (),
        *,
        keys: Mapping[str, str] | None = None,
        beside: Sequence[str | Path] = (),
    ) -> BootSpec:
        """As in Personality.prepare; a `program` with a slash in it, or a Path, is a libos image of the user's."""
        if beside:
            raise ConfigError(f"libos: an image is one program; {', '.join(map(str, beside))} cannot be beside {program}.")
        own = isinstance(program, str) and "/" not in program
        image = self.find(f"libos-{program}.elf") if own else Path(program)
        word = str(program) if own else image.stem.removeprefix("libos-")
        return BootSpec(image=image, cmdline=boot_words(keys or {}, [word, *arguments]), manifest=self.manifest_path)

    def arguments_for(self, program: str, cpus: int, port: int) -> list[str]:
        """kvd and its router: the port; every vCPU serves."""
        return ["-U", str(port)] if program in ("kvd", "kvd_router") else []


PERSONALITY = LibOS()
