# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope snapshot` and what goes on from it: the same figures as from a boot; refusals of one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cyclescope.cli import run_cli
from cyclescope.config import Hardware
from cyclescope.experiments.compare import server_arguments
from cyclescope.experiments.saved import About, open_saved, save_booted
from emu.errors import BadSnapshot
from emu.snapshot import FORMAT, SavedWorld
from emu.state import plain
from personalities.base import get_personality

CAPTURE = str(Path(__file__).parent / "captures" / "memcached-udp-300.pcap")


@pytest.fixture(scope="module")
def libos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("snapshots") / "libos.snap"
    assert run_cli(["snapshot", str(path), "--personality", "libos", "--cpus", "2", "--mem", "64M", "--quiet"]) == 0
    return path


def test_a_replay_from_a_snapshot_is_the_replay_from_a_boot(libos: Path, tmp_path: Path) -> None:
    common = ["replay", CAPTURE, "--check", "--timing", "fast", "--quiet"]
    assert run_cli([*common, "--from", str(libos), "--json", str(tmp_path / "one")]) == 0
    shape = ["--personality", "libos", "--cpus", "2", "--mem", "64M"]
    assert run_cli([*common, *shape, "--json", str(tmp_path / "two")]) == 0
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert json.loads((tmp_path / "one").read_text())["equal"] == 300


def test_the_time_to_start_is_told(libos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["replay", CAPTURE, "--from", str(libos), "--timing", "functional"]) == 0
    assert f"{libos}: restored in " in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--cpus", "2"], ["--personality", "libos"], ["--mem", "64M"], ["--net", "10G"]])
def test_the_snapshot_says_what_machine_it_is(
    libos: Path, option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["replay", CAPTURE, "--from", str(libos), *option]) == 2
    assert f"{option[0]} and --from exclude each other" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read"),
        (b"", "this is no snapshot"),
        (b"CYCSNAP\n" + bytes(100), "a snapshot of format 0"),
        (b"CYCSNAP\n" + FORMAT.to_bytes(4, "little") + bytes(100), "its header"),
    ],
)  # fmt: skip
def test_what_is_no_snapshot_is_refused_in_a_sentence(
    tmp_path: Path, content: bytes | None, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    assert run_cli(["replay", CAPTURE, "--from", str(path)]) == 2
    error = capsys.readouterr().err
    assert str(path) in error
    assert sentence in error
    assert error.count("\n") == 1


def test_a_program_of_the_users_is_refused_before_the_boot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Going on from it would have to open a path that a snapshot names."""
    kvd = get_personality("linux_like").prepare("kvd").programs[0]
    assert run_cli(["snapshot", str(tmp_path / "no.snap"), "--quiet", "--", str(kvd), "-t", "1"]) == 2
    assert "one of its own programs only" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_told_before_the_boot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "nowhere" / "file"
    assert run_cli(["snapshot", str(target), "--personality", "libos"]) == 2
    assert str(target) in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [
        {"personality": "none such"},
        {"program": "../kvd"},
        {"cmdline": "other words"},
        {"inputs": {}},
        {"hardware": {"cpus": 99}},
        {"hardware": {"cpus": "two"}},
        {"hardware": {"uarch": "../../etc"}},
    ],
)  # fmt: skip
def test_a_snapshot_that_lies_about_itself_is_refused(libos: Path, tmp_path: Path, change: dict[str, object]) -> None:
    whole = SavedWorld.read(libos)
    path = tmp_path / "forged"
    SavedWorld({**whole.about, **change}, whole.sections).write(path)
    assert run_cli(["replay", CAPTURE, "--from", str(path)]) == 2


def test_one_machine_s_name_with_another_s_state_is_refused(
    libos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    personality, hardware = get_personality("libos"), Hardware(cpus=1, memory_mib=64)
    arguments = server_arguments(personality, hardware)
    small = tmp_path / "small"
    save_booted(personality, hardware, personality.prepare("kvd", arguments), "kvd", arguments, small)
    assert open_saved(small).hardware == hardware
    mixed = tmp_path / "mixed"
    SavedWorld(SavedWorld.read(libos).about, SavedWorld.read(small).sections).write(mixed)
    assert run_cli(["replay", CAPTURE, "--from", str(mixed)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"cyclescope: {mixed}: ")
    assert error.endswith("; take the snapshot again\n")


def test_what_it_was_taken_with_is_part_of_it(libos: Path, tmp_path: Path) -> None:
    about = dict(SavedWorld.read(libos).about)
    assert plain(About(**about)) == about
    about["inputs"] = dict.fromkeys(about["inputs"], "0" * 64)
    SavedWorld(about, SavedWorld.read(libos).sections).write(tmp_path / "other")
    with pytest.raises(BadSnapshot, match=r"taken with another .*; take the snapshot again"):
        open_saved(tmp_path / "other")


def test_a_comparison_from_snapshots_is_the_comparison_from_boots(tmp_path: Path) -> None:
    names, shape = ["libos", "linux_like"], ["--cpus", "2", "--mem", "64M"]
    for name in names:
        taken = ["snapshot", str(tmp_path / name), "--personality", name, "--locks", "global", "--quiet", *shape]
        assert run_cli(taken) == 0
    common = ["compare", "--requests", "60", "--warmup", "20", "--keys", "40", "--timing", "fast", "--quiet"]
    files = ",".join(str(tmp_path / name) for name in names)
    assert run_cli([*common, "--from", files, "--out", str(tmp_path / "one")]) == 0
    boots = ["--personality", ",".join(names), "--locks", "global"]
    assert run_cli([*common, *shape, *boots, "--out", str(tmp_path / "two")]) == 0
    for path in sorted((tmp_path / "one").rglob("*")):
        if path.is_file() and path.name != "host.json":
            assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes(), path.name


def test_comparisons_need_snapshots_of_one_kind_of_machine(
    libos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    assert run_cli(["snapshot", str(other), "--cpus", "1", "--mem", "64M", "--quiet"]) == 0
    assert run_cli(["compare", "--from", f"{libos},{other}"]) == 2
    assert f"{other}: its hardware or locks are not those of {libos}" in capsys.readouterr().err
    assert run_cli(["compare", "--from", f"{libos},{libos}"]) == 2
    assert "name each personality once" in capsys.readouterr().err
    assert run_cli(["compare", "--from", str(libos), "--seeds", "3"]) == 2
