# SPDX-License-Identifier: GPL-2.0-or-later
"""Machines of pools in a World: they start in simulated time, end, and disturb nobody."""

from __future__ import annotations

import msgspec
import pytest

from cyclescope.cluster.bed import ClusterBed
from cyclescope.cluster.experiment import run_cluster
from cyclescope.cluster.lives import NEVER, Stage
from cyclescope.cluster.pools import Pools
from cyclescope.cluster.poolspec import PoolSpec
from cyclescope.cluster.provisioner import Refused
from cyclescope.cluster.spec import Cluster, ClusterLoad, KillSpec, NodeSpec

NODE = NodeSpec(name="a", personality="libos", vcpus=1, memory_mib=64)
LOAD = ClusterLoad(requests=200, warmup=0, keys=20, rate=20_000.0)
POOL = PoolSpec(name="kvd", max=3, starts=5, warm=1)
CLUSTER = Cluster(nodes=(NODE,), pools=(POOL,), load=LOAD, timing="fast")
MS = 10**9


def booted(bed: ClusterBed) -> Pools:
    bed.boot()
    assert bed.pools is not None
    return bed.pools


def test_a_start_takes_control_image_firmware_and_kernel_one_after_the_other():
    with ClusterBed(CLUSTER) as bed:
        pools = booted(bed)
        now = bed.world.now_ps
        got = pools.allocate("kvd", now)
        assert (got.number, got.ip, got.warm) == (1, "10.0.2.16", True)
        cold = pools.lives[1]  # the warm pool is filled again
        assert (cold.number, cold.stage) == (2, Stage.CONTROL)
        bed.world.run(now + 40 * MS)
        assert cold.image_ps == now + MS
        assert 0 < cold.firmware_ps - cold.image_ps < MS
        assert cold.kernel_ps == cold.firmware_ps + 8 * MS
        assert 0.5 * MS < cold.ready_ps - cold.kernel_ps < 5 * MS
        assert cold.blocks == -(-cold.image_bytes // 1408)
        assert cold.stage is Stage.PARKED
        assert pools.allocate("kvd", bed.world.now_ps).number == 2
        assert bed.nodes[2].snapshot().clocks > pools.begun[2].clocks


def test_more_than_there_are_is_refused_and_freed_machines_are_replaced_by_new_ones():
    with ClusterBed(msgspec.structs.replace(CLUSTER, pools=(msgspec.structs.replace(POOL, warm=0),))) as bed:
        pools = booted(bed)
        got = [pools.allocate("kvd", bed.world.now_ps).number for _ in range(3)]
        for _ in range(1000):
            with pytest.raises(Refused, match="all 3 machines of kind kvd are on"):
                pools.allocate("kvd", bed.world.now_ps)
        assert len(bed.world.machines) == 4
        with pytest.raises(Refused, match="there is no kind cats; there are: kvd"):
            pools.allocate("cats", bed.world.now_ps)
        with pytest.raises(Refused, match="there is no machine 0 of a pool"):
            pools.free(0, bed.world.now_ps)
        pools.free(got[1], bed.world.now_ps)  # while its image is on its way
        with pytest.raises(Refused, match="machine 2 has ended: freed"):
            pools.free(got[1], bed.world.now_ps)
        assert pools.allocate("kvd", bed.world.now_ps).number == 4
        bed.world.run(bed.world.now_ps + 20 * MS)
        assert [life.stage for life in pools.lives] == [Stage.ON, Stage.ENDED, Stage.ON, Stage.ON]
        assert pools.lives[1].kernel_ps == NEVER
        pools.free(1, bed.world.now_ps)
        assert pools.allocate("kvd", bed.world.now_ps).number == 5
        pools.free(5, bed.world.now_ps)
        with pytest.raises(Refused, match="all 5 starts of kind kvd are used up"):
            pools.allocate("kvd", bed.world.now_ps)


def test_a_guest_that_gives_up_while_it_boots_ends_its_machine_alone():
    pools_of = (msgspec.structs.replace(POOL, warm=0, arguments=("-p", "0")),)
    with ClusterBed(msgspec.structs.replace(CLUSTER, pools=pools_of)) as bed:
        pools = booted(bed)
        pools.allocate("kvd", bed.world.now_ps)
        until = bed.world.now_ps + 30 * MS
        bed.run(until)
        assert bed.world.now_ps == until
        assert pools.lives[0].stage is Stage.ENDED
        assert pools.lives[0].why.startswith("the guest ended its run with 125: ")
        assert "-p takes" in pools.lives[0].why


def test_a_machine_that_starts_moves_nobodys_clock():
    """The same requests at the same times: with a machine that boots meanwhile, and without."""
    quiet = run_cluster(CLUSTER).run
    busy = run_cluster(CLUSTER, on_measuring=lambda bed: bed.pools and bed.pools.allocate("kvd", bed.world.now_ps)).run
    assert (quiet.latency_ps == busy.latency_ps).all()
    assert (quiet.start_ps - quiet.start_ps[0] == busy.start_ps - busy.start_ps[0]).all()
    assert [node.name for node in quiet.nodes] == ["a", "kvd-1"]
    assert [node.name for node in busy.nodes] == ["a", "kvd-1", "kvd-2"]
    refill = busy.timeline.starts[1]
    assert (refill.asked_ps, list(refill.parts_ps)) == (None, ["ask", "image", "firmware", "kernel"])


def test_a_machine_killed_before_it_has_booted_is_ended():
    killed = msgspec.structs.replace(CLUSTER, kills=(KillSpec(node="kvd-2", at_us=3000.0), KillSpec(node="kvd-5", at_us=1.0)))
    run = run_cluster(killed, on_measuring=lambda bed: bed.pools and bed.pools.allocate("kvd", bed.world.now_ps)).run
    assert run.killed == {"kvd-2": 3 * MS}
    dead = run.timeline.starts[1]
    assert (dead.why, dead.ended_ps, list(dead.parts_ps)) == ("killed", 3 * MS, ["ask", "image"])
    assert (run.lost, run.answers.get("wrong", 0)) == (0, 0)
