# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables about Linux: their sums, on any machine's figures, and their way into a page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.linux_tables import MEMCACHED, chronos_texts, measured, scale_texts, variant_texts
from bench.markdown import deliver
from cyclescope.config import Hardware, Load
from cyclescope.experiments.scale import scale
from personalities.base import get_personality


def cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def value(cell: str) -> float:
    return 0.0 if cell == "·" else float(cell.replace(",", "").split(" ")[0])


def test_tables_sum_to_what_was_measured(tmp_path: Path) -> None:
    load = Load(requests=150, warmup=20, keys=50, load=0.9)
    _, (own,) = scale([get_personality("linux_like")], Hardware(), load, (4,), timing="fast")
    found = [replace(own, personality=MEMCACHED), own]
    tables = scale_texts([measured(each) for each in found])
    *components, total = cells(tables["components"])[2:]
    for column in (1, 2, 3, 4):
        assert sum(value(row[column]) for row in components) == pytest.approx(value(total[column]), rel=0.01)
    assert value(total[4]) == pytest.approx(own.full.busy_cycles / 150, abs=1)
    shares = [value(row[5]) for row in cells(tables["functions"])[2:]]
    assert sum(shares) == pytest.approx(value(cells(tables["functions"])[-1][6]), abs=1.1)
    assert shares == sorted(shares, reverse=True)

    *parts, total = cells(chronos_texts([own.one, own.one], [own.near, own.near])["chronos"])[2:]
    for column in (4, 7):
        rows = [row for row in parts if not row[0].startswith("&nbsp;")]
        assert sum(value(row[column]) for row in rows) == pytest.approx(value(total[column]), abs=0.06)
    (row,) = cells(variant_texts(["x"], [own.near])["variants"])[2:]
    assert value(row[2]) == pytest.approx(own.near.latency_ps.mean() / 1e6, abs=0.01)

    page = tmp_path / "page.md"
    text = "a\n<!-- table scale -->\nold\n<!-- end -->\nb\n<!-- table x -->\nkept\n<!-- end -->\n"
    page.write_text(text)
    deliver({"scale": tables["scale"]}, page)
    assert page.read_text() == text.replace("old", tables["scale"])
    with pytest.raises(SystemExit, match="0 tables named y"):
        deliver({"y": ""}, page)
