# SPDX-License-Identifier: GPL-2.0-or-later
"""One guest machine, its NIC, a switch and a client, wired up and booted: what every experiment starts from."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType

from cyclescope.config import DEFAULT_TIMING, Hardware
from cyclescope.experiments.machines import add_machine, level_of
from emu.core.binding import Counter, Level
from emu.errors import BadSnapshot, ConfigError, GuestError
from emu.ledger.accounts import Accounts, Snapshot, snapshot
from emu.ledger.install import resolve, taxonomy_of
from emu.ledger.manifest import load_manifest
from emu.ledger.requests import RequestLog
from emu.ledger.tables import SymbolNames, Tables
from emu.loader.boot import BootSpec
from emu.snapshot import SavedWorld
from emu.state import Data
from emu.world import Reason, StopInfo, World
from nic.costs import Moderation, NicConfig
from nic.endpoint import Endpoint
from nic.fabric import Star
from nic.link import LinkConfig
from nic.matching import EndpointConfig, Matcher
from nic.ports import Sender
from nic.switch import CrossTraffic, SwitchConfig
from nic.tap import FaultInjector, Faults, Tracer, TraceSink
from nic.tcp.client import TIMEOUT_PS, TcpClient
from nic.tcp.config import TcpConfig
from nic.virtio_net import VirtioNet
from personalities.base import Personality

READY_BYTES = 256
"""The end of a console line that is looked at for the personality's ready line."""

Progress = Callable[[str, int, int], None]
"""(what is going on, done, of how many; 0: unknown)."""


def no_progress(what: str, done: int, total: int) -> None:
    """Shows nothing."""


@dataclass(frozen=True)
class Phase:
    """Requests that were sent together: `[first, first + count)` of the client's."""

    first: int
    count: int
    start_ps: int
    end_ps: int
    lost: int

    @property
    def answered(self) -> int:
        return self.count - self.lost

    @property
    def rate_rps(self) -> float:
        """Answers a second of simulated time."""
        return self.answered * 1e12 / max(1, self.end_ps - self.start_ps)


@dataclass(frozen=True)
class TcpLoad:
    """A client that speaks TCP: its connections, and the share of frames lost on the way, each way, by a seed."""

    connections: int = 1
    loss: float = 0.0
    seed: int = 1


