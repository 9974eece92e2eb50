# SPDX-License-Identifier: GPL-2.0-or-later
"""examples/runtime: everything is measured, native and hosted; what must be cheaper is; the page's tables and picture come out."""

from xml.etree import ElementTree

import msgspec
import pytest

from bench.runtime import (
    ASKS,
    DIRECT,
    EBBS,
    EXAMPLES,
    GROUPS,
    MOST,
    WAYS,
    Figures,
    calls,
    costs,
    figures_of,
    most_added,
    picture,
    run,
)
from cyclescope.cluster.file import read_cluster
from cyclescope.cluster.follow import Followed, follow_cluster
from emu.errors import GuestError

LATER = ("event spawned", "future fulfilled", "context resumed", "iobuf moved")
PLACES = ("on this vCPU", "on another vCPU, awake", "on another vCPU, asleep")


@pytest.fixture(scope="module")
def followed() -> Followed:
    return run("native", "detailed")


@pytest.fixture(scope="module")
def native(followed: Followed) -> Figures:
    return figures_of(followed)


@pytest.fixture(scope="module")
def hosted() -> Figures:
    return figures_of(run("hosted", "functional"))


def test_both_measure_everything(native: Figures, hosted: Figures) -> None:
    assert list(native) == list(hosted)
    assert {what for group, what in native if group == "call"} == {
        f"{kind}, {way}" for kind in (DIRECT, *EBBS) for way in WAYS
    }
    assert {what for group, what in native if group == "later"} == {
        f"{thing}, {place}" for thing in LATER for place in PLACES
    }
    assert {group for group, _ in native} == {"call", *GROUPS}


def test_the_fast_path(native: Figures) -> None:
    """In a row at most three cycles more than a direct call, whatever the kind; chained, the load is seen."""
    assert -MOST < most_added(native, "in a row") <= MOST
    assert 4 <= most_added(native, "chained") <= 7
    for way in WAYS:
        cycles = [native["call", f"{kind}, {way}"] for kind in EBBS]
        assert max(cycles) - min(cycles) < 1  # a slot is a slot


def test_the_ledger_says_the_same(followed: Followed, native: Figures) -> None:
    """The program reads the TSC; the emulator counts the program's cycles, those of reading and writing lines included."""
    calls_made = 10 * 2000
    for kind in EBBS:
        for way in ("in a row", "chained"):
            step = next(step for step in followed.steps if step.line.endswith(f"call: {kind}, {way}"))
            assert step.cycles[ASKS]["app"] / calls_made == pytest.approx(native["call", f"{kind}, {way}"], rel=0.05)


def test_what_costs_more(native: Figures) -> None:
    """A first call more than others, another vCPU more than this one, a sleeping one more still, other nodes most."""
    once = native["call", "shared Ebb, alone"]
    misses = {what: cycles for (group, what), cycles in native.items() if group == "first"}
    assert len(misses) == 10
    assert all(cycles > once for cycles in misses.values())
    for thing in LATER:
        here, awake, asleep = (native["later", f"{thing}, {place}"] for place in PLACES)
        assert 0 < here < awake < asleep < 20_000
    nodes = {what: cycles for (group, what), cycles in native.items() if group == "node"}
    known = nodes.pop("the same once its root is known here")
    assert all(cycles > 10 * known for cycles in nodes.values())
    assert len(nodes) == 3


def test_tables_and_picture(native: Figures, hosted: Figures) -> None:
    kinds = {"native": native, "hosted": hosted}
    assert calls(kinds).splitlines()[-1].startswith("| demand: 3 more | holds | ")
    listed = sum(group != "call" for group, _ in native)
    assert costs(kinds, 2_500_000_000).count("\n") == 1 + len(GROUPS) + listed
    drawn = ElementTree.fromstring(picture(kinds))
    assert sum(each.text == "on this vCPU" for each in drawn.iter()) == len(LATER)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ask", "256"), "ask a node's number, 1 to 255, not 256"),
        (("answer",), "say home, or ask and a node's number"),
        (("home",), "there is no word gpos="),
    ],
)
def test_what_it_cannot_do(arguments: tuple[str, ...], said: str) -> None:
    cluster = read_cluster(EXAMPLES / "native.toml")
    alone = msgspec.structs.replace(cluster.nodes[2], arguments=arguments)
    with pytest.raises(GuestError, match=f"panic: runtime: {said}"):
        follow_cluster(
            msgspec.structs.replace(cluster, nodes=(alone,), timing="functional"), ASKS, "bench: ", "over", 100
        )
