# SPDX-License-Identifier: GPL-2.0-or-later
"""libos: an asymmetric library OS; each image is one application linked with what it needs of an OS."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from emu.errors import ConfigError
from personalities.base import BootSpec, Personality, boot_words


class LibOs(Personality):
    """Boots the image `libos-PROGRAM.elf`."""

    name = "libos"
    title = "Library OS (asymmetric)"
    kind = "asymmetric"
    folder = Path(__file__).resolve().parent

    def prepare(
        self,
        program: str | Path = "kvd",
        arguments: Sequence[str] = (),
        *,
        keys: Mapping[str, str] | None = None,
    ) -> BootSpec:
        """As in Personality.prepare; `program` names an image, since an application is linked into it."""
        if isinstance(program, Path) or "/" in program:
            raise ConfigError(f"{program}: libos runs no program files, its applications are linked in; name one, like kvd.")
        return BootSpec(
            image=self.find(f"libos-{program}.elf"),
            cmdline=boot_words(keys or {}, [program, *arguments]),
            manifest=self.manifest_path,
        )

    def arguments_for(self, program: str, cpus: int, port: int) -> list[str]:
        """kvd: every vCPU serves."""
        return ["-U", str(port)] if program == "kvd" else []


PERSONALITY = LibOs()
