# SPDX-License-Identifier: GPL-2.0-or-later
"""kvd's core by itself: fed with broken datagrams under the compiler's sanitizers, and free of any system."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
KVD = ROOT / "apps" / "kvd"
COMPILER = shutil.which("gcc") or shutil.which("cc")
# What the OS side gives, and what any freestanding C compiler asks for.
ALLOWED = {"kvd_lock_acquire", "kvd_lock_release", "kvd_port_seconds", "memcpy", "memmove", "memset", "memcmp"}


def core_sources() -> list[Path]:
    names = re.findall(r"\$\{KVD_CORE_DIR\}/(\w+\.c)", (KVD / "core.cmake").read_text())
    assert len(names) >= 6
    return [KVD / name for name in names]


def compiled(folder: Path, *flags: str) -> Path:
    """The fuzzer built with these flags; skips where the compiler cannot."""
    assert COMPILER, "a C compiler is needed"
    probe = folder / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    sanitizers = [flag for flag in flags if flag.startswith("-fsanitize")]
    if subprocess.run(
        [COMPILER, *sanitizers, probe, "-o", folder / "probe"], capture_output=True, check=False
    ).returncode:
        pytest.skip(f"the compiler lacks {' '.join(sanitizers)}: kvd's core is NOT fuzzed with it")
    program = folder / "kvd_fuzz"
    strict = ["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", f"-I{KVD}"]
    sources = [ROOT / "tests" / "fuzz" / "kvd_fuzz.c", *core_sources()]
    result = subprocess.run(
        [COMPILER, *strict, *flags, *sources, "-o", program, "-lpthread"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return program


def fuzz(program: Path, seed: int, cases: int, threads: int) -> dict[str, int]:
    command = [program, str(seed), str(cases), str(threads)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr[-4000:]
    print(result.stdout.strip())
    return {name: int(value) for name, value in re.findall(r"(\w+) (\d+)", result.stdout)}


def test_broken_datagrams_harm_nothing(tmp_path: Path) -> None:
    """Address and undefined-behaviour sanitizers; the fuzzer checks framing, locking and the store's structure as well."""
    program = compiled(tmp_path, "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    for seed in range(1, 5):
        counts = fuzz(program, seed, cases=100_000, threads=1)
        assert counts["cases"] == 100_000
        assert counts["answered"] > 50_000
        assert counts["datagrams"] > counts["answered"], "answers of several datagrams"
        assert counts["evictions"] > 0, "the budget was felt"


def test_threads_do_not_race(tmp_path: Path) -> None:
    program = compiled(tmp_path, "-fsanitize=thread")
    counts = fuzz(program, seed=1, cases=40_000, threads=4)
    assert counts["cases"] == 40_000
    assert counts["evictions"] > 0


def test_the_same_seed_gives_the_same_run(tmp_path: Path) -> None:
    program = compiled(tmp_path)
    first = fuzz(program, seed=7, cases=5_000, threads=1)
    assert fuzz(program, seed=7, cases=5_000, threads=1) == first
    assert fuzz(program, seed=8, cases=5_000, threads=1) != first


def test_the_core_asks_for_nothing_but_its_port(tmp_path: Path) -> None:
    assert COMPILER, "a C compiler is needed"
    flags = [
        "-std=c11",
        "-O2",
        "-ffreestanding",
        "-fno-pie",
        "-mgeneral-regs-only",
        "-fno-stack-protector",
        "-Wall",
        "-Wextra",
        "-Werror",
    ]
    subprocess.run([COMPILER, *flags, "-c", *core_sources()], cwd=tmp_path, check=True)
    joined = tmp_path / "core.o"
    subprocess.run(["ld", "-r", *sorted(tmp_path.glob("*.o")), "-o", joined], check=True)
    listed = subprocess.run(["nm", joined], capture_output=True, text=True, check=True).stdout
    symbols = [line.split()[-2:] for line in listed.splitlines()]
    assert {name for kind, name in symbols if kind == "U"} <= ALLOWED
    assert all(name.startswith("kvd_") for kind, name in symbols if kind in "Tt"), "components go by this prefix"
    assert not [name for kind, name in symbols if kind in "BbDdC"], "no state outside the arena"
