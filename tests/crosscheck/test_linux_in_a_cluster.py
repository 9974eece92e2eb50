# SPDX-License-Identifier: GPL-2.0-or-later
"""Unmodified Linux as a cluster's front end, with library OSes behind it: nothing is lost, and each request is followed through it.

Needs what tests/crosscheck/linux.py says.
"""

from __future__ import annotations

import numpy as np

from cyclescope.cluster.experiment import run_cluster
from cyclescope.cluster.spec import Cluster, ClusterLoad, NodeSpec
from tests.crosscheck.linux import needs_linux

pytestmark = needs_linux()


def test_linux_routes_to_library_oses():
    front = NodeSpec(name="front", personality="linux", role="front", vcpus=1, memory_mib=256)
    backs = tuple(NodeSpec(name=f"back{i}", personality="libos", role="back", vcpus=1, memory_mib=64) for i in (1, 2))
    load = ClusterLoad(requests=60, warmup=20, keys=20, rate=40_000.0)
    run = run_cluster(Cluster(nodes=(front, *backs), load=load, timing="fast")).run
    assert run.lost == 0
    assert sum(run.answers.values()) == 60
    assert set(run.answers) <= {"hit", "stored"}
    there = [run.parts_ps[:, run.of_places({place})].sum(axis=1) for place in range(3)]
    assert (there[0] > 5_000_000).all()  # the front end's kernel and program [ps]
    assert ((there[1] > 0) ^ (there[2] > 0)).all()
    unknown = [i for i, part in enumerate(run.part_names) if part in ("wait.unattributed", "run.unknown")]
    assert np.sum(run.parts_ps[:, unknown]) < run.latency_ps.sum() // 20
