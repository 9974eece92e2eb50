# SPDX-License-Identifier: GPL-2.0-or-later
"""The matrix in a real interpreter: CPython in unmodified Linux as the front end of library OSes, by the example's own command."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.crosscheck.linux import FOLDER

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.crosscheck,
    pytest.mark.slow,
    pytest.mark.skipif(not FOLDER, reason="needs CYCLESCOPE_LINUX (an unpacked kernel package)"),
]


def test_python_on_linux_has_a_matrix_on_library_operating_systems() -> None:
    """What it prints is what NumPy says; three matrices' tiles power four machines on."""
    command = [sys.executable, str(ROOT / "examples" / "matrix" / "interpreter.py"), "--timing", "functional"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    said = done.stdout
    assert "m.sum() is 1.0\n" in said
    assert "m[999_999, 0:4] is [0.5, 0.25, 0.125, 0.0625] and m.sum() is 1.9375\n" in said
    row = np.random.Generator(np.random.Philox(key=2026, counter=5 << 64)).random(10)
    assert f"m[5, 7:10] is {row[7:].tolist()}\n" in said
    assert "m.sum(): to add it up, up to 1000000000000 random elements must be made" in said
    a = np.stack([np.random.Generator(np.random.Philox(key=1, counter=i << 64)).random(30) for i in range(40)])
    total = float(re.findall(r"\(a @ b\).sum\(\) is (\S+)", said)[0])
    unit = 2.0**-53 * (30 + 40 * 20)
    assert abs(total - (a @ np.full((30, 20), 2.0)).sum()) <= 2 * unit / (1 - unit) * total * (1 + 1e-9)
    assert "nodes, blocks, bytes: 4 2 16544 8000000000000\n" in said
    assert said.count("has joined as node") == 5