class Testbed:
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
        self._lossy = tcp is not None and tcp.loss > 0
        self._on_answer = on_answer
        self._progress: Progress = no_progress
        self._goal = ("", 0, 0)
        self._shown = 0
        self._line, self._ready = b"", personality.ready_line.encode()
        self.host_s = 0.0

        self.world = world or World()
        try:
            self.machine = add_machine(self.world, hardware)
            self._build(matcher, sink, tcp)
        except BaseException:
            self.world.close()
            raise

    def _build(self, matcher: Matcher | None, sink: TraceSink | None, tcp: TcpLoad | None) -> None:
        hardware, world, machine = self.hardware, self.world, self.machine
        self.manifest = load_manifest(self.spec.manifest or self.personality.manifest_path)
        self.taxonomy = taxonomy_of([self.manifest])
        self.calls = world.core.ledger_calls()
        if self.personality.code_is_early:
            self._install("")
        self.requests = RequestLog(self.calls, self.taxonomy)
        requests = self.requests.machine(machine.index)
        link = LinkConfig(hardware.link_bps, hardware.propagation_ns * 1000)
        self.network = star = Star(world, requests, SwitchConfig(forwarding_ps=hardware.switch_ns * 1000))
        cross = CrossTraffic(hardware.cross_traffic) if hardware.cross_traffic else None
        guest_port: Sender = star.join("guest", link, cross)
        port: Sender = star.join("client", link)
        if tcp is not None and tcp.loss:
            guest_port = FaultInjector(guest_port, Faults(loss=tcp.loss, seed=2 * tcp.seed), world, "loss.guest")
            port = FaultInjector(port, Faults(loss=tcp.loss, seed=2 * tcp.seed + 1), world, "loss.client")
        self.nic = VirtioNet(
            "nic0",
            NicConfig(pairs=hardware.cpus, moderation=Moderation(usecs=hardware.moderation_us)),
            clock=world,
            dma=machine.dma,
            interrupts=machine,
            requests=requests,
            sender=guest_port,
        )
        machine.add_pci(self.nic.function)
        if sink is not None:
            port = Tracer(port, sink, as_seen=tcp is not None)
        if tcp is not None:
            self.client: Endpoint = TcpClient(
                "client",
                EndpointConfig(timeout_ps=TIMEOUT_PS),
                clock=world,
                requests=requests,
                sender=port,
                connections=tcp.connections,
                tcp=TcpConfig(seed=tcp.seed),
                on_answer=self._answered,
                on_done=lambda _: world.stop(),
            )
            return
        self.client = Endpoint(
            "client",
            EndpointConfig(),
            clock=world,
            requests=requests,
            sender=port,
            matcher=matcher,
            on_answer=self._answered,
            on_done=lambda _: world.stop(),
        )

    def _install(self, console: str) -> None:
        """Symbols and probes, as the personality knows them by now."""
        code = self.personality.code(self.spec, console)
        self.tables = resolve(self.manifest, code, self.taxonomy, self.spec.program_cpl)
        self.tables.apply(self.calls, self.machine.index)

    # ---- snapshots

    def save(self, about: Data) -> SavedWorld:
        """Everything, between runs; nothing changes. `about` says what it is a snapshot of, for whoever restores it.

        Raises:
            ConfigError: frames are being lost by a seed, or TCP requests were sent: neither is in a snapshot.
        """
        if self._lossy:
            raise ConfigError("a link that loses frames cannot be in a snapshot: take it without losses")
        parts = {
            "nic": self.nic.save(), "network": self.network.save(), "client": self.client.save(),
            "requests": self.requests.save(),
        }  # fmt: skip
        if not self.personality.code_is_early:
            parts["code"] = self.tables.save()
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
            self.tables = Tables.restored(saved.data("code"), self.taxonomy, len(self.manifest.probes))
            self.tables.apply_restored(self.calls, self.machine.index)
        saved.core_into(self.world)

    @property
    def names(self) -> SymbolNames:
        """Symbols' names and components."""
        return self.tables.names

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
        self.world.set_level(Level.FUNCTIONAL)
        self.machine.console.sink = self._watch_console
        self.machine.boot(self.spec)
        limit_ps = self.personality.boot_limit_ps
        stop = self._run(limit_ps)
        if stop.reason is not Reason.REQUESTED:
            how = f"the guest ran for {limit_ps / 1e12:g} s of its time" if stop.reason is Reason.UNTIL else describe(stop)
            raise GuestError(
                f"{self.spec.image.name}: {how} before the program was ready; its console ends: {self.last_lines()}"
            )
        self.machine.console.sink = None
        if not self.personality.code_is_early:
            self._install(self.machine.console.tail)
        if timed:
            self.set_timing()

    def open_loop(
        self, times_ps: Sequence[int], frames: Iterable[bytes], label: str, progress: Progress = no_progress
    ) -> Phase:
        """Send frame i at times_ps[i] and run until the last answer, or its timeout."""
        return self._phase(label, len(times_ps), progress, lambda: self.client.open_loop(times_ps, frames))

    def closed_loop(
        self, outstanding: int, frames: Sequence[bytes], label: str, progress: Progress = no_progress
    ) -> Phase:
        """Keep `outstanding` requests under way until all frames are answered, or timed out."""
        start = self.world.now_ps
        return self._phase(label, len(frames), progress, lambda: self.client.closed_loop(outstanding, frames, start))

    def _phase(self, label: str, total: int, progress: Progress, begin: Callable[[], None]) -> Phase:
        first, start_ps, lost = len(self.client.starts_ps), self.world.now_ps, self.client.lost
        self._progress, self._goal, self._shown = progress, (f"{self.personality.name}: {label}", first, total), 0
        begin()
        stop = self._run(None)
        if stop.reason is not Reason.REQUESTED:
            raise GuestError(
                f"{self.spec.image.name}: {describe(stop)} while serving; its console ends: {self.last_lines()}"
            )
        ends = self.client.ends_ps[first:]
        return Phase(first, len(ends), start_ps, max(ends, default=start_ps), self.client.lost - lost)

    def _run(self, until_ps: int | None) -> StopInfo:
        begun = time.perf_counter()
        try:
            stop = self.world.run(until_ps)
        finally:
            self.host_s += time.perf_counter() - begun
        if stop.reason is Reason.INTERRUPTED:
            raise KeyboardInterrupt
        return stop

    # ---- looking

    def snapshot(self) -> Snapshot:
        """The ledger now; its sums are checked against the vCPUs' clocks."""
        clocks = [self.world.core.cycles(self.machine.index, vcpu) for vcpu in range(self.hardware.cpus)]
        return snapshot(self.calls, self.machine.index, clocks, len(self.names))

    def accounts(self, earlier: Snapshot | None, later: Snapshot) -> Accounts:
        """What happened between two snapshots."""
        return Accounts.between(earlier, later, self.taxonomy, self.names)

    def counters(self) -> tuple[dict[str, int], ...]:
        """Each vCPU's counters since power-on, but for the emulator's own (how often it translated)."""
        return tuple(
            {counter.name.lower(): values[counter] for counter in Counter if counter is not Counter.TRANSLATIONS}
            for values in (self.world.core.counters(self.machine.index, vcpu) for vcpu in range(self.hardware.cpus))
        )

    def events(self) -> dict[str, int]:
        """How often everything with a row of its own happened, over all vCPUs since power-on."""
        total: dict[str, int] = {}
        for vcpu in range(self.hardware.cpus):
            for row, count in self.world.core.events(self.machine.index, vcpu).items():
                total[row] = total.get(row, 0) + count
        return total

    def last_lines(self) -> str:
        """The console's last three lines, for a message; before them the one that says why a kernel gave up, if it did."""
        lines = [line.strip() for line in self.machine.console.tail.splitlines() if line.strip()]
        why = [line for line in lines[:-3] if "panic" in line][:1]
        return " | ".join(why + lines[-3:]) or "(nothing)"

    def _watch_console(self, data: bytes, time_ps: int) -> None:
        *lines, line = (self._line + data).split(b"\n")
        self._line = line[-READY_BYTES:]  # a guest may print no end of one line
        if any(line.rstrip().endswith(self._ready) for line in lines):
            self.world.stop()

    def _answered(self, index: int, answer: bytes, time_ps: int) -> None:
        label, first, total = self._goal
        done = index + 1 - first
        if done >= self._shown + max(1, total // 50):
            self._shown = done
            self._progress(label, done, total)
        if self._on_answer is not None:
            self._on_answer(index, answer, time_ps)

    def close(self) -> None:
        """Free the machine."""
        self.world.close()

    def __enter__(self) -> Testbed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def describe(stop: StopInfo) -> str:
    """How a run ended, as the middle of a sentence."""
    where = f" (vCPU {stop.vcpu}, RIP {stop.rip:#x})" if stop.vcpu >= 0 else ""
    texts = {
        Reason.EXIT: f"the guest ended its run with {stop.value}",
        Reason.TRIPLE_FAULT: f"the guest triple-faulted{where}",
        Reason.NO_PROGRESS: "every vCPU halted with nothing left to wake it",
        Reason.CYCLE_LIMIT: "the cycle limit was reached",
        Reason.RESET: "the guest reset its machine",
        Reason.POWER_OFF: "the guest switched its machine off",
    }
    return texts.get(stop.reason, str(stop.reason))
