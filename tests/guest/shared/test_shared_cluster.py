# SPDX-License-Identifier: GPL-2.0-or-later
"""Shared objects in clusters of emulated machines: the suite on library OSes, at home on a general-purpose OS or a library OS."""

from pathlib import Path

import msgspec
import pytest

from cyclescope.cluster.follow import Followed, follow_cluster
from cyclescope.cluster.spec import Cluster, KillSpec, LinkSpec, NodeSpec

NAMES = ("home", "leader", "helper")


def cluster(images: Path, integration: str, home: str, what: str = "all", **more: object) -> Cluster:
    """The three nodes of nodes.h, in its order."""
    addresses = [f"10.0.2.{15 + place}:5640" for place in range(3)]
    word = f"integration={integration}"
    nodes = []
    for place, name in enumerate(NAMES):
        words = (str(place), "1", what, *addresses)
        if name == "home" and home == "linux_like":
            program, words = (
                "hosted_test_shared",
                (word, "cpus=1", "memory=32", "ninep_root=/tmp", "--", "shared", *words),
            )
            own: tuple[str, ...] = ()
        else:
            program, own = "libos-test_shared.elf", (word,)
        personality = home if name == "home" else "libos"
        nodes.append(
            NodeSpec(
                name=name,
                personality=personality,
                program=str(images / program),
                words=own,
                arguments=words,
                vcpus=1,
                memory_mib=64,
            )
        )
    made = Cluster(nodes=tuple(nodes), name="shared", timing="functional")
    return msgspec.structs.replace(made, **more)


def said(followed: Followed, node: str) -> list[str]:
    return [line for _, name, line in followed.console if name == node and not line.startswith("libos")]


@pytest.mark.parametrize(
    ("integration", "home", "loss"),
    [("messages", "linux_like", 0.0), ("messages", "libos", 0.01), ("ninep", "linux_like", 0.01), ("memory", "libos", 0.0)],
)
def test_the_suite(images: Path, integration: str, home: str, loss: float) -> None:
    faults = [LinkSpec(ends=(name, "switch"), loss=loss, duplicate=loss, reorder=loss) for name in NAMES]
    links = (*faults, LinkSpec(ends=("client", "switch"))) if loss else ()
    followed = follow_cluster(cluster(images, integration, home, links=links), "leader", "race: ", "SUCCESS", 60_000)
    assert followed.ended, followed.console
    assert [line for line in said(followed, "leader") if ":" in line][-5:] == [
        "table: 68 operations",
        "random: 150 operations",
        "at once: 3 times 24 operations",
        "seen: 40 rounds",
        "race: 60 writes each",
    ]


@pytest.mark.parametrize("integration", ["messages", "ninep"])
def test_a_home_that_dies(images: Path, integration: str) -> None:
    """Every operation under way fails, in time."""
    killed = cluster(images, integration, "linux_like", "death", kills=(KillSpec(node="home", at_us=30_000),))
    followed = follow_cluster(killed, "leader", "under way", "failed: 6 of 6", 5_000)
    assert followed.ended, followed.console
    assert len(followed.steps) == 1
