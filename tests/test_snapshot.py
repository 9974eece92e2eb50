# SPDX-License-Identifier: GPL-2.0-or-later
"""A snapshot changes nothing of the run it is taken from, and a run that goes on from it is that run, to the last byte."""

from pathlib import Path
from typing import Any

import pytest

from cyclescope.experiments.testbed import Testbed
from emu.errors import ConfigError
from emu.snapshot import SavedWorld
from emu.world import Reason
from tests.snapshots import kvd_testbed, outcome, requests, same

SHAPES = [
    ("linux_like", 1, "fast"), ("linux_like", 4, "fast"), ("linux_like", 2, "detailed"), ("libos", 4, "detailed"),
    ("libos", 1, "functional"),
]  # fmt: skip
Answers = list[tuple[int, bytes, int]]


def serve(bed: Testbed) -> None:
    bed.closed_loop(4, requests(100, 2), "serving")


@pytest.mark.parametrize(("name", "cpus", "timing"), SHAPES)
def test_a_restored_run_is_the_run_that_was_not_interrupted(name: str, cpus: int, timing: str, tmp_path: Path) -> None:
    runs: list[dict[str, Any]] = []
    heard: list[Answers] = []
    for saves in (False, True):
        answers: Answers = []
        with kvd_testbed(name, cpus, timing, answers) as bed:
            bed.boot()
            bed.closed_loop(4, requests(60), "warming up")
            if saves:
                bed.save({}).write(tmp_path / "saved")
            serve(bed)
            runs.append(outcome(bed))
        heard.append(answers[60:])
    answers = []
    snapshot = SavedWorld.read(tmp_path / "saved")
    with kvd_testbed(name, cpus, timing, answers) as bed:
        bed.restore(snapshot)
        again = bed.save({})
        assert {name: bytes(part) for name, part in again.sections.items()} == {
            name: bytes(part) for name, part in snapshot.sections.items()
        }
        serve(bed)
        runs.append(outcome(bed))
    heard.append(answers)
    assert len(heard[0]) == 100
    assert heard[0] == heard[1] == heard[2]
    same(runs[0], runs[1])
    same(runs[0], runs[2])


@pytest.mark.parametrize(("name", "cpus", "timing"), [("linux_like", 4, "detailed"), ("libos", 2, "fast")])
def test_a_snapshot_in_the_middle_of_load_goes_on_too(name: str, cpus: int, timing: str, tmp_path: Path) -> None:
    load = requests(200)
    answers: Answers = []
    with kvd_testbed(name, cpus, timing, answers) as bed:
        bed.boot()
        bed.closed_loop(8, load, "serving")
        whole = outcome(bed)
    heard, answers = answers, []
    with kvd_testbed(name, cpus, timing, answers, cross_traffic=0.0) as bed:
        bed.boot()
        keep = bed.client._on_answer
        assert keep is not None

        def stop_at(index: int, answer: bytes, time_ps: int) -> None:
            keep(index, answer, time_ps)
            if len(answers) == 90:
                bed.world.stop()

        bed.client._on_answer = stop_at
        bed.closed_loop(8, load, "serving")
        assert len(answers) == 90
        assert bed.requests.open_requests > 0
        bed.save({}).write(tmp_path / "saved")
    with kvd_testbed(name, cpus, timing, answers) as bed:
        bed.restore(SavedWorld.read(tmp_path / "saved"))
        bed.client.resume(load)
        assert bed.world.run().reason is Reason.REQUESTED
        same(whole, outcome(bed))
    assert answers == heard


def test_cross_traffic_and_moderation_are_part_of_it(tmp_path: Path) -> None:
    answers: Answers = []
    shape = {"cross_traffic": 0.5, "moderation_us": 20}
    with kvd_testbed("linux_like", 2, "fast", answers, **shape) as bed:
        bed.boot()
        bed.closed_loop(4, requests(60), "warming up")
        bed.save({}).write(tmp_path / "saved")
        serve(bed)
        whole = outcome(bed)
    with kvd_testbed("linux_like", 2, "fast", answers, **shape) as bed:
        bed.restore(SavedWorld.read(tmp_path / "saved"))
        serve(bed)
        same(whole, outcome(bed))


def test_a_load_under_way_has_to_be_given_again(tmp_path: Path) -> None:
    with kvd_testbed("libos", 1, "functional", []) as bed:
        bed.boot()
        with pytest.raises(ConfigError, match="no such load under way"):
            bed.client.resume(requests(10))


def test_two_snapshots_of_one_run_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with kvd_testbed("libos", 2, "fast", []) as bed:
            bed.boot()
            serve(bed)
            bed.save({"of": "a test"}).write(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
