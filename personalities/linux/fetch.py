# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope linux fetch [PACKAGE]`: Debian's cloud kernel, or another package's, by apt, unpacked; nothing is installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from emu.errors import ConfigError
from personalities.linux.kernel import VARIABLE, Kernel, fetched_folder

PACKAGE = "linux-image-cloud-amd64"
BY_HAND = (
    f"Download Debian's package that {PACKAGE} depends on, unpack it (dpkg-deb -x PACKAGE.deb FOLDER) and set {VARIABLE}=FOLDER,"
    " or give any kernel with --kernel FILE and --modules FOLDER."
)


def fetch(package: str = PACKAGE, folder: Path | None = None) -> Kernel:
    """Download a kernel's package, or the one that a meta-package depends on, and unpack it in place of what was there.

    Raises:
        ConfigError: it cannot be had; the sentence says what to do by hand.
    """
    folder = folder or fetched_folder()
    if not package.startswith("linux-image-"):
        raise ConfigError(f"{package!r} is no package of a kernel: its name would start with linux-image-.")
    missing = [tool for tool in ("apt-get", "apt-cache", "dpkg-deb") if shutil.which(tool) is None]
    if missing:
        raise ConfigError(f"This system has no {' and no '.join(missing)}. {BY_HAND}")
    depends = _run(["apt-cache", "depends", package], None)
    if not depends.strip():
        raise ConfigError(f"apt knows no package {package}; run `apt-get update` first. {BY_HAND}")
    words = (line.split() for line in depends.splitlines())
    name = next((w[1] for w in words if len(w) == 2 and w[0] == "Depends:" and w[1].startswith("linux-image-")), package)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            place = Path(temporary)
            _run(["apt-get", "download", "-qq", name], place)
            (archive,) = place.glob("*.deb")
            _run(["dpkg-deb", "-x", str(archive), str(place / "root")], None)
            shutil.rmtree(folder, ignore_errors=True)
            (place / "root").rename(folder)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder}: the kernel package cannot be unpacked there: {error}.") from error
    (image, *_) = sorted(folder.glob("boot/vmlinuz-*"), reverse=True) or [folder / "boot/vmlinuz"]
    return Kernel.found(image, folder / "lib/modules" / image.name.removeprefix("vmlinuz-"))


def _run(command: list[str], folder: Path | None) -> str:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ConfigError(f"{command[0]} cannot be run: {error.strerror}. {BY_HAND}") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("E:")] or done.stderr.splitlines()[-1:]
        raise ConfigError(f"`{' '.join(command[:4])}` failed: {' '.join(lines)[:300]}. {BY_HAND}")
    return done.stdout
