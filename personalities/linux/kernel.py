# SPDX-License-Identifier: GPL-2.0-or-later
"""Which kernel: an image and its modules' folder, given, or in an unpacked package.

A package's folder is what CYCLESCOPE_LINUX names, or where `cyclescope linux fetch` unpacked one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from emu.errors import ConfigError
from emu.loader.image import read_file
from personalities.linux.cache import cache_folder, kept
from personalities.linux.modules import ModuleFolder
from personalities.linux.payload import vmlinux

VARIABLE = "CYCLESCOPE_LINUX"


def fetched_folder() -> Path:
    """Where `cyclescope linux fetch` unpacks a kernel package."""
    return cache_folder() / "package"


@dataclass(frozen=True)
class Kernel:
    """A kernel file and, if it has any, its modules."""

    image: Path
    modules: ModuleFolder | None

    @cached_property
    def elf(self) -> Path:
        """Its ELF image as a file: itself, or what it carries compressed. Raises ConfigError."""
        data = read_file(self.image, "kernel")
        unpacked = vmlinux(self.image, data)
        return self.image if unpacked is data else kept("vmlinux", unpacked)

    @classmethod
    def found(cls, image: Path | None = None, modules: Path | None = None) -> Kernel:
        """The kernel given, else the one of an unpacked package. Raises ConfigError."""
        if image is not None:
            return cls(image, ModuleFolder(modules) if modules is not None else None)
        named = os.environ.get(VARIABLE, "")
        folder = Path(named) if named else fetched_folder()
        images = sorted(folder.glob("boot/vmlinuz-*"))
        if not images:
            where = (
                f"{VARIABLE} names {folder}, which holds no boot/vmlinuz-*" if named else "There is no Linux kernel yet"
            )
            raise ConfigError(f"{where}; run `cyclescope linux fetch`, or give --kernel FILE and --modules FOLDER.")
        image = images[-1]
        if modules is None:
            version = image.name.removeprefix("vmlinuz-")
            places = (folder / "lib/modules" / version, folder / "usr/lib/modules" / version)
            modules = next((place for place in places if place.is_dir()), None)
        return cls(image, ModuleFolder(modules) if modules is not None else None)
