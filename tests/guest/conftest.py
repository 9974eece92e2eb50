# SPDX-License-Identifier: GPL-2.0-or-later
"""All images and hosted programs of libos."""

import os
import subprocess
from pathlib import Path

import pytest

from personalities.libos.personality import LibOS


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all libos images: LIBOS_IMAGES, or built here."""
    if given := os.environ.get("LIBOS_IMAGES"):
        return Path(given)
    build = tmp_path_factory.mktemp("libos")
    for command in (["cmake", "-S", str(LibOS.folder), "-B", str(build)], ["cmake", "--build", str(build), "--parallel", "2"]):
        subprocess.run(command, check=True, capture_output=True, timeout=900)
    return build / "images"
