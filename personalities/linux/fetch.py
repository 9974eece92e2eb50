# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope linux fetch`: Debian's cloud kernel, downloaded by apt and unpacked beside our other files; nothing is installed."""

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


def fetch(folder: Path | None = None) -> Kernel:
    """Download and unpack the kernel package. Raises ConfigError, whose sentence says what to do by hand."""
    folder = folder or fetched_folder()
    missing = [tool for tool in ("apt-get", "apt-cache", "dpkg-deb") if shutil.which(tool) is None]
    if missing:
        raise ConfigError(f"This system has no {' and no '.join(missing)}. {BY_HAND}")
    depends = _run(["apt-cache", "depends", PACKAGE], None)
    words = (line.split() for line in depends.splitlines())
    name = next((w[1] for w in words if len(w) == 2 and w[0] == "Depends:" and w[1].startswith("linux-image-")), None)
    if name is None:
        raise ConfigError(f"apt knows no package {PACKAGE}; run `apt-get update` first. {BY_HAND}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            place = Path(temporary)
            _run(["apt-get", "download", "-qq", name], place)
            (package,) = place.glob("*.deb")
            _run(["dpkg-deb", "-x", str(package), str(place / "root")], None)
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
