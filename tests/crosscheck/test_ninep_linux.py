# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux's own 9P client (v9fs) mounts apps/ninep's server, both inside an unmodified Debian kernel.

CYCLESCOPE_LINUX_GENERIC names an unpacked `linux-image-amd64`: cloud kernels have no 9P.
"""

import os
from pathlib import Path

import pytest

from cyclescope.cli import run_cli
from personalities.linux.personality import Linux
from tests.crosscheck.linux import needs_linux

GENERIC = Path(os.environ.get("CYCLESCOPE_LINUX_GENERIC", "/nowhere"))
HERE = Path(__file__).resolve().parent

pytestmark = needs_linux(GENERIC.is_dir(), "and CYCLESCOPE_LINUX_GENERIC (an unpacked linux-image-amd64)")


def test_linux_mounts_it(capfd: pytest.CaptureFixture[str]) -> None:
    """A MiB each way, names, permissions and lengths, as they are on the server's side; its errors are Linux's."""
    kernel = next(GENERIC.glob("boot/vmlinuz-*"))
    modules = GENERIC / "lib" / "modules" / kernel.name.removeprefix("vmlinuz-")
    words = ["linux", "--kernel", kernel, "--modules", modules, "--load", "9p", "--load", "9pnet_fd", "--cpus", "1"]
    words += ["--timing", "functional", "--limit", "30", "--quiet", "--no-console"]
    words += ["--file", f"/ninep={Linux.folder / 'programs' / 'ninep'}", "--file", f"/ninep.sh={HERE / 'ninep.sh'}"]
    assert run_cli([*map(str, words), "--", "busybox", "sh", "/ninep.sh"]) == 0
    said = capfd.readouterr().out.replace("\r", "")
    told = [line for line in said.partition("init:")[0].splitlines() if not line.startswith("[")]
    assert told == [
        "hello", "4", "same large", "same new", "hello", "more", "other", "d2     d3     hello  large",
        "hello", "more", "600", "rmdir: '/mnt/d2': Directory not empty", "refused", "0", "5000", "SUCCESS",
    ], said  # fmt: skip
