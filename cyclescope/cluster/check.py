# SPDX-License-Identifier: GPL-2.0-or-later
"""What of a cluster does not fit together. Messages name the table they are about, as the file does."""

from __future__ import annotations

from itertools import pairwise

from cyclescope.cluster.names import check_cluster_name, check_name, check_role
from cyclescope.cluster.operator import OPERATOR, OPERATOR_IP, OPERATOR_MAC
from cyclescope.cluster.poolspec import PoolSpec, within
from cyclescope.cluster.provisioner import PROVISIONER, PROVISIONER_IP, PROVISIONER_MAC
from cyclescope.cluster.spec import (
    CLIENT,
    CLIENT_IP,
    GPOS,
    MAX_NODES,
    ROUTER,
    Cluster,
    NodeSpec,
    ip_of_number,
    mac_of_number,
)
from emu.errors import ConfigError
from nic.frames import parse_ip, parse_mac
from nic.matching import EndpointConfig


def check_cluster(cluster: Cluster) -> None:
    """Raises ConfigError for the first thing that does not fit."""
    try:
        _check(cluster)
    except ConfigError as error:
        raise ConfigError(f"{cluster.where}: {error}") from None


def _check(cluster: Cluster) -> None:
    if not 1 <= len(cluster.nodes) <= MAX_NODES:
        raise ConfigError(f"{len(cluster.nodes)} nodes: give 1 to {MAX_NODES} [[node]] tables")
    if cluster.most_machines > MAX_NODES:
        raise ConfigError(
            f"{len(cluster.nodes)} nodes and {cluster.most_machines - len(cluster.nodes)} starts of pools are more than "
            f"{MAX_NODES} machines; give a [[pool]] fewer starts (by default twice its max)"
        )
    check_cluster_name(cluster.name)
    within("[cluster] seed", cluster.seed, 0, 2**63 - 1)
    names: set[str] = {CLIENT}
    if cluster.pools:
        names.add(PROVISIONER)
    if cluster.commands:
        names.add(OPERATOR)
        if cluster.gpos is None:
            raise ConfigError(f'[[do]] {cluster.commands[0].command}: nobody is there to ask; give some node program = "{GPOS}"')
        for command in cluster.commands:
            command.check()
    for kind, things in (("node", cluster.nodes), ("switch", cluster.switches), ("pool", cluster.pools)):
        for thing in things:
            check_name(kind, thing.name)
            if thing.name in names:
                raise ConfigError(f"[[{kind}]] {thing.name}: that name is taken; give each node, switch and pool its own")
            names.add(thing.name)
    for pool in cluster.pools:
        for name in pool.machine_names:
            if name in names:
                raise ConfigError(f"[[pool]] {pool.name}: one of its machines will be called {name}, which is taken")
        names.update(pool.machine_names)
        pool.check()
        check_role(f"[[pool]] {pool.name}", pool.role)
        _check_switch(cluster, pool)
    _check_addresses(cluster)
    for node in cluster.nodes:
        _check_node(cluster, node)
    for switch in cluster.switches:
        within(f"[[switch]] {switch.name}: forwarding_ns", switch.forwarding_ns, 0, 1_000_000_000)
        within(f"[[switch]] {switch.name}: queue_kib", switch.queue_kib, 2, 1 << 20)
    for kill in cluster.kills:
        if kill.node not in {node.name for node in cluster.nodes} | {name for pool in cluster.pools for name in pool.machine_names}:
            raise ConfigError(f"[[kill]] node {kill.node!r}: there is no such node")
        within(f"[[kill]] {kill.node}: at_us", kill.at_us, 0, 1e9)
    _check_load(cluster)


def _check_switch(cluster: Cluster, pool: PoolSpec) -> None:
    names = [switch.name for switch in cluster.switches]
    if pool.switch is None and len(names) > 1:
        raise ConfigError(f"[[pool]] {pool.name}: there are {len(names)} switches; give switch = one of them")
    if pool.switch is not None and pool.switch not in names:
        raise ConfigError(f"[[pool]] {pool.name}: there is no switch {pool.switch!r}")


