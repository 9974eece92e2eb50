# SPDX-License-Identifier: GPL-2.0-or-later
"""The taxonomy: names of components (who runs) and reasons (what a request waits for), and their indices in the core.

The fixed names are those of emu/core/core.h, in the same order. A manifest may add names behind them; a World has one taxonomy
for all its machines, so that a request may cross them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from emu.errors import ConfigError

MAX_COMPONENTS = 64
MAX_REASONS = 32
MAX_PARTS = MAX_COMPONENTS + MAX_REASONS

COMPONENTS = (
    "app", "syscall", "irq", "driver", "netdev", "ip", "udp", "tcp", "socket", "skb", "mm", "copy", "sched", "lock", "timer",
    "vfs", "idle", "boot", "event", "ebb",
    "client", "wire", "switch", "serialization", "nic", "dma", "irq_delivery",
    "unknown",
)  # fmt: skip
REASONS = (
    "link", "switch", "ring", "moderation", "nic", "socket", "runqueue", "lock", "preempted", "poll", "thread", "unattributed",
    "irq", "idle_exit", "retransmission",
)  # fmt: skip
CAUSES = (
    "retiring", "frontend", "badspec", "core", "dependency", "l1", "l2", "llc", "dram", "coherence", "tlb", "serialising", "event",
    "device", "lock_spin", "idle",
)  # fmt: skip

IDLE = COMPONENTS.index("idle")
UNKNOWN = COMPONENTS.index("unknown")
UNATTRIBUTED = REASONS.index("unattributed")


@dataclass(frozen=True)
class Taxonomy:
    """Component and reason names by index."""

    components: tuple[str, ...] = field(default=COMPONENTS)
    reasons: tuple[str, ...] = field(default=REASONS)

    def __post_init__(self) -> None:
        for what, names, limit in (
            ("components", self.components, MAX_COMPONENTS),
            ("wait reasons", self.reasons, MAX_REASONS),
        ):
            if len(names) > limit:
                raise ConfigError(f"The manifests name {len(names)} {what}; there is room for {limit}.")

    def extended(self, components: Iterable[str], reasons: Iterable[str]) -> Taxonomy:
        """With further names behind; those known already stay where they are. Raises ConfigError when there is no room."""
        return Taxonomy(
            tuple(dict.fromkeys((*self.components, *components))), tuple(dict.fromkeys((*self.reasons, *reasons)))
        )

    @cached_property
    def component_index(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.components)}

    @cached_property
    def reason_index(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.reasons)}

    @cached_property
    def part_index(self) -> dict[str, int]:
        """`run.COMPONENT` or `wait.REASON` to the part's index in the core."""
        runs = {f"run.{name}": index for name, index in self.component_index.items()}
        waits = {f"wait.{name}": MAX_COMPONENTS + index for name, index in self.reason_index.items()}
        return runs | waits

    @cached_property
    def part_names(self) -> dict[int, str]:
        """The opposite."""
        return {index: name for name, index in self.part_index.items()}
