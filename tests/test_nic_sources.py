# SPDX-License-Identifier: GPL-2.0-or-later
"""Arrival schedules and Scapy sources."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from emu.errors import ConfigError
from nic.sources.arrivals import as_captured, bursts, constant, poisson
from nic.sources.scapy_source import frames_of


def test_constant_rate_is_evenly_spaced_without_drift():
    times = constant(1_000_001, 3_000_000.0, start_ps=5)
    assert times.dtype == np.int64
    assert times[0] == 5
    assert times[-1] == 5 + round(1_000_000 * 1e12 / 3e6)


def test_poisson_has_the_rate_the_spread_and_the_seed_s_schedule():
    times = poisson(100_000, 1e6, seed=4)
    gaps = np.diff(times)
    assert np.mean(gaps) == pytest.approx(1e6, rel=0.02)
    assert np.std(gaps) == pytest.approx(1e6, rel=0.02)
    assert (poisson(100, 1e6, seed=4) == times[:100]).all()
    assert (poisson(100, 1e6, seed=5) != times[:100]).any()


def test_bursts_come_together_at_the_mean_rate():
    times = bursts(100_003, 1e6, 8, seed=1)
    assert len(times) == 100_003
    assert (np.diff(times[:8]) == 0).all()
    assert times[-1] == pytest.approx(100_003e6, rel=0.03)


@given(
    st.lists(st.integers(0, 10**15), min_size=1, max_size=50), st.sampled_from([0.5, 1.0, 2.0]), st.integers(0, 10**15)
)
def test_captured_times_keep_their_gaps_and_never_go_back(times_ns, multiplier, start_ps):
    times = as_captured(times_ns, multiplier, start_ps)
    assert times[0] == start_ps
    assert (np.diff(times) >= 0).all()
    if times_ns == sorted(times_ns):
        spread = (times_ns[-1] - times_ns[0]) * 1000 / multiplier
        assert times[-1] - start_ps == pytest.approx(spread, abs=256 + spread * 1e-12)


@pytest.mark.parametrize(
    "make",
    [
        lambda: constant(0, 1.0),
        lambda: constant(1, 0.0),
        lambda: poisson(1, float("nan"), 1),
        lambda: poisson(1000, 1e-9, 1),
        lambda: bursts(1, 1.0, 0, 1),
        lambda: as_captured([], 1.0),
        lambda: as_captured([1], 0.0),
        lambda: as_captured([1], float("nan")),
    ],
)
def test_impossible_schedules_are_refused(make):
    with pytest.raises(ConfigError):
        make()


def test_scapy_packets_become_frames_lazily():
    def packets():
        yield Ether() / IP() / UDP()
        yield IP(src="1.2.3.4", dst="4.3.2.1") / UDP() / b"x"
        yield b"raw bytes as they are"
        raise AssertionError("asked for more than was taken")

    frames = frames_of(packets())
    first, second, third = (next(frames) for _ in range(3))
    assert first[12:14] == second[12:14] == b"\x08\x00"
    assert second[26:30] == bytes((1, 2, 3, 4))
    assert third == b"raw bytes as they are"


@pytest.mark.parametrize("packet", [UDP(), "text", 7, None, Ether() / IP(ttl="often")])
def test_what_is_no_packet_is_refused_by_its_place(packet):
    with pytest.raises(ConfigError, match="packet 1"):
        list(frames_of([b"x", packet]))