def _check_addresses(cluster: Cluster) -> None:
    ips, macs = {parse_ip(CLIENT_IP): "the client"}, {parse_mac(EndpointConfig().mac): "the client"}
    if cluster.pools:
        ips[parse_ip(PROVISIONER_IP)] = macs[parse_mac(PROVISIONER_MAC)] = "the provisioner"
    if cluster.commands:
        ips[parse_ip(OPERATOR_IP)] = macs[parse_mac(OPERATOR_MAC)] = "the operator"
    for number in range(len(cluster.nodes), cluster.most_machines):
        ips[parse_ip(ip_of_number(number))] = macs[parse_mac(mac_of_number(number))] = "a pool's machine"
    for node in cluster.nodes:
        place = f"[[node]] {node.name}"
        try:
            ip, mac = parse_ip(cluster.ip_of(node)), parse_mac(cluster.mac_of(node))
        except ValueError as error:
            raise ConfigError(f"{place}: {error}; write 10.0.2.15 or 52:54:00:12:34:56") from None
        if ip[:3] != parse_ip(CLIENT_IP)[:3] or ip[3] in (0, 255):
            raise ConfigError(f"{place}: ip {cluster.ip_of(node)} is not in 10.0.2.0/24, the only network; give one of those")
        if mac[0] & 1 or not any(mac):
            raise ConfigError(f"{place}: mac {cluster.mac_of(node)} is no address of one machine; give one like 52:54:00:12:34:56")
        if ip in ips:
            raise ConfigError(f"{place}: ip {cluster.ip_of(node)} is {ips[ip]}'s already; give each node its own")
        if mac in macs:
            raise ConfigError(f"{place}: mac {cluster.mac_of(node)} is {macs[mac]}'s already; give each node its own")
        ips[ip] = macs[mac] = node.name


def _check_node(cluster: Cluster, node: NodeSpec) -> None:
    check_role(f"[[node]] {node.name}", node.role)
    within(f"[[node]] {node.name}: vcpus", node.vcpus, 1, 16)
    within(f"[[node]] {node.name}: mem", node.memory_mib, 64, 8192, " MiB")
    for word in node.words:
        if "=" not in word or any(character.isspace() for character in word):
            raise ConfigError(f"[[node]] {node.name}: words: {word!r} is no word like key=value")
    if node.runs is not None and node.program != GPOS:
        raise ConfigError(f"[[node]] {node.name}: runs: only gpos starts another program; say program = \"{GPOS}\"")
    if node.program == GPOS and node is not cluster.gpos:
        raise ConfigError(f"[[node]] {node.name}: the program {GPOS} is there already; a cluster has one")
    if node.program == GPOS and node.personality == "libos":
        raise ConfigError(f"[[node]] {node.name}: {GPOS} runs on a general-purpose system; give personality = \"linux_like\"")
    runs = node.runs if node.program == GPOS else node.program
    routes = runs == ROUTER or (runs is None and node.role == "front")
    if routes and node.arguments is None and not cluster.of_role("back") and not any(pool.role == "back" for pool in cluster.pools):
        raise ConfigError(f"[[node]] {node.name}: a front end needs back ends; give some node or pool the role \"back\"")


def _check_load(cluster: Cluster) -> None:
    load = cluster.load
    for name in load.to:
        if name not in {node.name for node in cluster.nodes}:
            raise ConfigError(f"[load] to: there is no node {name!r}")
    if len(set(load.to)) != len(load.to):
        raise ConfigError("[load] to: name each node once")
    if sum((load.rate is not None, load.closed is not None, bool(load.steps))) != 1:
        raise ConfigError("[load]: give either rate (requests/s) or closed (requests outstanding), or steps")
    if load.steps:
        _check_steps(load.steps)
    if load.rate is not None:
        within("[load] rate", load.rate, 1, 1e8)
    if load.closed is not None:
        within("[load] closed", load.closed, 1, 10_000)
    for key, low, high in (("requests", 1, 10**7), ("warmup", 0, 10**7), ("keys", 1, 10**6), ("flows", 1, 10**4)):
        within(f"[load] {key}", getattr(load, key), low, high)
    within("[load] timeout_us", load.timeout_us, 1, 1e8)


def _check_steps(steps: tuple[tuple[float, float], ...]) -> None:
    times = [at for at, _ in steps]
    if len(steps) < 2 or times[0] != 0 or not all(a < b for a, b in pairwise(times)) or times[-1] > 1e9:
        raise ConfigError("[load] steps: give [time in us, requests/s] pairs, the first at 0, each later than the one before")
    if steps[-1][1] != 0:
        raise ConfigError("[load] steps: the last rate ends the load: make it 0")
    for at, rate in steps[:-1]:
        within(f"[load] steps: the rate at {at:g} us", rate, 1, 1e8)
    expected = sum((end - at) * rate / 1e6 for (at, rate), (end, _) in pairwise(steps))
    within("[load] steps: the number of requests", round(expected), 1, 10**7)
