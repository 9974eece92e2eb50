# SPDX-License-Identifier: GPL-2.0-or-later
"""linux_like: a symmetric kernel with processes in ring 3 and Linux's system calls."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from emu.errors import ConfigError
from emu.loader.program import check_program
from personalities.base import BootModule, BootSpec, Knob, Personality, boot_words

MAX_CMDLINE = 1023  # kernel/main.c


class LinuxLike(Personality):
    """Boots the kernel with a static Linux program (or a cpio archive) as its first module."""

    name = "linux_like"
    title = "Linux-like (symmetric)"
    kind = "symmetric"
    folder = Path(__file__).resolve().parent
    knobs = MappingProxyType(
        {
            "ring0": Knob("no ring crossing", {"ring": "0"}),
            "nocopy": Knob("no copy", {"pool": "8192"}, ("--zero-copy", "on")),
            "poll": Knob("polling", {"poll": "1"}),
            "pin": Knob("pinned threads", words=("--pin", "on")),
            "no_pti": Knob("no page-table isolation", {"pti": "0"}),
            "unmitigated": Knob("no mitigations", {"mitigations": "off"}),
        }
    )

    def prepare(
        self,
        program: str | Path = "kvd",
        arguments: Sequence[str] = (),
        *,
        keys: Mapping[str, str] | None = None,
        beside: Sequence[str | Path] = (),
    ) -> BootSpec:
        """As in Personality.prepare; a `program` with a slash in it, or a Path, is a file of the user's."""
        path, *others = (self._find_program(each) for each in (program, *beside))
        cmdline = boot_words(keys or {}, [path.name, *arguments], quotes=True)
        if len(cmdline) > MAX_CMDLINE:
            raise ConfigError(
                f"The command line has {len(cmdline)} characters; linux_like takes {MAX_CMDLINE}, so give fewer or shorter words."
            )
        return BootSpec(
            image=self.find("linux_like.elf"),
            cmdline=cmdline,
            modules=(BootModule(path, path.name), *map(BootModule, others, map(str, beside))),
            manifest=self.manifest_path,
            programs=(path, *others),
            program_cpl=0 if (keys or {}).get("ring") == "0" else 3,
        )

    def _find_program(self, program: str | Path) -> Path:
        own = isinstance(program, str) and "/" not in program
        return check_program(self.find(str(program), "programs") if own else Path(program))

    def arguments_for(self, program: str, cpus: int, port: int) -> list[str]:
        """kvd and its router: a thread for each vCPU, all on one socket."""
        return ["-t", str(cpus), "-U", str(port)] if Path(program).name in ("kvd", "kvd_router") else []


PERSONALITY = LinuxLike()
