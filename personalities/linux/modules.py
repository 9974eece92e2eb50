# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel modules from a package's folder: which are needed, in the order in which they must be loaded, decompressed.

Dependencies are what `modules.dep` says or, in a folder that `depmod` has not seen (a package's, unpacked and not
installed), what each module's own `.modinfo` says. What the kernel has built in (`modules.builtin`) needs no file.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from emu.errors import ConfigError
from emu.loader.image import read_file
from personalities.linux.payload import ELF_MAGIC, decompress

SUFFIXES = (".ko", ".ko.xz", ".ko.gz", ".ko.zst", ".ko.lz4")


def module_name(file_name: str) -> str:
    """`virtio-net.ko.xz` -> `virtio_net`: the kernel takes - and _ for the same."""
    return Path(file_name).name.partition(".ko")[0].replace("-", "_")


@dataclass(frozen=True, slots=True)
class KernelModule:
    """A module, ready to be loaded."""

    name: str
    path: Path
    data: bytes  # its ELF file


class ModuleFolder:
    """`lib/modules/VERSION` of a kernel.

    Raises ConfigError in all its methods: for a folder that is none, for modules that are missing or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not folder.is_dir():
            raise ConfigError(f"{folder}: is not a folder of kernel modules (lib/modules/VERSION of the kernel).")

    @cached_property
    def files(self) -> dict[str, Path]:
        """Every module's file by name."""
        found = (path for path in sorted(self.folder.rglob("*.ko*")) if path.name.endswith(SUFFIXES))
        files = {module_name(path.name): path for path in found}
        if not files:
            raise ConfigError(f"{self.folder}: holds no kernel module (*.ko).")
        return files

    @cached_property
    def built_in(self) -> frozenset[str]:
        return frozenset(module_name(line) for line in self._lines("modules.builtin"))

    @cached_property
    def listed(self) -> dict[str, list[str]]:
        """modules.dep: each module's dependencies by name, the nearest first; empty when there is no such file."""
        lines = (line.partition(":") for line in self._lines("modules.dep"))
        return {module_name(name): [module_name(word) for word in words.split()] for name, _, words in lines}

    def closure(self, wanted: Iterable[str]) -> list[KernelModule]:
        """The modules wanted and all they need, each behind what it needs."""
        done: dict[str, KernelModule] = {}
        for name in wanted:
            self._add(name.replace("-", "_"), (), done)
        return list(done.values())

    def _add(self, name: str, above: Sequence[str], done: dict[str, KernelModule]) -> None:
        if name in done or name in self.built_in or name in above:
            return
        path = self.files.get(name)
        if path is None:
            needed = f", which {above[-1]} needs" if above else ""
            raise ConfigError(f"{self.folder}: has no module {name}{needed}, nor is it built into the kernel.")
        data = read_file(path, "kernel module")
        if path.suffix != ".ko":
            data = decompress(data, str(path))
        needs = self.listed[name] if name in self.listed else depends(path, data)
        for other in reversed(needs):
            self._add(other, (*above, name), done)
        done[name] = KernelModule(name, path, data)

    def _lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text(errors="replace").split("\n")[:-1] if path.is_file() else []


def depends(path: Path, data: bytes) -> list[str]:
    """What a module's own .modinfo says it needs. Raises ConfigError."""
    if not data.startswith(ELF_MAGIC):
        raise ConfigError(f"{path}: is not a kernel module: not an ELF file.")
    try:
        section = ELFFile(io.BytesIO(data)).get_section_by_name(".modinfo")
        entries = section.data().split(b"\0") if section is not None else []
    except (ELFError, ValueError, KeyError) as error:
        raise ConfigError(f"{path}: is a damaged kernel module: {error}.") from error
    words = next((entry[8:].decode("ascii", "replace") for entry in entries if entry.startswith(b"depends=")), "")
    return [word.replace("-", "_") for word in words.split(",") if word]
