# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that are made from others and kept: decompressed kernels, initramfs archives; and what `cyclescope linux fetch` got.

Named by their content's hash, so that a file is made once and never stale. Any of it may be deleted at any time; of what we make
the KEPT last used stay.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from emu.errors import ConfigError

KEPT = 32
HASH_DIGITS = 16


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/cyclescope/linux`, or the same in ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "cyclescope" / "linux"


def kept(name: str, data: bytes) -> Path:
    """A file of that name with those bytes. Raises ConfigError when it cannot be written."""
    folder = cache_folder() / hashlib.sha256(data).hexdigest()[:HASH_DIGITS]
    path = folder / name
    try:
        if path.is_file() and path.stat().st_size == len(data):
            os.utime(folder)
            return path
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as stream:  # another process may be at the same
            stream.write(data)
        Path(stream.name).replace(path)
        _forget_oldest()
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written: {error.strerror}; set XDG_CACHE_HOME to a folder that can."
        ) from error
    return path


def _forget_oldest() -> None:
    """Files may be gone at any moment, since others do the same."""
    ours = [folder for folder in cache_folder().iterdir() if len(folder.name) == HASH_DIGITS and folder.is_dir()]
    for folder in sorted(ours, key=lambda folder: folder.stat().st_mtime, reverse=True)[KEPT:]:
        shutil.rmtree(folder, ignore_errors=True)
