# SPDX-License-Identifier: GPL-2.0-or-later
"""`--set`: rows changed by value and by factor, and what they do to a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from cyclescope.cli import run_cli
from emu.errors import ConfigError
from emu.uarch.changes import parse_changes
from emu.uarch.table import load
from tests.determinism.compared import arguments

TABLE = load("skylake_sp")


def test_a_value_replaces_and_a_factor_scales_rounding_halves_up() -> None:
    odd = TABLE.varied({"iret": 251})
    assert parse_changes(odd, ["iret=x0.5", "syscall=7", "swapgs=x2"]) == {
        "iret": 126, "syscall": 7, "swapgs": 2 * TABLE["swapgs"].value,
    }  # fmt: skip


def test_what_is_varied_is_what_was_named() -> None:
    changes = parse_changes(TABLE, ["iret=x2"])
    varied = TABLE.varied(changes)
    assert varied["iret"].value == 2 * TABLE["iret"].value
    assert [a.name for a, b in zip(TABLE.rows, varied.rows, strict=True) if a != b] == ["iret"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["irit=x2"], "has no row irit; did you mean iret?"),
        (["zzz=1"], "has no row zzz"),
        (["iret"], "give ROW=VALUE"),
        (["iret="], "give ROW=VALUE"),
        (["iret=x-1"], "give ROW=VALUE"),
        (["iret=xnan"], "give ROW=VALUE"),
        (["iret=x0.0"], "a factor is above 0"),
        (["iret=2.5"], "a row's value is an integer (cycles)"),
        (["iret=9999999999"], "beyond a row's largest value"),
        (["iret=1", "iret=2"], "is given twice"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_nonsense_is_one_sentence(words: list[str], reason: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_changes(TABLE, words)
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


def compared(file: Path, *options: str) -> dict[str, Any]:
    assert run_cli([*arguments("linux_like", *options), "--closed", "1", "--json", str(file)]) == 0
    document = dict(msgspec.json.decode(file.read_bytes()))
    for run in document["runs"]:
        del run["mips"]
    return document


def test_a_changed_row_changes_the_run_and_is_recorded(tmp_path: Path) -> None:
    plain = compared(tmp_path / "a")
    dearer = compared(tmp_path / "b", "--set", "syscall=x4")
    value = 4 * TABLE["syscall"].value
    assert dearer["config"]["hardware"]["rows"] == {"syscall": value}
    assert plain["config"]["hardware"]["rows"] == {}
    assert plain["config_hash"] != dearer["config_hash"]
    assert dearer["runs"][0]["latency_ns"]["mean"] > plain["runs"][0]["latency_ns"]["mean"]
    same = compared(tmp_path / "c", "--set", f"syscall={TABLE['syscall'].value}")
    assert same["runs"] == plain["runs"]


def test_order_does_not_matter(tmp_path: Path) -> None:
    one = compared(tmp_path / "a", "--set", "iret=x2", "--set", "syscall=x2")
    other = compared(tmp_path / "b", "--set", "syscall=x2", "--set", "iret=x2")
    assert one == other


@pytest.mark.parametrize(
    "word",
    ["issue_width=0", "rob=0", "rob=100000", "scheduler=2000", "dsb_sets=3", "dsb_sets=4096", "dsb_ways=200", "dsb_window_lines=9",
     "fill_buffers=0", "fill_buffers=33", "load_buffer=128", "store_buffer=0", "instruction_queue=64", "load_ports=0",
     "load_ports=65536", "load_latency_chased=6", "predecode_width=0", "mispredict=0"],
)  # fmt: skip
def test_what_the_core_refuses_is_the_users_nonsense(capsys: pytest.CaptureFixture[str], word: str) -> None:
    assert run_cli(arguments("libos", "--set", word)) == 2
    assert capsys.readouterr().err.startswith(f"cyclescope: processor table: row {word.partition('=')[0]} ")
