# SPDX-License-Identifier: GPL-2.0-or-later
"""The server's program, and a tree for it."""

import subprocess
from pathlib import Path

import pytest

APP = Path(__file__).resolve().parents[3] / "apps" / "ninep"


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    build = tmp_path_factory.mktemp("ninep")
    for command in (["cmake", "-S", str(APP), "-B", str(build)], ["cmake", "--build", str(build)]):
        subprocess.run(command, check=True, capture_output=True, timeout=300)
    return build / "ninep"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tree = tmp_path / "root"
    (tree / "deep" / "er").mkdir(parents=True)
    (tree / "hello").write_bytes(b"hello, world\n")
    (tree / "deep" / "er" / "large").write_bytes(bytes(range(256)) * 400)
    (tree / "out").symlink_to("/etc/passwd")
    (tree / "up").symlink_to("..")
    return tree
