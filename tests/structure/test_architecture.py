# SPDX-License-Identifier: GPL-2.0-or-later
"""The architecture is a test: who may import, include and contain what."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("emu", "nic", "personalities", "cyclescope")


def sources(*suffixes: str, under: str = "") -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", under or "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    paths = [ROOT / name for name in listed if name.endswith(suffixes)]
    if not paths:
        pytest.skip("not a git checkout: nothing to look through")
    return [path for path in paths if path.exists()]


def test_imports_go_one_way() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_only_the_core_names_unicorn() -> None:
    for path in sources(".py", under="."):
        relative = path.relative_to(ROOT)
        if relative.parts[0] in PACKAGES and relative.parts[:2] != ("emu", "core"):
            assert not re.search(r"^\s*(import|from) unicorn", path.read_text(), re.MULTILINE), relative


def test_what_guests_and_users_say_is_no_markup() -> None:
    """rich takes [words] for styles unless told not to: a guest's log line `[gpos] is told to stop` would lose its first word."""
    for path in sources(".py", under="cyclescope"):
        for made in re.findall(r"\b(?:Console|TextColumn)\([^\n]*", path.read_text()):
            assert "markup=False" in made, (path.relative_to(ROOT), made)


@pytest.mark.parametrize("personality", ["linux_like", "libos", "linux"])
def test_a_guest_kernel_includes_its_own_folder_and_common_alone(personality: str) -> None:
    folder = ROOT / "personalities" / personality
    allowed = (folder, ROOT / "personalities" / "common", ROOT / "apps")
    freestanding = {
        "stdint.h",
        "stddef.h",
        "stdbool.h",
        "stdarg.h",
        "limits.h",
        "stdalign.h",
        "stdnoreturn.h",
        "cpuid.h",
    }
    for path in sources(".c", ".h", ".S", under=f"personalities/{personality}"):
        for quote, name in re.findall(r'^\s*#\s*include\s*(["<])([^">]+)', path.read_text(), re.MULTILINE):
            if quote == "<" and name in freestanding:
                continue
            candidates = [path.parent / name, *(f for place in allowed for f in place.rglob(Path(name).name))]
            found = [f for f in candidates if f.exists() and any(f.resolve().is_relative_to(a) for a in allowed)]
            assert found, f"{path.relative_to(ROOT)} includes {name}, which is not of its own folder"


def test_no_file_names_a_machine_path_or_a_registry_host() -> None:
    forbidden = re.compile("/" + "work/|/" + "root/|py" + "pi\\.org|deb\\." + "debian\\.org")
    for path in sources(".py", ".c", ".h", ".S", ".md", ".toml", ".txt", ".sh", "Makefile"):
        found = forbidden.search(path.read_text(errors="replace"))
        assert not found, f"{path.relative_to(ROOT)} holds {found and found[0]}"


def test_every_source_file_states_its_licence() -> None:
    for path in sources(".py", ".c", ".h", ".S"):
        text = path.read_text(errors="replace")
        assert not text.strip() or "SPDX-License-Identifier: GPL-2.0-or-later" in text[:400], path.relative_to(ROOT)
