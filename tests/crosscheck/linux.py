# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests of unmodified Linux need.

An unpacked Debian kernel package (`linux-image-*-cloud-amd64`: boot/vmlinuz-* and lib/modules) in the folder that
CYCLESCOPE_LINUX names, and Debian's memcached and busybox (static).
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

MEMCACHED, BUSYBOX = Path("/usr/bin/memcached"), Path("/bin/busybox")
FOLDER = os.environ.get("CYCLESCOPE_LINUX", "")


def needs_linux(more: bool = True, named: str = "") -> list[pytest.MarkDecorator]:
    """The marks of a module; `named` is what it needs besides, and `more` whether that is there."""
    return [
        pytest.mark.crosscheck,
        pytest.mark.slow,
        pytest.mark.skipif(
            not FOLDER or not MEMCACHED.exists() or not BUSYBOX.exists() or not more,
            reason=f"needs CYCLESCOPE_LINUX (an unpacked kernel package), memcached, busybox {named}".strip(),
        ),
    ]
