# SPDX-License-Identifier: GPL-2.0-or-later
"""The ETC load: its distributions against their formulas, its requests against memcached's grammar."""

from __future__ import annotations

import math
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.errors import ConfigError
from nic.sources.etc import (
    GAP_US,
    KEY_BYTES,
    SMALL_VALUES,
    VALUE_BYTES,
    EtcLoad,
    gev,
    gpareto,
    key_sizes,
    value_sizes,
    zipf_bounds,
)

SAMPLES = 200_000


def uniform(seed: int = 1, count: int = SAMPLES) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(seed)).random(count)


def gev_cdf(x: float, location: float, scale: float, shape: float) -> float:
    return math.exp(-((1 + shape * (x - location) / scale) ** (-1 / shape)))


def gpareto_cdf(x: float, location: float, scale: float, shape: float) -> float:
    return float(1 - (1 + shape * (x - location) / scale) ** (-1 / shape))


@given(st.floats(1e-9, 1 - 1e-9))
def test_quantiles_invert_the_distribution_functions(u: float) -> None:
    assert gev_cdf(float(gev(np.array([u]), *KEY_BYTES)[0]), *KEY_BYTES) == pytest.approx(u, abs=1e-9)
    for parameters in (VALUE_BYTES, GAP_US):
        assert gpareto_cdf(float(gpareto(np.array([u]), *parameters)[0]), *parameters) == pytest.approx(u, abs=1e-9)


def test_the_ends_of_the_interval_are_numbers() -> None:
    ends = np.array([0.0, np.nextafter(1.0, 0.0)])
    assert key_sizes(ends).tolist()[0] == 1
    assert 1 <= key_sizes(ends)[1] <= 250
    assert value_sizes(ends)[0] == 0
    assert value_sizes(ends)[1] > 10**6


def test_small_values_have_the_paper_s_share() -> None:
    assert len(SMALL_VALUES) == 15
    assert sum(SMALL_VALUES) == pytest.approx(0.44155)
    counts = Counter(value_sizes(uniform()).tolist())
    for size, probability in enumerate(SMALL_VALUES):
        error = 5 * math.sqrt(probability * (1 - probability) / SAMPLES)
        assert counts[size] / SAMPLES == pytest.approx(probability, abs=error), size


@pytest.mark.parametrize("size", [20, 50, 100, 300, 1000, 3000])
def test_other_values_follow_the_pareto(size: int) -> None:
    expected = 0.44155 + (1 - 0.44155) * gpareto_cdf(size, *VALUE_BYTES)
    assert np.mean(value_sizes(uniform()) < size) == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize("size", [10, 20, 30, 40, 60, 90])
def test_keys_follow_the_extreme_value_distribution(size: int) -> None:
    assert np.mean(key_sizes(uniform(2)) <= size) == pytest.approx(gev_cdf(size + 0.5, *KEY_BYTES), abs=0.005)


def test_gaps_follow_the_pareto_and_average_19_us() -> None:
    gaps = EtcLoad(3).interarrival_ps(SAMPLES)
    assert gaps.dtype == np.int64
    assert gaps.min() >= 0
    assert gaps.mean() / 1e6 == pytest.approx(GAP_US[1] / (1 - GAP_US[2]), rel=0.02)
    for us in (1, 5, 20, 80):
        assert np.mean(gaps <= us * 1_000_000) == pytest.approx(gpareto_cdf(us, *GAP_US), abs=0.005)


def test_keys_differ_and_have_their_sizes() -> None:
    load = EtcLoad(4, keys=5000)
    assert len(set(load.keys)) == 5000
    assert all(1 <= len(key) <= 250 and not re.search(rb"[\x00-\x20]", key) for key in load.keys)
    assert np.mean([len(key) for key in load.keys]) == pytest.approx(np.mean(key_sizes(uniform())), abs=1)


