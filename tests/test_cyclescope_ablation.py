# SPDX-License-Identifier: GPL-2.0-or-later
"""`compare --ablate`: which variants there are, that they share a load, and what is printed and kept."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from cyclescope.cli import run_cli
from cyclescope.experiments.ablation import variants
from personalities.base import get_personality

LIBOS = ["compare", "--personality", "libos", "--cpus", "1", "--requests", "150", "--warmup", "20", "--keys", "100", "--quiet"]


def test_variants_are_each_knob_and_all() -> None:
    names = [personality.name for personality in variants([get_personality("linux_like"), get_personality("libos")])]
    assert names == [
        "linux_like", "linux_like+ring0", "linux_like+nocopy", "linux_like+poll", "linux_like+pin", "linux_like+no_pti",
        "linux_like+unmitigated", "linux_like+ring0+nocopy+poll+pin+no_pti+unmitigated", "libos", "libos+poll",
    ]  # fmt: skip


def test_variants_share_a_load_whatever_the_processes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    documents = []
    for jobs in ("1", "2"):
        out = tmp_path / jobs
        assert run_cli([*LIBOS, "--ablate", "--jobs", jobs, "--out", str(out)]) == 0
        documents.append(msgspec.json.decode((out / "summary.json").read_bytes()))
        assert (out / "libos+poll" / "requests.npz").exists()
    assert documents[0] == documents[1]
    plain, polling = documents[0]["runs"]
    assert (plain["personality"], polling["personality"]) == ("libos", "libos+poll")
    assert plain["rate_rps"] == polling["rate_rps"]
    assert polling["cycles"]["polling"] > 0
    assert "polling" not in plain["cycles"]
    printed = capsys.readouterr().out
    assert "+ poll" in printed
    assert max(len(line) for line in printed.splitlines() if "Written to" not in line) <= 80


def test_ablate_and_seeds_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli([*LIBOS, "--ablate", "--seeds", "2"]) == 2
    assert "exclude each other" in capsys.readouterr().err
