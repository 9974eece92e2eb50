# SPDX-License-Identifier: GPL-2.0-or-later
"""Pools: machines that are powered on and off while the World runs. The provisioner asks; time passes as it would.

A start: the pool's control time; the image, block by block over the provisioner's link, the switch and the machine's own
(nic/netboot.py); the firmware's time; then the guest's own instructions, at the run's timing level (warm ones boot with the
cluster's nodes, at the functional level). Nothing of it moves another machine's clock: the new machine's vCPUs stand at the
World's time when they begin.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Protocol

from cyclescope.cluster.lives import NEVER, Life, Stage
from cyclescope.cluster.poolspec import PoolSpec
from cyclescope.cluster.provisioner import Allocated, Provisioner, Refused
from cyclescope.cluster.spec import Cluster, NodeSpec, ip_of_number, mac_of_number
from cyclescope.experiments.node import Node
from emu.ledger.accounts import Snapshot
from emu.loader.boot import BootSpec
from emu.loader.image import read_file
from emu.units import PS_PER_US
from emu.world import World
from nic.frames import parse_ip, parse_mac, parse_udp
from nic.link import Port
from nic.netboot import BootLoader, ImageSource, Station
from nic.ports import Frame, Payload
from nic.switch import Mirror

_DEVICE = "pools"


class Site(Protocol):
    """Where machines are put: the cluster's bed."""

    world: World
    cluster: Cluster
    nodes: list[Node]

    def add_machine(self, spec: NodeSpec, pool: PoolSpec, watch: Mirror) -> tuple[Node, Port]: ...
    def cut(self, number: int) -> None: ...
    def stop_watching(self, number: int) -> None: ...


