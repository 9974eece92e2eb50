# SPDX-License-Identifier: GPL-2.0-or-later
"""What a cluster's node is made of: its personality, its machine's shape, its program and that program's words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cyclescope.cluster.provisioner import PROVISIONER_IP
from cyclescope.cluster.spec import CLIENT_IP, GPOS, ROUTER, STORE, Cluster, NodeSpec
from cyclescope.config import Hardware
from cyclescope.experiments.compare import server_arguments
from emu.errors import ConfigError
from emu.loader.boot import BootSpec
from nic.memcached_udp import DEFAULT_PORT
from personalities.base import Personality, get_personality
from personalities.linux.personality import Linux


def personality_of(node: NodeSpec) -> Personality:
    """Its personality with its knobs and files. Raises ConfigError."""
    personality = get_personality("+".join([node.personality, *node.knobs]))
    if not node.files and node.ready is None:
        return personality
    if not isinstance(personality, Linux):
        raise ConfigError(f"files and ready are for linux without knobs, not {personality.name}; leave them out")
    return personality.with_options(files={guest: Path(path) for guest, path in node.files.items()}, ready=node.ready)


def program_of(node: NodeSpec) -> str:
    """Its program's name."""
    return node.program or (ROUTER if node.role == "front" else STORE)


def hardware_of(node: NodeSpec) -> Hardware:
    """Its machine's shape."""
    return Hardware(cpus=node.vcpus, memory_mib=node.memory_mib, uarch=node.uarch)


def boot_spec(cluster: Cluster, node: NodeSpec, personality: Personality) -> BootSpec:
    """What it boots. Raises ConfigError."""
    program = program_of(node)
    keys = {"ip": f"{cluster.ip_of(node)}/24", "gw": CLIENT_IP}
    if program == GPOS:
        runs = node.runs or (ROUTER if node.role == "front" else None)
        power = [f"provisioner={PROVISIONER_IP}"] if cluster.pools else []
        own = [*_node_words(cluster, node), "memory=32", *power, *node.words]
        if runs is None:
            return personality.prepare(GPOS, own, keys=keys)
        return personality.prepare(GPOS, [*own, "--", runs, *_words(cluster, node, personality, runs)], keys=keys, beside=[runs])
    words: Sequence[str] = _words(cluster, node, personality, program)
    if program.startswith("hosted_"):
        words = [*_node_words(cluster, node), *node.words, *words]
    elif personality.kind == "asymmetric":
        keys |= dict(word.split("=", 1) for word in (*_node_words(cluster, node), *node.words))
    return personality.prepare(program, words, keys=keys)


def _node_words(cluster: Cluster, node: NodeSpec) -> list[str]:
    """What a node of the application must know (docs/offload.md); nothing, where there is no gpos."""
    gpos = cluster.gpos
    if gpos is None:
        return []
    return [f"node={cluster.number_of(node)}", "session=1", f"gpos={cluster.ip_of(gpos)}", f"name={node.name}"]


def _words(cluster: Cluster, node: NodeSpec, personality: Personality, program: str) -> Sequence[str]:
    """A program's words."""
    words = node.arguments
    if words is None and program == STORE:
        words = tuple(server_arguments(personality, hardware_of(node)))
    elif words is None and program == ROUTER:
        words = (*personality.arguments_for(ROUTER, node.vcpus, DEFAULT_PORT), *router_words(cluster))
    return words or ()


def router_words(cluster: Cluster) -> list[str]:
    """Where a front end's back ends are: nodes of that role, and the first pool of machines of that role."""
    words: list[str] = []
    if backs := [cluster.ip_of(back) for back in cluster.of_role("back")]:
        words += ["--backends", ",".join(backs)]
    if pools := [pool.name for pool in cluster.pools if pool.role == "back"]:
        words += ["--pool", pools[0], "--provisioner", PROVISIONER_IP]
    return words
