# SPDX-License-Identifier: GPL-2.0-or-later
"""A personality on a machine of a World, with its NIC: what experiments on one machine and on many have in common."""

from __future__ import annotations

from collections.abc import Callable

from cyclescope.config import Hardware
from cyclescope.experiments.machines import add_machine
from emu.core.binding import Counter
from emu.ledger.accounts import Accounts, Snapshot, snapshot
from emu.ledger.calls import LedgerCalls
from emu.ledger.components import Taxonomy
from emu.ledger.install import resolve
from emu.ledger.manifest import load_manifest
from emu.ledger.requests import MachineRequests
from emu.ledger.tables import SymbolNames, Tables
from emu.loader.boot import BootSpec
from emu.world import World
from nic.costs import Moderation, NicConfig
from nic.ports import Sender
from nic.virtio_net import VirtioNet
from personalities.base import Personality

READY_BYTES = 4096
"""As much of a console line is kept, and its end looked at for the personality's ready line."""


class Node:
    """Add it to a World, then `wire` it, then `boot` it."""

    def __init__(self, world: World, hardware: Hardware, personality: Personality, spec: BootSpec) -> None:
        self.hardware, self.personality, self.spec = hardware, personality, spec
        self.world = world
        self.machine = add_machine(world, hardware)
        self.manifest = load_manifest(spec.manifest or personality.manifest_path)
        self.calls: LedgerCalls = world.core.ledger_calls()
        self.ready = False
        #: Shown what the guest prints, but for its report to us: (bytes, time_ps).
        self.on_console: Callable[[bytes, int], None] | None = None
        self._on_ready: Callable[[], None] = world.stop
        self._line, self._ready_line = b"", personality.ready_line.encode()

    def wire(self, taxonomy: Taxonomy, requests: MachineRequests, sender: Sender, name: str, mac: str | None = None) -> None:
        """Plug in a NIC called `name` on that end of a link, with as many queue pairs as vCPUs."""
        self.taxonomy = taxonomy
        if self.personality.code_is_early:
            self.install("")
        moderation = Moderation(usecs=self.hardware.moderation_us)
        config = NicConfig(pairs=self.hardware.cpus, moderation=moderation)
        if mac is not None:
            config = NicConfig(pairs=self.hardware.cpus, moderation=moderation, mac=mac)
        self.nic = VirtioNet(
            name, config, clock=self.world, dma=self.machine.dma, interrupts=self.machine, requests=requests, sender=sender
        )
        self.machine.add_pci(self.nic.function)

    def install(self, console: str) -> None:
        """Symbols and probes, as the personality knows them by now."""
        code = self.personality.code(self.spec, console)
        self.tables = resolve(self.manifest, code, self.taxonomy, self.spec.program_cpl)
        self.tables.apply(self.calls, self.machine.index)

    def restore_tables(self, tables: Tables) -> None:
        """Symbols and probes out of a snapshot."""
        self.tables = tables
        tables.apply_restored(self.calls, self.machine.index)

    def boot(self, on_ready: Callable[[], None] | None = None) -> None:
        """Start the machine; `on_ready` (or the end of the run) follows the personality's ready line."""
        self._on_ready = on_ready or self.world.stop
        self.machine.console.sink = self._watch_console
        self.machine.boot(self.spec)

    def start(self) -> None:
        """Start the machine of a guest that nobody waits for."""
        self.machine.console.sink = self.on_console
        self.machine.boot(self.spec)

    def booted(self) -> None:
        """After the ready line: the console is watched no more."""
        self.machine.console.sink = self.on_console
        if not self.personality.code_is_early:
            self.install(self.machine.console.tail)

    # ---- looking

    @property
    def names(self) -> SymbolNames:
        """Symbols' names and components."""
        return self.tables.names

    def snapshot(self) -> Snapshot:
        """The ledger now; its sums are checked against the vCPUs' clocks."""
        clocks = [self.world.core.cycles(self.machine.index, vcpu) for vcpu in range(self.hardware.cpus)]
        return snapshot(self.calls, self.machine.index, clocks, len(self.names))

    def accounts(self, earlier: Snapshot | None, later: Snapshot) -> Accounts:
        """What happened between two snapshots, whoever asks: checked."""
        found = Accounts.between(earlier, later, self.taxonomy, self.names)
        found.check()
        return found

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
        if self.on_console is not None:
            is_report = self.personality.is_report
            shown = [line + b"\n" for line in lines if not is_report(line.decode(errors="replace").rstrip())]
            self.on_console(b"".join(shown), time_ps)
        if not self.ready and any(line.rstrip().endswith(self._ready_line) for line in lines):
            self.ready = True
            self._on_ready()
