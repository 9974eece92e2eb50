# SPDX-License-Identifier: GPL-2.0-or-later
"""The sweep: its definitions by hand, its shape on a machine, and its picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from cyclescope.cli import run_cli
from cyclescope.experiments.sweep import Curve, Point
from cyclescope.report.svg import Line, line_chart

SWEEP = ["sweep", "--personality", "libos", "--cpus", "1", "--requests", "600", "--warmup", "100", "--timing", "fast", "--quiet"]


def point(offered: float, throughput: float, mean_ns: float, p99_ns: float) -> Point:
    return Point(offered / 100, offered, throughput, mean_ns, mean_ns, p99_ns, 10, 0, 0.5)


CURVE = Curve("x", 100.0, (point(10, 10, 5.0, 8.0), point(50, 50, 6.0, 12.0), point(90, 88, 12.0, 52.0)))


def test_the_knee_has_the_most_power() -> None:
    assert CURVE.knee is CURVE.points[1]  # 2, 8.3, 7.3 requests/s/ns


def test_p99_limit_lies_on_the_line_between_points() -> None:
    assert CURVE.p99_limit(4.0) == pytest.approx(50 + 40 * (32 - 12) / (52 - 12))
    assert CURVE.p99_limit(100.0) is None


def test_saturated_when_answers_fall_behind() -> None:
    assert not CURVE.points[1].saturated
    assert point(100, 94, 1, 1).saturated


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("sweep") / "run"
    assert run_cli([*SWEEP, "--loads", "0.2,0.7,1.6", "--jobs", "2", "--out", str(out)]) == 0
    assert {path.name for path in out.iterdir()} == {"summary.json", "sweep.svg"}
    ElementTree.fromstring((out / "sweep.svg").read_text())
    return dict(msgspec.json.decode((out / "summary.json").read_bytes()))


def test_latency_rises_and_throughput_ends_at_capacity(document: dict[str, Any]) -> None:
    (curve,) = document["curves"]
    light, _, over = curve["points"]
    assert over["mean_ns"] > 2 * light["mean_ns"]
    assert light["throughput_rps"] == pytest.approx(light["offered_rps"], rel=0.15)
    assert over["throughput_rps"] < 0.95 * over["offered_rps"]
    assert over["busy"] > 0.9 > light["busy"]


def test_processes_change_nothing(document: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    assert run_cli([*SWEEP, "--loads", "0.2,0.7,1.6", "--jobs", "1", "--json", str(file)]) == 0
    again = msgspec.json.decode(file.read_bytes())
    assert {**again, "versions": document["versions"]} == document


@pytest.mark.parametrize(
    ("loads", "reason"),
    [("0", "above 0"), ("0.5,0.5", "rising"), ("a,b", "--loads is 'a,b'"), ("nan", "above 0"), ("9", "at most 3")],
)
def test_nonsense_loads(loads: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli([*SWEEP, "--loads", loads]) == 2
    assert reason in capsys.readouterr().err


def test_unwritable_picture_is_told_before_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli([*SWEEP, "--svg", "/nowhere/a.svg"]) == 2
    assert capsys.readouterr().err.startswith("cyclescope: --svg /nowhere/a.svg: cannot be written")


def test_chart_places_points_on_its_scales() -> None:
    text = line_chart("t <&>", "x", "y", [Line("a", "#000", [(0.0, 1.0), (10.0, 100.0)])])
    root = ElementTree.fromstring(text)
    polyline = root.find("{http://www.w3.org/2000/svg}polyline")
    assert polyline is not None
    (x0, y0), (x1, y1) = (map(float, pair.split(",")) for pair in polyline.attrib["points"].split())
    assert (x0, y0, x1, y1) == (70.0, 360.0, 740.0, 46.0)  # corners of the plot: 0..10 across, 1..100 up
