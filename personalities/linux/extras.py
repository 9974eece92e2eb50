# SPDX-License-Identifier: GPL-2.0-or-later
"""The user's own files and folders for the guest."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from emu.errors import ConfigError
from emu.loader.image import MAX_IMAGE_BYTES, read_file
from personalities.linux.cpio import Entry
from personalities.linux.initramfs import MOUNTED

OURS = ("init", "init.conf", "modules")


def extra_entries(files: Mapping[str, Path]) -> dict[str, Entry]:
    """By path in the guest, where a folder stands for all that is in it. Raises ConfigError."""
    entries: dict[str, Entry] = {}
    total = 0
    for guest, path in files.items():
        target = _target(guest)
        for name, entry in (
            _tree(target, path) if path.is_dir() else [(target, Entry.program(read_file(path, "file for the guest")))]
        ):
            total += len(entry.data)
            if total > MAX_IMAGE_BYTES:
                raise ConfigError(f"{path}: the files for the guest have more than {MAX_IMAGE_BYTES} bytes together.")
            entries[name] = entry
    return entries


def _target(guest: str) -> str:
    """A path in the guest, checked."""
    parts = PurePosixPath(guest).parts
    if not guest.startswith("/") or ".." in parts or len(parts) < 2 or "\0" in guest:
        raise ConfigError(f"{guest!r}: is no place for a file in the guest: give an absolute path without '..'.")
    if parts[1] in OURS + MOUNTED:
        raise ConfigError(f"{guest}: is init's own, or hidden by what is mounted there; give another place in the guest.")
    return guest.strip("/")


def _tree(target: str, folder: Path) -> Iterator[tuple[str, Entry]]:
    """A folder's files and links, in the order of their names; files that may be executed here may be there."""

    def failed(error: OSError) -> None:
        raise ConfigError(f"{error.filename}: cannot be read for the guest: {error.strerror}.")

    yield target, Entry.folder()
    for at, folders, names in os.walk(folder, onerror=failed):
        folders.sort()
        place = PurePosixPath(target) / Path(at).relative_to(folder).as_posix()
        for name in sorted([*folders, *names]):
            path = Path(at, name)
            if path.is_symlink():
                yield str(place / name), Entry.link(os.readlink(path))
            elif path.is_dir():
                yield str(place / name), Entry.folder()
            else:
                data = read_file(path, "file for the guest")
                yield str(place / name), Entry.program(data) if os.access(path, os.X_OK) else Entry(data)
