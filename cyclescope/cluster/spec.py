# SPDX-License-Identifier: GPL-2.0-or-later
"""What a cluster is: nodes, links, switches, what goes wrong, the load. Frozen; `Cluster.check` says what does not fit together.

docs/cluster.md explains the fields; file.py reads them from TOML. Messages name the table they stand in, as the file does.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import msgspec

from cyclescope.cluster.names import check_cluster_name, check_name, check_role
from cyclescope.cluster.operator import OPERATOR, OPERATOR_IP, OPERATOR_MAC, CommandSpec
from cyclescope.cluster.poolspec import PoolSpec
from cyclescope.cluster.poolspec import within as _within
from cyclescope.cluster.provisioner import PROVISIONER, PROVISIONER_IP, PROVISIONER_MAC
from cyclescope.config import DEFAULT_TIMING
from emu.errors import ConfigError
from nic.frames import parse_ip, parse_mac
from nic.matching import EndpointConfig

CLIENT = "client"
"""The load's source, as links and captures name it."""
CLIENT_IP = EndpointConfig().ip
MAX_NODES = 64
"""Machines in one World, those that were freed among them."""
FIRST_IP = 15
ROUTER, STORE, GPOS = "kvd_router", "kvd", "gpos"
Spread = Literal["modulo", "consistent"]


def ip_of_number(number: int) -> str:
    """Of a machine without an address of its own."""
    return f"10.0.2.{FIRST_IP + number}"


def mac_of_number(number: int) -> str:
    """Likewise."""
    return f"52:54:00:12:34:{(0x56 + number) & 0xFF:02x}"


class NodeSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One machine.

    Attributes:
        role: `front`, `back`, or any word; nodes of a role share a column of the table.
        program: None: kvd_router for the role front, else kvd.
        runs: with the program gpos: what it starts beside itself; None: kvd_router for the role front, else nothing.
        arguments: the program's words (with gpos: those of what it runs); None: those for its role.
        words: further `key=value` words: for a libos kernel's command line, or gpos's own.
        files: with linux: the user's own files and folders, by their places in the guest.
        ready: with linux: by what the node is known to serve, `udp PORT` or `asleep`; None: as the personality thinks.
        ip, mac: None: 10.0.2.15 and up, 52:54:00:12:34:56 and up, in the order of nodes.
    """

    name: str
    personality: str = "linux_like"
    knobs: tuple[str, ...] = ()
    program: str | None = None
    runs: str | None = None
    words: tuple[str, ...] = ()
    arguments: tuple[str, ...] | None = None
    files: dict[str, str] = {}
    ready: str | None = None
    role: str = "server"
    vcpus: int = 2
    memory_mib: int = 128
    uarch: str = "skylake_sp"
    ip: str | None = None
    mac: str | None = None


class LinkSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A link between a node (or `client`, or a switch) and a switch; `down_us`: intervals since measuring began.

    Faults begin with the measured requests. Shares are of the frames, each way.
    """

    ends: tuple[str, str]
    rate_bps: int = 10_000_000_000
    propagation_ns: int = 50
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    reorder_us: float = 20.0
    jitter_us: float = 0.0
    down_us: tuple[tuple[float, float], ...] = ()


class SwitchSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A learning switch."""

    name: str = "switch"
    forwarding_ns: int = 1_000
    queue_kib: int = 512


class KillSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A node loses its power, so many microseconds after measuring began."""

    node: str
    at_us: float


