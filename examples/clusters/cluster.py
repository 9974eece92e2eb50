# SPDX-License-Identifier: GPL-2.0-or-later
# A cluster in ten lines: a general-purpose front end, and library OSes behind it.
from cyclescope import Cluster, ClusterLoad, NodeSpec, run_cluster

backs = [NodeSpec(name=f"back{i}", personality="libos", role="back", vcpus=1) for i in (1, 2)]
front = NodeSpec(name="front", role="front")
load = ClusterLoad(requests=200, warmup=40, keys=60, rate=100_000)
run = run_cluster(Cluster(nodes=(front, *backs), load=load, timing="fast")).run
print(f"{run.latency_ps.mean() / 1e6:.1f} us;", run.answers)
for role, places in run.groups().items():
    print(role or "between nodes", f"{run.parts_ps[:, run.of_places(places)].sum(axis=1).mean() / 1e6:.1f} us")
