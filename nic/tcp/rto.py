# SPDX-License-Identifier: GPL-2.0-or-later
"""The retransmission timeout of RFC 6298 (published), in simulated picoseconds."""

from __future__ import annotations

from emu.units import PS_PER_MS, PS_PER_S

INITIAL_PS = PS_PER_S
MAX_PS = 120 * PS_PER_S  # Linux; the RFC asks for at least 60 s
GRANULARITY_PS = PS_PER_MS


class Rto:
    """`minimum_ps`: the RFC says 1 s, Linux has 200 ms; ours is the configuration's."""

    __slots__ = ("_backoff", "_minimum_ps", "_rttvar_ps", "base_ps", "srtt_ps")

    def __init__(self, minimum_ps: int) -> None:
        self._minimum_ps = minimum_ps
        self.srtt_ps = 0  # 0: no sample yet
        self._rttvar_ps = 0
        self.base_ps = max(INITIAL_PS, minimum_ps)
        self._backoff = 0

    def sample(self, rtt_ps: int) -> None:
        """A round trip of a segment that was sent once (Karn's rule is the caller's)."""
        if not self.srtt_ps:
            self.srtt_ps, self._rttvar_ps = max(1, rtt_ps), rtt_ps // 2
        else:
            self._rttvar_ps = (3 * self._rttvar_ps + abs(self.srtt_ps - rtt_ps)) // 4
            self.srtt_ps = max(1, (7 * self.srtt_ps + rtt_ps) // 8)
        timeout = self.srtt_ps + max(GRANULARITY_PS, 4 * self._rttvar_ps)
        self.base_ps = min(MAX_PS, max(self._minimum_ps, timeout))
        self._backoff = 0

    def back_off(self) -> None:
        """The timer ran out: the next one takes twice as long."""
        self._backoff = min(self._backoff + 1, 16)

    def progress(self) -> None:
        """New data was acknowledged."""
        self._backoff = 0

    @property
    def timeout_ps(self) -> int:
        """How long to wait now."""
        return min(MAX_PS, self.base_ps << self._backoff)
