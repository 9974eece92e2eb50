# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that are made from others and kept: decompressed kernels, initramfs archives; and what `cyclescope linux fetch` got.

Named by their content's hash, so that a file is made once and never stale. Any of it may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from emu.errors import ConfigError


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/cyclescope/linux`, or the same in ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "cyclescope" / "linux"


def kept(name: str, data: bytes) -> Path:
    """A file of that name with those bytes. Raises ConfigError when it cannot be written."""
    folder = cache_folder() / hashlib.sha256(data).hexdigest()[:16]
    path = folder / name
    try:
        if path.is_file() and path.stat().st_size == len(data):
            return path
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as stream:  # another process may be at the same
            stream.write(data)
        Path(stream.name).replace(path)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written: {error.strerror}; set XDG_CACHE_HOME to a folder that can."
        ) from error
    return path
