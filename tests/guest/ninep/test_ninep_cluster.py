# SPDX-License-Identifier: GPL-2.0-or-later
"""The files of a general-purpose node, for a library OS: gpos serves them by 9P over messages."""

from pathlib import Path

import pytest

from cyclescope.cluster.follow import follow_cluster
from cyclescope.cluster.spec import Cluster, NodeSpec
from emu.errors import GuestError

WORDS = "create tmp/new write tmp/new 100000 check tmp/new 100000 stat tmp/new remove tmp/new stat tmp/new print proc/version"


def said(images: Path, *words: str) -> list[str]:
    """What the library OS says, with gpos's own words."""
    nodes = (
        NodeSpec(name="front", program="gpos", words=words, vcpus=1, memory_mib=64),
        NodeSpec(
            name="back", personality="libos", program=str(images / "libos-test_ninep_client.elf"),
            arguments=tuple(WORDS.split()), vcpus=1, memory_mib=64,
        ),
    )  # fmt: skip
    followed = follow_cluster(Cluster(nodes=nodes, timing="functional"), "back", "begin:", "SUCCESS", 5_000)
    lines = [line for _, name, line in followed.console if name == "back"]
    return lines[lines.index("client: ready") :]


def test_a_library_os_uses_files(images: Path) -> None:
    lines = said(images, "ninep_root=/")
    assert lines[:8] == [
        "client: ready",
        "begin: msize 65536",
        "create tmp/new: done",
        "write tmp/new: done, 100000 bytes",
        "check tmp/new: done, 100000 bytes",
        "stat tmp/new: done, 100000 bytes, mode 1a4",
        "remove tmp/new: done",
        "walk tmp/new: there is no such file",
    ]
    assert lines[8].startswith("print proc/version: done: Linux version")
    assert lines[9] == "SUCCESS"


def test_a_node_that_needs_files_is_refused_where_there_are_none(images: Path) -> None:
    with pytest.raises(GuestError, match="refused: the node needs interface 208, which this gpos does not have"):
        said(images)
