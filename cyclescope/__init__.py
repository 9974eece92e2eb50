# SPDX-License-Identifier: GPL-2.0-or-later
"""Run the same program and packets on different operating systems, and see where every cycle of every request went.

The nouns, each usable on its own:

    from cyclescope import Hardware, Load, compare, get_personality
    digest, outcomes = compare([get_personality("libos")], Hardware(cpus=2), Load(requests=1000))
    print(outcomes[0].run.component_cycles())
"""

from cyclescope.cluster.experiment import run_cluster
from cyclescope.cluster.file import read_cluster
from cyclescope.cluster.spec import Cluster, ClusterLoad, KillSpec, LinkSpec, NodeSpec, SwitchSpec
from cyclescope.config import Hardware, Load, config_hash
from cyclescope.experiments.compare import compare
from cyclescope.experiments.recording import load_recording
from cyclescope.experiments.replay import replay
from cyclescope.experiments.run import run_guest
from cyclescope.experiments.testbed import Testbed
from cyclescope.result import Host, Outcome, Run
from emu.errors import ConfigError, CyclescopeError, EmuBug, GuestError, NotModelled
from emu.machine import Machine, MachineConfig
from emu.world import Reason, StopInfo, World
from nic.endpoint import Endpoint
from nic.virtio_net import VirtioNet
from personalities.base import Personality, all_personalities, get_personality

__all__ = [
    "Cluster", "ClusterLoad", "ConfigError", "CyclescopeError", "EmuBug", "Endpoint", "GuestError", "Hardware", "Host",
    "KillSpec", "LinkSpec", "Load", "Machine", "MachineConfig", "NodeSpec", "NotModelled", "Outcome", "Personality",
    "Reason", "Run", "StopInfo", "SwitchSpec", "Testbed", "VirtioNet", "World", "all_personalities", "compare",
    "config_hash", "get_personality", "load_recording", "read_cluster", "replay", "run_cluster", "run_guest",
]  # fmt: skip