class Pools:
    """All pools of a cluster; answers the provisioner's questions (provisioner.Machines)."""

    def __init__(self, site: Site) -> None:
        self.lives: list[Life] = []
        #: Ledgers when a machine's vCPUs began, and when it ended.
        self.begun: dict[int, Snapshot] = {}
        self.finished: dict[int, Snapshot] = {}
        self.provisioner: Provisioner
        self._site, self._first = site, len(site.cluster.nodes)
        self._pools = {pool.name: pool for pool in site.cluster.pools}
        self._serial = dict.fromkeys(self._pools, 0)
        self._images: dict[str, tuple[bytes, bytes]] = {}
        self._ports: dict[int, Port] = {}
        self._sources: dict[int, ImageSource] = {}
        self._booting = 0  # warm ones that a cluster's boot waits for
        self._on_warm: Callable[[], None] = lambda: None
        site.world.register(_DEVICE, self._event)

    # ---- what the provisioner asks

    def allocate(self, kind: str, time_ps: int) -> Allocated:
        """A parked machine, or one that is on its way there, or a new one. Raises Refused."""
        pool = self._pools.get(kind)
        if pool is None:
            raise Refused(f"there is no kind {kind}; there are: {', '.join(self._pools)}")
        spare = [life for life in self.lives if life.kind == kind and life.alive and life.allocated_ps == NEVER]
        if not spare:
            life = self._start(pool, time_ps)
        else:
            life = next((life for life in spare if life.stage is Stage.PARKED), spare[0])
            if life.stage is Stage.PARKED:
                life.stage, life.warm = Stage.ON, True
        life.allocated_ps = time_ps
        self._refill(pool, time_ps)
        return Allocated(life.number, ip_of_number(life.number), life.warm)

    def free(self, number: int, time_ps: int) -> None:
        """End a machine that was allocated. Raises Refused."""
        life = self._of(number)
        if life.allocated_ps == NEVER:
            raise Refused(f"machine {number} is parked and nobody's")
        if not life.alive:
            raise Refused(f"machine {number} has ended: {life.why}")
        self.end(number, time_ps, "freed")

    def status(self, number: int) -> tuple[str, str, str]:
        """(kind, stage, address). Raises Refused."""
        life = self._of(number)
        return life.kind, life.stage.value, ip_of_number(number)

    def _of(self, number: int) -> Life:
        if not self._first <= number < self._first + len(self.lives):
            raise Refused(f"there is no machine {number} of a pool")
        return self.lives[number - self._first]

    # ---- a machine's life

    def warm_up(self, on_ready: Callable[[], None]) -> int:
        """Start the warm ones of all pools at once, with the cluster's own nodes; how many. `on_ready` is called for each."""
        self._on_warm = on_ready
        for pool in self._pools.values():
            for _ in range(pool.warm):
                life = self._add(pool, 0)
                life.image_ps = life.firmware_ps = 0  # their images were there
                self._boot(life, 0)
                self._booting += 1
        return self._booting

    def _refill(self, pool: PoolSpec, time_ps: int) -> None:
        """Parked ones were taken: start others, as far as there is room."""
        waiting = sum(life.kind == pool.name and life.alive and life.allocated_ps == NEVER for life in self.lives)
        while waiting < pool.warm and self._room(pool) is None:
            self._start(pool, time_ps)
            waiting += 1

    def _room(self, pool: PoolSpec) -> str | None:
        """Why no machine of that kind can be started; None: one can."""
        if sum(life.kind == pool.name and life.alive for life in self.lives) >= pool.max:
            return f"all {pool.max} machines of kind {pool.name} are on"
        if self._serial[pool.name] == pool.most_starts:
            return f"all {pool.most_starts} starts of kind {pool.name} are used up"
        return None

    def _start(self, pool: PoolSpec, time_ps: int) -> Life:
        why = self._room(pool)
        if why is not None:
            raise Refused(why)
        life = self._add(pool, time_ps)
        self._schedule(time_ps + round(pool.control_us * PS_PER_US), "image", life)
        return life

    def _add(self, pool: PoolSpec, time_ps: int) -> Life:
        number = self._first + len(self.lives)
        self._serial[pool.name] += 1
        spec = NodeSpec(
            name=pool.machine_name(self._serial[pool.name]), personality=pool.personality, knobs=pool.knobs, program=pool.program,
            arguments=pool.arguments, role=pool.role, vcpus=pool.vcpus, memory_mib=pool.memory_mib, uarch=pool.uarch,
            ip=ip_of_number(number), mac=mac_of_number(number),
        )  # fmt: skip
        life = Life(number=number, name=spec.name, kind=pool.name, stage=Stage.CONTROL, started_ps=time_ps)
        self.lives.append(life)
        node, self._ports[number] = self._site.add_machine(spec, pool, lambda at, way, frame: self._watch(life, at, way, frame))
        life.image_bytes = len(self._image(pool, node.spec)[0])
        return life

    def _image(self, pool: PoolSpec, spec: BootSpec) -> tuple[bytes, bytes]:
        """What a machine of that pool boots, as one string of bytes, and its SHA-256."""
        if pool.name not in self._images:
            files = [spec.image, *(module.path for module in spec.modules)]
            image = b"".join(read_file(path, "image") for path in files)
            self._images[pool.name] = (image, hashlib.sha256(image).digest())
        return self._images[pool.name]

    def _schedule(self, time_ps: int, tag: str, life: Life) -> None:
        self._site.world.schedule(time_ps, _DEVICE, tag, (life.number,))

    def _event(self, time_ps: int, tag: str, payload: Payload) -> None:
        life = self._of(payload[0])
        if not life.alive:
            return
        if tag == "image":
            self._send_image(life, time_ps)
        elif tag == "boot":
            self._boot(life, time_ps)
        elif tag == "ready":
            self._ready(life, time_ps)
        elif life.stage is Stage.KERNEL:  # late
            self.end(life.number, time_ps, "its program was not ready in time")

    def _send_image(self, life: Life, time_ps: int) -> None:
        life.stage, life.image_ps = Stage.IMAGE, time_ps
        image, digest = self._images[life.kind]
        own, port = self._station(life.number), self._ports[life.number]
        port.attach(BootLoader(own, self.provisioner.station, port, digest))
        source = ImageSource(
            f"image.{life.name}", image, self.provisioner.station, own,
            clock=self._site.world, sender=self.provisioner.sender, on_end=lambda at, arrived: self._loaded(life, at, arrived),
        )  # fmt: skip
        life.blocks = source.blocks
        self._sources[life.number] = source
        self.provisioner.loading[own.ip] = source.receive
        source.start(time_ps)

    def _station(self, number: int) -> Station:
        return Station(parse_mac(mac_of_number(number)), parse_ip(ip_of_number(number)))

    def _loaded(self, life: Life, time_ps: int, arrived: bool) -> None:
        self._forget_image(life)
        if not arrived:
            self.end(life.number, time_ps, "its image did not arrive")
            return
        life.stage, life.firmware_ps = Stage.FIRMWARE, time_ps
        self._schedule(time_ps + round(self._pools[life.kind].firmware_us * PS_PER_US), "boot", life)

    def _forget_image(self, life: Life) -> None:
        source = self._sources.pop(life.number, None)
        if source is not None:
            source.stop()
            life.repeated = source.repeated
            self.provisioner.loading.pop(self._station(life.number).ip, None)

    def _boot(self, life: Life, time_ps: int) -> None:
        node, world = self._site.nodes[life.number], self._site.world
        self._ports[life.number].attach(node.nic)
        life.stage, life.kernel_ps = Stage.KERNEL, time_ps
        self.begun[life.number] = node.snapshot()
        # Its console is written from within the core's run, where nothing may be changed: an event does it.
        node.boot(lambda: self._schedule(world.now_ps, "ready", life))
        self._schedule(time_ps + node.personality.boot_limit_ps, "late", life)

    def _ready(self, life: Life, time_ps: int) -> None:
        self._site.nodes[life.number].booted()
        life.ready_ps = time_ps
        life.stage = Stage.PARKED if life.allocated_ps == NEVER else Stage.ON
        if self._booting:
            self._booting -= 1
            self._on_warm()

    def end(self, number: int, time_ps: int, why: str) -> None:
        """A machine of a pool has no power any more: freed, killed, or by its own doing."""
        life = self._of(number)
        if not life.alive:
            return
        self._forget_image(life)
        life.stage, life.ended_ps, life.why = Stage.ENDED, time_ps, why
        node = self._site.nodes[number]
        node.machine.off()
        self.finished[number] = node.snapshot()
        self._site.cut(number)

    def holds(self, number: int) -> bool:
        """Whether it is a machine of a pool."""
        return self._first <= number < self._first + len(self.lives)

    def _watch(self, life: Life, time_ps: int, direction: str, frame: Frame) -> None:
        """A frame at the switch's port of that machine: "rx" comes from it, "tx" goes to it."""
        if life.kernel_ps == NEVER:
            return
        if direction == "tx":
            if frame.token and life.request_ps == NEVER:
                life.request_ps = time_ps
        elif life.hello_ps == NEVER and parse_udp(frame.data) is not None:
            life.hello_ps = time_ps
        if life.request_ps != NEVER and life.hello_ps != NEVER:
            self._site.stop_watching(life.number)
