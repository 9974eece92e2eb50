# SPDX-License-Identifier: GPL-2.0-or-later
"""examples/integrations: every integration is measured with the same operations; the page's tables and picture come out."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.integrations import (
    BULK,
    CLIENT,
    EXAMPLES,
    HOME,
    HOMES,
    Kind,
    components,
    latency,
    measure,
    picture,
    throughput,
)
from emu.uarch.table import load

HZ = load("skylake_sp").hz
OPERATIONS = [
    ("read", 64), ("read", 4096), ("read-again", 64), ("write", 64), ("write", 4096), ("write-again", 64), ("read", BULK),
    ("write", BULK),
]  # fmt: skip


@pytest.fixture(scope="module")
def kinds() -> list[Kind]:
    return [kind for name in HOMES for kind in measure(EXAMPLES / f"{name}.toml", "functional")]


def test_all_do_the_same(kinds: list[Kind]) -> None:
    columns = dict.fromkeys((kind.integration, kind.home) for kind in kinds)
    assert {("messages", "linux_like"), ("ninep", "linux_like"), ("messages", "libos")} <= set(columns)
    for column in columns:
        own = [kind for kind in kinds if (kind.integration, kind.home) == column]
        assert [(kind.name, kind.length) for kind in own] == OPERATIONS
        for kind in own:
            busy = sum(sum(parts.values()) for parts in kind.cycles.values())
            assert sum(kind.cycles[CLIENT].values()) > 50
            assert busy <= 2 * kind.mean_ns * HZ / 1e9 * 1.2  # two vCPUs, and what they do round the operations


def test_a_question_reaches_the_home_and_its_program(kinds: list[Kind]) -> None:
    for kind in kinds:
        if kind.integration in ("messages", "ninep"):
            assert kind.busy(HOME, True, kind.home) > 100
            assert kind.busy(HOME, False, kind.home) > 100
            assert sum(kind.cycles[CLIENT].get(part, 0) for part in ("message", "shared")) > 100
            assert kind.cycles[CLIENT].get("unknown", 0) < 0.01 * sum(kind.cycles[CLIENT].values())


def test_tables_and_picture(kinds: list[Kind]) -> None:
    rows = {(kind.integration, kind.home) for kind in kinds}
    assert latency(kinds).count("\n") == 1 + 6
    assert throughput(kinds, HZ).count("\n") == 1 + 2 * len(rows)
    assert components(kinds, "read", 64).splitlines()[0].count("|") == 2 + len(rows)
    drawn = ElementTree.fromstring(picture(kinds, HZ))
    texts = [element.text or "" for element in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("ninep, linux_like") == 6


def test_the_page_has_their_names() -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "integrations.md").read_text()
    for name in ("latency", "throughput", "read-64", "write-4096"):
        assert page.count(f"<!-- table {name} -->") == 1
