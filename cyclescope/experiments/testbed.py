# SPDX-License-Identifier: GPL-2.0-or-later
"""One guest machine, its NIC, a switch and a client, wired up and booted: what every experiment starts from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cyclescope.config import DEFAULT_TIMING, Hardware
from cyclescope.experiments.machines import level_of
from cyclescope.experiments.node import Node
from cyclescope.experiments.phases import Progress, Served, describe, no_progress
from emu.core.binding import Level
from emu.errors import BadSnapshot, GuestError
from emu.ledger.accounts import Accounts, Snapshot
from emu.ledger.calls import Paths
from emu.ledger.install import taxonomy_of
from emu.ledger.requests import RequestLog
from emu.ledger.slow import SlowProfile, slow_profile
from emu.ledger.tables import Tables
from emu.loader.boot import BootSpec
from emu.snapshot import SavedWorld
from emu.state import Data
from emu.world import Reason, StopInfo, World
from nic.endpoint import Endpoint, Wiring
from nic.fabric import Star
from nic.faults import Fates, LinkFaults
from nic.link import LinkConfig
from nic.matching import EndpointConfig, Matcher
from nic.ports import Sender
from nic.switch import CrossTraffic, SwitchConfig
from nic.tap import Tracer, TraceSink
from nic.tcp.client import TIMEOUT_PS, TcpClient
from nic.tcp.config import TcpConfig
from personalities.base import Personality


@dataclass(frozen=True)
class TcpLoad:
    """A client that speaks TCP: its connections, and the share of frames lost on the way, each way, by a seed."""

    connections: int = 1
    loss: float = 0.0
    seed: int = 1


class Testbed(Served):
    """A booted personality with a client on the other side of a switch. Use `with`; single use.

    Args:
        sink: shown every frame at the client's link, or None.
        tcp: None: the client speaks UDP and is given frames; else TCP, and is given commands.
        world: an empty one to build in, or None.
    """

    __test__ = False

    def __init__(
        self,
        hardware: Hardware,
        personality: Personality,
        spec: BootSpec,
        *,
        timing: str = DEFAULT_TIMING,
        matcher: Matcher | None = None,
        on_answer: Callable[[int, bytes, int], None] | None = None,
        sink: TraceSink | None = None,
        tcp: TcpLoad | None = None,
        world: World | None = None,
    ) -> None:
        self.hardware, self.personality, self.spec = hardware, personality, spec
        self._level = level_of(timing)
        self._profiled = False
        super().__init__(personality.name, world or World(), on_answer)
        try:
            self.node = Node(self.world, hardware, personality, spec)
            self._build(matcher, sink, tcp)
        except BaseException:
            self.world.close()
            raise

    def _build(self, matcher: Matcher | None, sink: TraceSink | None, tcp: TcpLoad | None) -> None:
        hardware, world, node = self.hardware, self.world, self.node
        self.machine, self.manifest, self.calls = node.machine, node.manifest, node.calls
        machine = self.machine
        self.taxonomy = taxonomy_of([self.manifest])
        self.requests = RequestLog(self.calls, self.taxonomy)
        requests = self.requests.machine(machine.index)
        link = LinkConfig(hardware.link_bps, hardware.propagation_ns * 1000)
        self.network = star = Star(world, requests, SwitchConfig(forwarding_ps=hardware.switch_ns * 1000))
        cross = CrossTraffic(hardware.cross_traffic) if hardware.cross_traffic else None
        guest_port, client_port = star.join("guest", link, cross), star.join("client", link)
        if tcp is not None and tcp.loss:
            for number, arrives_at in enumerate((guest_port, client_port)):
                arrives_at.far.fates = Fates(LinkFaults(loss=tcp.loss), (tcp.seed, number))
        node.wire(self.taxonomy, requests, guest_port, "nic0")
        port: Sender = client_port
        self.nic = node.nic
        if sink is not None:
            port = Tracer(port, sink)
        self.client: Endpoint
        wired = Wiring(
            clock=world, requests=requests, sender=port, on_answer=self._answered, on_done=lambda _: world.stop()
        )  # fmt: skip
        if tcp is None:
            self.client = Endpoint("client", EndpointConfig(), matcher=matcher, **wired)
            return
        addresses, config = EndpointConfig(timeout_ps=TIMEOUT_PS), TcpConfig(seed=tcp.seed)
        self.client = TcpClient("client", addresses, connections=tcp.connections, tcp=config, **wired)

    # ---- snapshots

    def save(self, about: Data) -> SavedWorld:
        """Everything, between runs; nothing changes. `about` says what it is a snapshot of, for whoever restores it.

        Raises:
            ConfigError: frames are being lost by a seed, or TCP requests were sent: neither is in a snapshot.
        """
        parts = {
            "nic": self.nic.save(), "network": self.network.save(), "client": self.client.save(),
            "requests": self.requests.save(),
        }  # fmt: skip
        if not self.personality.code_is_early:
            parts["code"] = self.node.tables.save()
        return SavedWorld.of_world(self.world, about, parts)

    def restore(self, saved: SavedWorld) -> None:
        """Instead of `boot`: go on where a testbed built alike was saved, at the timing level it had. Raises BadSnapshot."""
        try:
            self._restore(saved)
        except BadSnapshot as error:
            raise BadSnapshot(f"{saved.where}: {error}; take the snapshot again") from None

    def _restore(self, saved: SavedWorld) -> None:
        for name, part in (("requests", self.requests), ("network", self.network), ("client", self.client), ("nic", self.nic)):
            part.restore(saved.data(name))
        saved.boards_into(self.world)
        if not self.personality.code_is_early:
            self.node.restore_tables(Tables.restored(saved.data("code"), self.taxonomy, len(self.manifest.probes)))
        saved.core_into(self.world)

    def begin(self, saved: SavedWorld | None, progress: Progress = no_progress) -> None:
        """Boot, or go on from a snapshot taken after a boot; then switch to the timed level."""
        if saved is None:
            self.boot(progress)
        else:
            self.restore(saved)
            self.set_timing()

    def set_timing(self) -> None:
        """Switch to the level this testbed is for."""
        self.world.set_level(self._level)

    # ---- running

    def boot(self, progress: Progress = no_progress, *, timed: bool = True) -> None:
        """Boot at the functional level up to the personality's ready line, then switch to the timed level (if `timed`).

        Raises:
            GuestError: it ended, crashed, hung, or said nothing of the kind within the personality's time.
        """
        progress(f"{self.personality.name}: booting", 0, 0)
        stop = self.boot_or_stop(lambda: False, None, timed=timed)
        assert stop is None

    def boot_or_stop(self, given_up: Callable[[], bool], until_ps: int | None, *, timed: bool = True) -> StopInfo | None:
        """As `boot`, but it may be given up (World.stop, and `given_up` says so) or be over at `until_ps`; None: it is ready."""
        self.world.set_level(Level.FUNCTIONAL)
        self.node.boot()
        limit_ps = self.personality.boot_limit_ps
        stop = self.run(min(limit_ps, until_ps or limit_ps))
        if given_up() or (stop.reason is Reason.UNTIL and stop.time_ps == until_ps):
            return stop
        if stop.reason is not Reason.REQUESTED:
            raise GuestError(self.explain(stop, "before the program was ready"))
        self.node.booted()
        if timed:
            self.set_timing()
        return None

    def start(self) -> None:
        """Power on at the functional level, for a guest that nobody waits for; `run` runs it."""
        self.world.set_level(Level.FUNCTIONAL)
        self.node.start()

    def explain(self, stop: StopInfo, when: str) -> str:
        """As in Served."""
        how = f"the guest ran for {stop.time_ps / 1e12:g} s of its time" if stop.reason is Reason.UNTIL else describe(stop)
        return f"{self.spec.image.name}: {how} {when}; its console ends: {self.last_lines()}"

    # ---- looking

    def snapshot(self) -> Snapshot:
        """The ledger now; its sums are checked against the vCPUs' clocks."""
        return self.node.snapshot()

    def accounts(self, earlier: Snapshot | None, later: Snapshot) -> Accounts:
        """What happened between two snapshots."""
        return self.node.accounts(earlier, later)

    def follow_calls(self) -> None:
        """Follow call stacks from now on, for `paths`. The guest is none the wiser."""
        self.calls.profile(self.machine.index, on=True)
        self._profiled = True

    def paths(self) -> Paths | None:
        """What call stacks cost since `follow_calls`; None if they are not followed."""
        return self.calls.profile_read(self.machine.index) if self._profiled else None

    def follow_requests(self) -> None:
        """Tell requests' functions apart from now on, if call stacks are followed."""
        if self._profiled:
            self.calls.profile_requests(self.machine.index)

    def slow(self, token: NDArray[np.uint64], latency_ps: NDArray[np.int64]) -> SlowProfile | None:
        """What the slow ones of those requests execute that the median ones do not; None if call stacks are not followed."""
        if not self._profiled:
            return None
        rows, first_lost = self.calls.profile_requests_read(self.machine.index)
        return slow_profile(rows, first_lost, self.node.names, token, latency_ps)

    def counters(self) -> tuple[dict[str, int], ...]:
        """Each vCPU's counters since power-on."""
        return self.node.counters()

    def events(self) -> dict[str, int]:
        """How often everything with a row of its own happened, over all vCPUs since power-on."""
        return self.node.events()

    def last_lines(self) -> str:
        """The end of the console, for a message."""
        return self.node.last_lines()