class ClusterLoad(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """memcached requests of the ETC distributions, from one client.

    Attributes:
        to: nodes that the keys are spread over; empty: those of role front, or else all.
        rate: requests/s of the open loop, Poisson; or
        closed: requests kept outstanding; or
        steps: (time since measuring began [us], requests/s from then on), Poisson; the last rate is 0, and ends the load
            (`requests` does not count then). Warm-up has the first rate.
        timeout_us: when an unanswered request counts as lost.
    """

    requests: int = 2_000
    warmup: int = 200
    keys: int = 1_000
    flows: int = 64
    rate: float | None = None
    closed: int | None = None
    steps: tuple[tuple[float, float], ...] = ()
    to: tuple[str, ...] = ()
    spread: Spread = "modulo"
    timeout_us: float = 20_000.0


class Cluster(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of it; `where` begins messages: the file it comes from."""

    nodes: tuple[NodeSpec, ...]
    links: tuple[LinkSpec, ...] = ()
    switches: tuple[SwitchSpec, ...] = (SwitchSpec(),)
    kills: tuple[KillSpec, ...] = ()
    commands: tuple[CommandSpec, ...] = ()
    pools: tuple[PoolSpec, ...] = ()
    load: ClusterLoad = ClusterLoad(closed=16)
    name: str = "cluster"
    seed: int = 1
    timing: str = DEFAULT_TIMING
    where: str = "the cluster"

    def of_role(self, role: str) -> tuple[NodeSpec, ...]:
        """Nodes in the order given."""
        return tuple(node for node in self.nodes if node.role == role)

    @property
    def targets(self) -> tuple[NodeSpec, ...]:
        """Nodes that the client sends to."""
        if self.load.to:
            return tuple(node for name in self.load.to for node in self.nodes if node.name == name)
        return self.of_role("front") or self.nodes

    @property
    def gpos(self) -> NodeSpec | None:
        """The node whose program is gpos."""
        return next((node for node in self.nodes if node.program == GPOS), None)

    def number_of(self, node: NodeSpec) -> int:
        """As nodes call each other: 0 is gpos's, others count from 1 in the order given; a pool's machines count on."""
        if node.program == GPOS:
            return 0
        place = self.nodes.index(node) if node in self.nodes else int(self.ip_of(node).rpartition(".")[2]) - FIRST_IP
        return place + (self.gpos is not None and place < self.nodes.index(self.gpos))

    def ip_of(self, node: NodeSpec) -> str:
        """As given, or by its place."""
        return node.ip or ip_of_number(self.nodes.index(node))

    def mac_of(self, node: NodeSpec) -> str:
        """As given, or by its place."""
        return node.mac or mac_of_number(self.nodes.index(node))

    @property
    def most_machines(self) -> int:
        """Nodes, and all that pools may start."""
        return len(self.nodes) + sum(pool.most_starts for pool in self.pools)

    def check(self) -> None:
        """Raises ConfigError for the first thing that does not fit."""
        try:
            self._check()
        except ConfigError as error:
            raise ConfigError(f"{self.where}: {error}") from None

    def _check(self) -> None:
        if not 1 <= len(self.nodes) <= MAX_NODES:
            raise ConfigError(f"{len(self.nodes)} nodes: give 1 to {MAX_NODES} [[node]] tables")
        if self.most_machines > MAX_NODES:
            raise ConfigError(
                f"{len(self.nodes)} nodes and {self.most_machines - len(self.nodes)} starts of pools are more than {MAX_NODES} "
                "machines; give a [[pool]] fewer starts (by default twice its max)"
            )
        check_cluster_name(self.name)
        _within("[cluster] seed", self.seed, 0, 2**63 - 1)
        names: set[str] = {CLIENT}
        if self.pools:
            names.add(PROVISIONER)
        if self.commands:
            names.add(OPERATOR)
            if self.gpos is None:
                raise ConfigError(f'[[do]] {self.commands[0].command}: nobody is there to ask; give some node program = "{GPOS}"')
            for command in self.commands:
                command.check()
        for kind, things in (("node", self.nodes), ("switch", self.switches), ("pool", self.pools)):
            for thing in things:
                check_name(kind, thing.name)
                if thing.name in names:
                    raise ConfigError(f"[[{kind}]] {thing.name}: that name is taken; give each node, switch and pool its own")
                names.add(thing.name)
        for pool in self.pools:
            for name in pool.machine_names:
                if name in names:
                    raise ConfigError(f"[[pool]] {pool.name}: one of its machines will be called {name}, which is taken")
            names.update(pool.machine_names)
            pool.check()
            check_role(f"[[pool]] {pool.name}", pool.role)
            self._check_switch(pool)
        self._check_addresses()
        for node in self.nodes:
            self._check_node(node)
        for switch in self.switches:
            _within(f"[[switch]] {switch.name}: forwarding_ns", switch.forwarding_ns, 0, 1_000_000_000)
            _within(f"[[switch]] {switch.name}: queue_kib", switch.queue_kib, 2, 1 << 20)
        for kill in self.kills:
            if kill.node not in {node.name for node in self.nodes} | {name for pool in self.pools for name in pool.machine_names}:
                raise ConfigError(f"[[kill]] node {kill.node!r}: there is no such node")
            _within(f"[[kill]] {kill.node}: at_us", kill.at_us, 0, 1e9)
        self._check_load()

    def _check_switch(self, pool: PoolSpec) -> None:
        names = [switch.name for switch in self.switches]
        if pool.switch is None and len(names) > 1:
            raise ConfigError(f"[[pool]] {pool.name}: there are {len(names)} switches; give switch = one of them")
        if pool.switch is not None and pool.switch not in names:
            raise ConfigError(f"[[pool]] {pool.name}: there is no switch {pool.switch!r}")

    def _check_addresses(self) -> None:
        ips, macs = {parse_ip(CLIENT_IP): "the client"}, {parse_mac(EndpointConfig().mac): "the client"}
        if self.pools:
            ips[parse_ip(PROVISIONER_IP)] = macs[parse_mac(PROVISIONER_MAC)] = "the provisioner"
        if self.commands:
            ips[parse_ip(OPERATOR_IP)] = macs[parse_mac(OPERATOR_MAC)] = "the operator"
        for number in range(len(self.nodes), self.most_machines):
            ips[parse_ip(ip_of_number(number))] = macs[parse_mac(mac_of_number(number))] = "a pool's machine"
        for node in self.nodes:
            place = f"[[node]] {node.name}"
            try:
                ip, mac = parse_ip(self.ip_of(node)), parse_mac(self.mac_of(node))
            except ValueError as error:
                raise ConfigError(f"{place}: {error}; write 10.0.2.15 or 52:54:00:12:34:56") from None
            if ip[:3] != parse_ip(CLIENT_IP)[:3] or ip[3] in (0, 255):
                raise ConfigError(f"{place}: ip {self.ip_of(node)} is not in 10.0.2.0/24, the only network; give one of those")
            if mac[0] & 1 or not any(mac):
                raise ConfigError(f"{place}: mac {self.mac_of(node)} is no address of one machine; give one like 52:54:00:12:34:56")
            if ip in ips:
                raise ConfigError(f"{place}: ip {self.ip_of(node)} is {ips[ip]}'s already; give each node its own")
            if mac in macs:
                raise ConfigError(f"{place}: mac {self.mac_of(node)} is {macs[mac]}'s already; give each node its own")
            ips[ip] = macs[mac] = node.name

    def _check_node(self, node: NodeSpec) -> None:
        check_role(f"[[node]] {node.name}", node.role)
        _within(f"[[node]] {node.name}: vcpus", node.vcpus, 1, 16)
        _within(f"[[node]] {node.name}: mem", node.memory_mib, 64, 8192, " MiB")
        for word in node.words:
            if "=" not in word or any(character.isspace() for character in word):
                raise ConfigError(f"[[node]] {node.name}: words: {word!r} is no word like key=value")
        if node.runs is not None and node.program != GPOS:
            raise ConfigError(f"[[node]] {node.name}: runs: only gpos starts another program; say program = \"{GPOS}\"")
        if node.program == GPOS and node is not self.gpos:
            raise ConfigError(f"[[node]] {node.name}: the program {GPOS} is there already; a cluster has one")
        if node.program == GPOS and node.personality == "libos":
            raise ConfigError(f"[[node]] {node.name}: {GPOS} runs on a general-purpose system; give personality = \"linux_like\"")
        runs = node.runs if node.program == GPOS else node.program
        routes = runs == ROUTER or (runs is None and node.role == "front")
        if routes and node.arguments is None and not self.of_role("back") and not any(pool.role == "back" for pool in self.pools):
            raise ConfigError(f"[[node]] {node.name}: a front end needs back ends; give some node or pool the role \"back\"")

    def _check_load(self) -> None:
        load = self.load
        for name in load.to:
            if name not in {node.name for node in self.nodes}:
                raise ConfigError(f"[load] to: there is no node {name!r}")
        if len(set(load.to)) != len(load.to):
            raise ConfigError("[load] to: name each node once")
        if sum((load.rate is not None, load.closed is not None, bool(load.steps))) != 1:
            raise ConfigError("[load]: give either rate (requests/s) or closed (requests outstanding), or steps")
        if load.steps:
            self._check_steps(load.steps)
        if load.rate is not None:
            _within("[load] rate", load.rate, 1, 1e8)
        if load.closed is not None:
            _within("[load] closed", load.closed, 1, 10_000)
        for key, low, high in (("requests", 1, 10**7), ("warmup", 0, 10**7), ("keys", 1, 10**6), ("flows", 1, 10**4)):
            _within(f"[load] {key}", getattr(load, key), low, high)
        _within("[load] timeout_us", load.timeout_us, 1, 1e8)

    def _check_steps(self, steps: tuple[tuple[float, float], ...]) -> None:
        times = [at for at, _ in steps]
        if len(steps) < 2 or times[0] != 0 or not all(a < b for a, b in pairwise(times)) or times[-1] > 1e9:
            raise ConfigError("[load] steps: give [time in us, requests/s] pairs, the first at 0, each later than the one before")
        if steps[-1][1] != 0:
            raise ConfigError("[load] steps: the last rate ends the load: make it 0")
        for at, rate in steps[:-1]:
            _within(f"[load] steps: the rate at {at:g} us", rate, 1, 1e8)
        expected = sum((end - at) * rate / 1e6 for (at, rate), (end, _) in pairwise(steps))
        _within("[load] steps: the number of requests", round(expected), 1, 10**7)
