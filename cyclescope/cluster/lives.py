# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens to a machine of a pool, and when: the record that a timeline is drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

NEVER = -1


class Stage(StrEnum):
    """Where a machine is. CONTROL to KERNEL follow one another; PARKED or ON comes next; ENDED from anywhere, for good."""

    CONTROL = "control"  # asked for; a host is looked for
    IMAGE = "image"  # its image is on its way
    FIRMWARE = "firmware"
    KERNEL = "kernel"  # its vCPUs run; its program is not ready yet
    PARKED = "parked"  # ready, and nobody's
    ON = "on"  # ready, and somebody's
    ENDED = "ended"


@dataclass
class Life:
    """One machine of a pool, from the question for it to its end. Times are the World's [ps]; NEVER: it has not happened.

    Attributes:
        started_ps: somebody asked for it, or the warm pool did.
        image_ps, firmware_ps: its image's first byte left; its last was acknowledged.
        kernel_ps: its first instruction. ready_ps: its program's ready line.
        allocated_ps: a guest was told of it. Before ready_ps where it is a cold one.
        hello_ps: its first UDP datagram. request_ps: a request came to it for the first time.
        ended_ps, why: how it ended; empty: it has not.
        blocks: of its image. repeated: how many were sent again.
    """

    number: int
    name: str
    kind: str
    stage: Stage
    started_ps: int
    image_bytes: int = 0
    blocks: int = 0
    repeated: int = 0
    image_ps: int = NEVER
    firmware_ps: int = NEVER
    kernel_ps: int = NEVER
    ready_ps: int = NEVER
    allocated_ps: int = NEVER
    hello_ps: int = NEVER
    request_ps: int = NEVER
    ended_ps: int = NEVER
    why: str = ""
    warm: bool = False

    @property
    def alive(self) -> bool:
        """It takes a place of its pool."""
        return self.stage is not Stage.ENDED
