# SPDX-License-Identifier: GPL-2.0-or-later
"""libos: an asymmetric library OS, one image per application."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from emu.errors import ConfigError
from emu.loader.image import is_bootable
from emu.loader.program import check_program
from personalities.base import BootModule, BootSpec, Knob, Personality, boot_words

LINUX = "linux_"


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
        """As in Personality.prepare.

        `linux_NAME` is the Linux program NAME, run by the compatibility layer. A `program` with a slash in it, or a Path, is the
        user's: a libos image, or a static Linux program.
        """
        if beside:
            raise ConfigError(f"libos: an image is one program; {', '.join(map(str, beside))} cannot be beside {program}.")
        own = isinstance(program, str) and "/" not in program
        if own and str(program).startswith(LINUX):
            return self._linux(self.find(str(program).removeprefix(LINUX), "programs"), arguments, keys or {})
        if not own and not is_bootable(Path(program)):
            return self._linux(check_program(program), arguments, keys or {})
        image = self.find(f"libos-{program}.elf") if own else Path(program)
        word = str(program) if own else image.stem.removeprefix("libos-")
        return BootSpec(image=image, cmdline=boot_words(keys or {}, [word, *arguments]), manifest=self.manifest_path)

    def _linux(self, program: Path, arguments: Sequence[str], keys: Mapping[str, str]) -> BootSpec:
        return BootSpec(
            image=self.find("libos-linux.elf"),
            cmdline=boot_words(keys, [program.name, *arguments]),
            modules=(BootModule(program, program.name),),
            manifest=self.manifest_path,
            programs=(program,),
            program_cpl=0,
        )

    def arguments_for(self, program: str, cpus: int, port: int) -> list[str]:
        """kvd, its router, the meters of flows: the port; every vCPU serves. Where kvd is a Linux program: a thread a vCPU."""
        if program in ("linux_kvd", "ported_kvd"):
            return ["-t", str(cpus), "-U", str(port)]
        return ["-U", str(port)] if program in ("kvd", "kvd_router", "flows_shared", "flows_local") else []


PERSONALITY = LibOS()