def parse(payload: bytes) -> tuple[int, bytes, bytes, bytes | None]:
    """(request id, verb, key, value of a SET)."""
    assert payload[2:8] == b"\0\0\0\1\0\0"
    assert len(payload) <= 1472
    ident = int.from_bytes(payload[:2], "big")
    if match := re.fullmatch(rb"get (\S+)\r\n", payload[8:]):
        return ident, b"get", match[1], None
    match = re.fullmatch(rb"set (\S+) 0 0 (\d+)\r\n(.*)\r\n", payload[8:], re.DOTALL)
    assert match, payload[:80]
    assert len(match[3]) == int(match[2])
    return ident, b"set", match[1], match[3]


def test_preload_sets_each_key_once() -> None:
    load = EtcLoad(5, keys=3000)
    parsed = [parse(payload) for payload in load.preload()]
    assert [p[0] for p in parsed] == list(range(3000))
    assert [p[2] for p in parsed] == load.keys
    assert all(p[1] == b"set" for p in parsed)


def test_what_is_cut_is_counted_and_fills_the_frame() -> None:
    load = EtcLoad(6, keys=5000)
    full = [payload for payload in load.preload() if len(payload) == 1472]
    assert load.clipped() <= len(full)
    assert 0.01 < load.clipped() / 5000 < 0.04


def test_requests_mix_and_popularity() -> None:
    load = EtcLoad(7, keys=100, get_ratio=0.9)
    parsed = [parse(payload) for payload in load.requests(20_000)]
    assert [p[0] for p in parsed] == [i % 65536 for i in range(20_000)]
    assert np.mean([p[1] == b"get" for p in parsed]) == pytest.approx(0.9, abs=0.01)
    counts = Counter(p[2] for p in parsed)
    bounds = zipf_bounds(100, 0.99)
    for rank in (0, 1, 9, 50):
        expected = bounds[rank] - (bounds[rank - 1] if rank else 0)
        assert counts[load.keys[rank]] / 20_000 == pytest.approx(expected, abs=0.01)


def test_ids_wrap() -> None:
    last = list(EtcLoad(8, keys=3).requests(65_538))[-3:]
    assert [parse(payload)[0] for payload in last] == [65_535, 0, 1]


def test_the_default_is_thirty_gets_to_a_set() -> None:
    sets = sum(payload[8:11] == b"set" for payload in EtcLoad(9).requests(31_000))
    assert sets == pytest.approx(1000, abs=160)


@pytest.mark.parametrize(("ratio", "verb"), [(1.0, b"get"), (0.0, b"set")])
def test_all_of_one_kind(ratio: float, verb: bytes) -> None:
    assert {parse(payload)[1] for payload in EtcLoad(1, keys=10, get_ratio=ratio).requests(500)} == {verb}


def test_the_same_seed_gives_the_same_bytes_and_another_does_not() -> None:
    one, two, other = EtcLoad(10, keys=50), EtcLoad(10, keys=50), EtcLoad(11, keys=50)
    assert list(one.requests(200)) == list(two.requests(200)) == list(one.requests(200))
    assert list(one.preload()) == list(two.preload())
    assert one.interarrival_ps(50).tolist() == two.interarrival_ps(50).tolist()
    assert list(one.requests(200)) != list(other.requests(200))
    assert list(one.requests(300))[:200] == list(one.requests(200)), "fewer requests are the beginning of more"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"seed": -1}, "a seed is 0 or more, not -1"),
        ({"seed": 0, "keys": 0}, "the load takes 1 to 1000000 keys, not 0"),
        ({"seed": 0, "keys": 1_000_001}, "the load takes 1 to 1000000 keys, not 1000001"),
        ({"seed": 0, "get_ratio": 1.5}, "the share of GETs is from 0 to 1, not 1.5"),
        ({"seed": 0, "get_ratio": math.nan}, "the share of GETs is from 0 to 1, not nan"),
        ({"seed": 0, "exponent": -1.0}, "Zipf's exponent is from 0 to 10, not -1.0"),
    ],
)
def test_bad_arguments_get_one_sentence(arguments: dict[str, float], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        EtcLoad(**arguments)  # type: ignore[arg-type]
    assert str(caught.value) == sentence
