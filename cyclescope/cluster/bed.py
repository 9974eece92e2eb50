# SPDX-License-Identifier: GPL-2.0-or-later
"""A cluster's World: machines with their NICs, switches, links, and the client, booted together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from cyclescope.cluster.commands import Commands
from cyclescope.cluster.pools import Pools
from cyclescope.cluster.poolspec import PoolSpec
from cyclescope.cluster.programs import boot_spec, hardware_of, personality_of
from cyclescope.cluster.provisioner import PROVISIONER, ControlPlane, Provisioner
from cyclescope.cluster.spec import CLIENT, Cluster, LinkSpec, NodeSpec, ip_of_number
from cyclescope.cluster.topology import links_of
from cyclescope.experiments.machines import level_of
from cyclescope.experiments.node import Node
from cyclescope.experiments.phases import Phase, Progress, Served, describe, no_progress
from emu.core.binding import Level
from emu.errors import ConfigError, GuestError
from emu.ledger.install import taxonomy_of
from emu.ledger.manifest import Manifest, load_manifest
from emu.ledger.requests import BETWEEN, RequestLog
from emu.units import PS_PER_US
from emu.world import Reason, StopInfo, World
from nic.endpoint import Endpoint
from nic.faults import Fates, LinkFaults
from nic.link import Link, LinkConfig, Port
from nic.matching import EndpointConfig
from nic.ports import Frame, Payload, Sender
from nic.switch import Mirror, Switch, SwitchConfig, SwitchPort

#: A port by the name of what hangs there, (time of the last bit [ps], "rx": the switch takes it in, or "tx", frame).
Capture = dict[str, list[tuple[int, str, Frame]]]

_GUEST_ENDS = (Reason.EXIT, Reason.RESET, Reason.POWER_OFF, Reason.TRIPLE_FAULT)


class ClusterBed(Served):
    """Everything built; `boot` it, then send phases. Use `with`.

    `specs` and `nodes` are all machines there ever were, by number: the cluster's nodes, then those of its pools in the order
    of their starts.

    Args:
        capture: where every switch port's frames go while `capturing`, or None.
    """

    def __init__(
        self, cluster: Cluster, on_answer: Callable[[int, bytes, int], None] | None = None, capture: Capture | None = None
    ) -> None:
        super().__init__(cluster.name, World(), on_answer)
        self.cluster, self.capture, self.capturing = cluster, capture, False
        self._timing, self._level = level_of(cluster.timing), Level.FUNCTIONAL
        try:
            self._build()
        except BaseException:
            self.world.close()
            raise

    def _build(self) -> None:
        cluster, world = self.cluster, self.world
        self.specs: list[NodeSpec] = []
        self.nodes: list[Node] = []
        for spec in cluster.nodes:
            self._node(spec, f"[[node]] {spec.name}")
        manifests = [node.manifest for node in self.nodes]
        for pool in cluster.pools:
            manifests.append(self._manifest_of(pool))
        self.taxonomy = taxonomy_of(manifests)
        self.requests = RequestLog(self.nodes[0].calls, self.taxonomy, cluster.most_machines, by_place=True)
        between = self.requests.machine(BETWEEN)
        self.switches = {
            each.name: Switch(between, SwitchConfig(each.forwarding_ns * 1000, each.queue_kib * 1024)) for each in cluster.switches
        }
        self.links: list[tuple[LinkSpec, Link]] = []
        self._ports_there: dict[str, SwitchPort] = {}
        self._unwatched: dict[int, Mirror | None] = {}
        near: dict[str, Port] = {}  # each node's, the client's and the provisioner's end
        for link in links_of(cluster):
            near[link.ends[0]] = self._link(link)
        for place, spec in enumerate(cluster.nodes):
            self._wire(place, near[spec.name])
        self.pools: Pools | None = None
        if cluster.pools:
            self.pools = Pools(self)
            self.pools.provisioner = Provisioner(ControlPlane(self.pools), near[PROVISIONER])
        targets = [cluster.ip_of(node) for node in cluster.targets]
        self.client = Endpoint(
            CLIENT,
            EndpointConfig(
                guest_ip=targets[0], other_ips=tuple(targets[1:]), timeout_ps=round(cluster.load.timeout_us * PS_PER_US)
            ),
            clock=world,
            requests=between,
            sender=near[CLIENT],
            on_answer=self._answered,
            on_done=lambda _: world.stop(),
        )
        self.commands = Commands(cluster, world, near, self.wait)
        self.killed: dict[str, int] = {}
        #: Nodes that ended their run, with status 0, while the cluster served: when.
        self.ended: dict[str, int] = {}
        self._serving = False
        world.register("kill", self._kill)

    def _node(self, spec: NodeSpec, where: str) -> Node:
        try:
            personality = personality_of(spec)
            node = Node(self.world, hardware_of(spec), personality, boot_spec(self.cluster, spec, personality))
        except ConfigError as error:
            raise ConfigError(f"{self.cluster.where}: {where}: {error}") from None
        self.specs.append(spec)
        self.nodes.append(node)
        return node

    def _manifest_of(self, pool: PoolSpec) -> Manifest:
        """Of its machines, which must be there before any of them is."""
        try:
            node = NodeSpec(
                name=pool.name, personality=pool.personality, knobs=pool.knobs, program=pool.program, arguments=pool.arguments,
                vcpus=pool.vcpus, memory_mib=pool.memory_mib, uarch=pool.uarch, ip=ip_of_number(0),
            )  # fmt: skip
            hardware_of(node).check()
            personality = personality_of(node)
            if not personality.code_is_early:
                raise ConfigError(
                    f"{personality.name} says where its code lies only once it has booted, and a pool's machines must know before; "
                    "give linux_like or libos"
                )
            return load_manifest(boot_spec(self.cluster, node, personality).manifest or personality.manifest_path)
        except ConfigError as error:
            raise ConfigError(f"{self.cluster.where}: [[pool]] {pool.name}: {error}") from None

    def _wire(self, place: int, sender: Sender) -> None:
        spec, node = self.specs[place], self.nodes[place]
        node.wire(self.taxonomy, self.requests.machine(place), sender, f"{spec.name}.nic", self.cluster.mac_of(spec))

    # ---- machines of pools

    def add_machine(self, spec: NodeSpec, pool: PoolSpec, watch: Mirror) -> tuple[Node, Port]:
        """One more, without power, at the level of all; `watch` sees the frames at its switch's port.

        From an event's handler, or between runs.
        """
        node = self._node(spec, f"[[pool]] {pool.name}")
        switch = pool.switch or next(iter(self.switches))
        port = self._link(LinkSpec(ends=(spec.name, switch), rate_bps=pool.rate_bps, propagation_ns=pool.propagation_ns))
        self._wire(len(self.nodes) - 1, port)
        self.world.core.set_level(node.machine.index, self._level)
        there = self._ports_there[spec.name]
        captured = there.mirror

        def both(time_ps: int, direction: str, frame: Frame) -> None:
            watch(time_ps, direction, frame)
            if captured is not None:
                captured(time_ps, direction, frame)

        there.mirror = both
        self._unwatched[len(self.nodes) - 1] = captured
        return node, port

    def stop_watching(self, number: int) -> None:
        """Its frames are seen no more, but for the capture."""
        self._ports_there[self.specs[number].name].mirror = self._unwatched[number]

    def run(self, until_ps: int | None) -> StopInfo:
        """The World's; a guest that ends its run with status 0, or is of a pool, ends its machine alone."""
        while True:
            stop = super().run(until_ps)
            if self.pools is not None and stop.reason in _GUEST_ENDS and self.pools.holds(stop.machine):
                self.pools.end(stop.machine, self.world.now_ps, f"{describe(stop)}: {self.nodes[stop.machine].last_lines()}")
            elif self._serving and (stop.reason is Reason.POWER_OFF or (stop.reason is Reason.EXIT and stop.value == 0)):
                self.nodes[stop.machine].machine.off()
                self.cut(stop.machine)
                self.ended[self.specs[stop.machine].name] = stop.time_ps
            else:
                return stop

    def wait(self, length_ps: int, when: str = "while gpos was asked") -> None:
        """So much time, or less if something is asked to stop the World. Raises GuestError when a guest breaks down meanwhile."""
        stop = self.run(self.world.now_ps + length_ps)
        if stop.reason not in (Reason.UNTIL, Reason.REQUESTED):
            raise GuestError(self.explain(stop, when))

    def _link(self, spec: LinkSpec) -> Port:
        first, second = spec.ends
        config = LinkConfig(spec.rate_bps, spec.propagation_ns * 1000)
        link = Link(self.world, self.requests.machine(BETWEEN), f"link.{first}-{second}", config)
        self.links.append((spec, link))
        for name, port, other in ((second, link.b, first), (first, link.a, second)):
            if name in self.switches:
                port_there = self._ports_there[other] = self.switches[name].connect(port)
                if self.capture is not None:
                    label = other if other not in self.switches else f"{name}-{other}"
                    port_there.mirror = partial(self._captured, self.capture.setdefault(label, []))
        return link.a

    def _captured(self, frames: list[tuple[int, str, Frame]], time_ps: int, direction: str, frame: Frame) -> None:
        if self.capturing:
            frames.append((time_ps, direction, frame))

    # ---- running

    def boot(self, progress: Progress = no_progress) -> None:
        """Boot all nodes at the functional level up to their ready lines, then switch to the timed level.

        Raises GuestError when one ends, hangs, or says nothing of the kind within its personality's time.
        """
        self.world.set_level(Level.FUNCTIONAL)
        own = len(self.nodes)
        total = waiting = own + sum(pool.warm for pool in self.cluster.pools)
        progress(f"{self.name}: booting", 0, total)

        def one_more() -> None:
            nonlocal waiting
            waiting -= 1
            progress(f"{self.name}: booting", total - waiting, total)
            if not waiting:
                self.world.stop()

        for node in self.nodes:
            node.boot(one_more)
        if self.pools is not None:
            self.pools.warm_up(one_more)
        stop = self.run(max(node.personality.boot_limit_ps for node in self.nodes))
        if stop.reason is not Reason.REQUESTED:
            raise GuestError(self.explain(stop, "before all programs were ready"))
        for node in self.nodes[:own]:
            node.booted()
        self._serving = True
        self._level = self._timing
        self.world.set_level(self._level)

    def send(
        self, count: int, frames: Iterable[bytes], label: str, progress: Progress, *,
        closed: int | None = None, times_ps: Sequence[int] = (),
    ) -> Phase:  # fmt: skip
        """One phase of `count` requests: `closed` outstanding, or at those times."""
        now = self.world.now_ps
        if closed is not None:
            return self._phase(label, count, progress, lambda: self.client.closed_loop(closed, frames, now))
        return self._phase(label, count, progress, lambda: self.client.open_loop(times_ps, frames))

    def explain(self, stop: StopInfo, when: str) -> str:
        """As in Served."""
        late = next((place for place, node in enumerate(self.nodes) if not node.ready), 0)
        place = stop.machine if stop.machine >= 0 else late
        how = f"{stop.time_ps / 1e12:g} s of simulated time went by" if stop.reason is Reason.UNTIL else describe(stop)
        node = self.specs[place].name
        return f"{self.cluster.where}: node {node}: {how} {when}; its console ends: {self.nodes[place].last_lines()}"

    # ---- what goes wrong

    def begin_faults(self) -> None:
        """From now on links have their faults, and nodes lose their power when they are to."""
        now_ps, seed = self.world.now_ps, self.cluster.seed
        for number, (spec, link) in enumerate(self.links):
            down = tuple((now_ps + round(a * PS_PER_US), now_ps + round(b * PS_PER_US)) for a, b in spec.down_us)
            reorder_ps, jitter_ps = round(spec.reorder_us * PS_PER_US), round(spec.jitter_us * PS_PER_US)
            faults = LinkFaults(spec.loss, spec.duplicate, spec.reorder, reorder_ps, jitter_ps, down)
            for side, port in enumerate((link.a, link.b)):
                if faults.any:
                    port.fates = Fates(faults, (seed, number, side))
        for kill in self.cluster.kills:
            self.world.schedule(now_ps + round(kill.at_us * PS_PER_US), "kill", "now", (kill.node,))

    def _kill(self, time_ps: int, tag: str, payload: Payload) -> None:
        name: str = payload[0]
        place = next((place for place, spec in enumerate(self.specs) if spec.name == name), None)
        if place is None:  # of a pool, and not started
            return
        self.killed[name] = time_ps
        if self.pools is not None and self.pools.holds(place):
            self.pools.end(place, time_ps, "killed")
            return
        self.nodes[place].machine.off()
        self.cut(place)

    def cut(self, number: int) -> None:
        """Its link is dead from now on, both ways."""
        for spec, link in self.links:
            if spec.ends[0] == self.specs[number].name:
                for port in (link.a, link.b):
                    port.fates = port.fates or Fates(LinkFaults(), (0,))
                    port.fates.cut = True

    def faults(self) -> dict[str, dict[str, int]]:
        """By link: how many frames were lost, duplicated, reordered, or came while it was down."""
        found: dict[str, dict[str, int]] = {}
        for spec, link in self.links:
            counts: dict[str, int] = {}
            for port in (link.a, link.b):
                for name, count in port.fates.counters.items() if port.fates is not None else ():
                    counts[name] = counts.get(name, 0) + count
            if counts:
                found["-".join(spec.ends)] = dict(sorted(counts.items()))
        return found
