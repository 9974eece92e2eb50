# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope validate blocks`: what it says of tiny files, and one sentence for files that are none."""

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest

from cyclescope.cli import run_cli
from cyclescope.experiments.validate import blocks as experiment
from cyclescope.experiments.validate.llvm_mca import find_llvm_mca
from cyclescope.experiments.validate.rankings import kendall_tau

HEADER = "block_hex,measured_cycles_per_iteration\n"
ADD = "4801d8"  # add rax, rbx: one cycle, a chain
IMUL = "480fafc3"  # imul rax, rbx: three
STORES = "488907488947084889471048894718"  # four stores: four cycles


def told(text: str, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes], *options: str) -> Any:
    file = tmp_path / "blocks.csv"
    file.write_text(text, encoding="ascii")
    assert run_cli(["validate", "blocks", "--file", str(file), "--json", "-", *options]) == 0
    return json.loads(capsysbinary.readouterr().out)


def test_each_block_has_its_prediction_beside_what_was_measured(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    document = told(f"{HEADER}{ADD},1.0\n{IMUL},3.0\n{STORES},5.0\n", tmp_path, capsysbinary)
    assert document["blocks"] == 3
    assert [one["hex"] for one in document["per_block"]] == [ADD, IMUL, STORES]
    assert [one["measured"] for one in document["per_block"]] == [1.0, 3.0, 5.0]
    assert [one["predicted"] for one in document["per_block"]] == pytest.approx([1.0, 3.0, 4.0], rel=0.02)
    assert document["mape"] == pytest.approx(0.2 / 3, abs=0.01)
    assert document["tau"] == 1.0
    assert document["baselines"]["rule"]["mape"] == pytest.approx((0.75 + 2.75 / 3 + 0.2) / 3)


def test_what_cannot_be_decoded_is_wholly_wrong(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    document = told(f"{HEADER}{ADD},1.0\n{ADD}0f,1.0\n06,1.0\n", tmp_path, capsysbinary)
    assert [one["predicted"] for one in document["per_block"]][1:] == [0.0, 0.0]
    assert document["failed"] == 2
    assert document["mape"] == pytest.approx(2 / 3, abs=0.01)
    assert {one.get("failed", 2) for one in document["baselines"].values()} == {2}


@pytest.mark.skipif(find_llvm_mca() is None, reason="no llvm-mca on PATH")
def test_llvm_mca_stands_beside_it(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    document = told(f"{HEADER}{ADD},1.0\n{IMUL},3.0\n", tmp_path, capsysbinary, "--uarch", "haswell")
    assert document["baselines"]["llvm_mca"]["mape"] < 0.01


def test_without_llvm_mca_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(experiment, "find_llvm_mca", lambda: None)
    file = tmp_path / "blocks.csv"
    file.write_text(f"{HEADER}{ADD},1.0\n", encoding="ascii")
    assert run_cli(["validate", "blocks", "--file", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "install Debian's package llvm" in printed
    assert "add rax, rbx" in printed


def test_check_tells_a_missed_bound(tmp_path: Path) -> None:
    file = tmp_path / "blocks.csv"
    file.write_text(f"{HEADER}{ADD},1.0\n{IMUL},3.0\n", encoding="ascii")
    assert run_cli(["validate", "blocks", "--file", str(file), "--check", "--json", str(tmp_path / "out")]) == 0
    file.write_text(f"{HEADER}{ADD},1.0\n{IMUL},9.0\n", encoding="ascii")
    assert run_cli(["validate", "blocks", "--file", str(file), "--check", "--json", str(tmp_path / "out")]) == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the file is empty"),
        (HEADER, "there is no block"),
        ("a,b\n1,2\n", "there is no column block_hex"),
        (f"{HEADER}4801,zero\n", "line 2: measured_cycles_per_iteration is 'zero'"),
        (f"{HEADER}{ADD},0\n", "give a number above 0"),
        (f"{HEADER}{ADD},nan\n", "give a number above 0"),
        (f"{HEADER}{ADD},inf\n", "give a number above 0"),
        (f"{HEADER}{ADD},-1\n", "give a number above 0"),
        (f"{HEADER}{ADD}\n", "give a number above 0"),
        (f"{HEADER}{ADD},1\n48g1,1\n", "line 3: block_hex is '48g1'"),
        (f"{HEADER},1\n", "block_hex is empty"),
        (f"{HEADER}{'90' * 5000},1\n", "at most 4096"),
        (f"{HEADER}{'90' * 600},1\n", "at most 512"),
        (f"{HEADER}{'9' * 200_000},1\n", "no CSV text"),
        (f"{HEADER}\u00e9,1\n", "no CSV text"),
    ],
)
def test_a_file_that_is_none_is_one_sentence(
    text: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "blocks.csv"
    file.write_text(text, encoding="utf-8")
    assert run_cli(["validate", "blocks", "--file", str(file)]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_no_file_and_too_large_a_file_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["validate", "blocks", "--file", str(tmp_path / "none")]) == 2
    assert run_cli(["validate", "blocks", "--file", str(tmp_path)]) == 2
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(1 << 32)
    assert run_cli(["validate", "blocks", "--file", str(large)]) == 2
    assert "4096 MiB" in capsys.readouterr().err


def test_kendalls_tau_is_that_of_all_pairs() -> None:
    draw = random.Random(1)
    for size in (2, 3, 17, 60):
        a = [float(draw.randrange(8)) for _ in range(size)]
        b = [float(draw.randrange(8)) for _ in range(size)]
        signs = [
            ((x > y) - (x < y), (v > w) - (v < w))
            for (x, v), (y, w) in itertools.combinations(zip(a, b, strict=True), 2)
        ]
        free = sum(s != 0 for s, _ in signs) * sum(t != 0 for _, t in signs)
        expected = sum(s * t for s, t in signs) / free**0.5 if free else None
        assert kendall_tau(a, b) == (pytest.approx(expected) if free else None)
