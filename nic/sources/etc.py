# SPDX-License-Identifier: GPL-2.0-or-later
"""A synthetic memcached load with the ETC distributions.

ETC is the most general of the Facebook pools analysed by Atikoglu, Xu, Frachtenberg, Jiang and Paleczny, "Workload Analysis of
a Large-Scale Key-Value Store", SIGMETRICS 2012 (published): key sizes follow GEV(30.7984, 8.20449, 0.078688) bytes; value
sizes from 0 to 14 bytes have a probability each, 44.155 % in all, the others follow GPareto(15, 214.476, 0.348238) bytes;
inter-arrival gaps follow GPareto(0, 16.0292, 0.154971) us; there are 30 GETs to a SET. The paper fits popularity no formula: here
it is Zipf's, with exponent 0.99 (assumed, as is usual for key-value loads).

Departures: a request is one unfragmented Ethernet frame of at most 1500 bytes of IP, so values are cut to what fits (some
2 % of them; `EtcLoad.clipped` says how many). Values are letters.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from emu.errors import ConfigError
from emu.units import PS_PER_US
from nic.memcached_udp import FRAME_BYTES, datagram

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Location, scale and shape, in the paper's order.
KEY_BYTES = (30.7984, 8.20449, 0.078688)
VALUE_BYTES = (15.0, 214.476, 0.348238)
GAP_US = (0.0, 16.0292, 0.154971)
#: Probability of each value size from 0 to 14 bytes.
SMALL_VALUES = (
    0.00536, 0.00047, 0.17820, 0.09239, 0.00018, 0.02740, 0.00065, 0.00606,
    0.00023, 0.00837, 0.00837, 0.08989, 0.00092, 0.00326, 0.01980,
)  # fmt: skip
GET_RATIO = 30 / 31
ZIPF_EXPONENT = 0.99

MAX_KEY_BYTES = 250  # memcached's
MAX_KEYS = 1_000_000
#: The largest UDP payload in an Ethernet frame: 1500 bytes less the IPv4 and UDP headers.
MAX_PAYLOAD_BYTES = 1472
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_LETTERS = b"abcdefghijklmnopqrstuvwxyz" * 58  # 26 places to start, and a whole payload behind each
_IDS = 1 << 16


def gev(uniform: Floats, location: float, scale: float, shape: float) -> Floats:
    """Quantiles of the generalised extreme value distribution, at `uniform` in [0, 1); shape is not 0."""
    with np.errstate(divide="ignore"):
        exponential = -np.log(uniform)
    quantiles: Floats = location + scale * (exponential**-shape - 1.0) / shape
    return quantiles


def gpareto(uniform: Floats, location: float, scale: float, shape: float) -> Floats:
    """Quantiles of the generalised Pareto distribution, at `uniform` in [0, 1); shape is not 0."""
    quantiles: Floats = location + scale * ((1.0 - uniform) ** -shape - 1.0) / shape
    return quantiles


def key_sizes(uniform: Floats) -> Ints:
    """Key sizes in bytes, 1 to 250."""
    sizes: Ints = np.clip(np.rint(gev(uniform, *KEY_BYTES)), 1, MAX_KEY_BYTES).astype(np.int64)
    return sizes


def value_sizes(uniform: Floats) -> Ints:
    """Value sizes in bytes, from 0 up; nothing is cut here."""
    bounds = np.cumsum(SMALL_VALUES)
    small = np.searchsorted(bounds, uniform, side="right")
    rest = np.clip((uniform - bounds[-1]) / (1.0 - bounds[-1]), 0.0, None)
    large = np.floor(gpareto(rest, *VALUE_BYTES)).astype(np.int64)
    sizes: Ints = np.where(small < len(SMALL_VALUES), small, large).astype(np.int64)
    return sizes


def zipf_bounds(count: int, exponent: float) -> Floats:
    """Cumulative probabilities of ranks 1 to `count`, whose probabilities go with rank ** -exponent."""
    weights = np.arange(1, count + 1, dtype=np.float64) ** -exponent
    bounds: Floats = np.cumsum(weights) / weights.sum()
    return bounds


def _key(index: int, size: int) -> bytes:
    """The index in base 36, made up to `size` bytes; longer than that only if the index is. Different for each index."""
    digits = ""
    rest = index
    while rest or not digits:
        digits = _DIGITS[rest % 36] + digits
        rest //= 36
    return digits.ljust(size, ".").encode()


class EtcLoad:
    """Memcached requests as UDP payloads (8-byte frame header, command). The same arguments give the same bytes, at each call.

    seed: 0 or more; keys: 1 to 1,000,000; get_ratio: share of GETs among the requests, 0 to 1, the others being SETs. Request ids
    count up from 0 and wrap at 65,536. The most popular key is the first.
    """

    def __init__(
        self, seed: int, keys: int = 1000, get_ratio: float = GET_RATIO, exponent: float = ZIPF_EXPONENT
    ) -> None:
        if seed < 0:
            raise ConfigError(f"a seed is 0 or more, not {seed}")
        if not 1 <= keys <= MAX_KEYS:
            raise ConfigError(f"the load takes 1 to {MAX_KEYS} keys, not {keys}")
        if not 0.0 <= get_ratio <= 1.0:
            raise ConfigError(f"the share of GETs is from 0 to 1, not {get_ratio}")
        if not 0.0 <= exponent <= 10.0:
            raise ConfigError(f"Zipf's exponent is from 0 to 10, not {exponent}")
        self.seed = seed
        self.get_ratio = get_ratio
        self.keys = [_key(i, int(size)) for i, size in enumerate(key_sizes(self._random("keys").random(keys)))]
        self._bounds = zipf_bounds(keys, exponent)

    def _random(self, purpose: str) -> np.random.Generator:
        """A stream of its own for each purpose, so that one's length never shifts another."""
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.seed, *purpose.encode()])))

    def _set(self, ident: int, index: int, size: int) -> bytes:
        key = self.keys[index]
        size = min(size, self.largest_value(key))
        start = index % 26
        return datagram(ident, b"set %b 0 0 %d\r\n%b\r\n" % (key, size, _LETTERS[start : start + size]))

    @staticmethod
    def largest_value(key: bytes) -> int:
        """The most bytes a value may have for its SET to fit a frame."""
        return MAX_PAYLOAD_BYTES - FRAME_BYTES - len(b"set  0 0 1234\r\n\r\n") - len(key)

    def clipped(self) -> int:
        """How many of the values that preload() stores are cut to fit a frame."""
        sizes = self._preload_sizes()
        return sum(size > self.largest_value(key) for size, key in zip(sizes, self.keys, strict=True))

    def _preload_sizes(self) -> list[int]:
        return [int(size) for size in value_sizes(self._random("preload").random(len(self.keys)))]

    def preload(self) -> Iterator[bytes]:
        """One SET for each key."""
        for index, size in enumerate(self._preload_sizes()):
            yield self._set(index % _IDS, index, size)

    def requests(self, count: int) -> Iterator[bytes]:
        """`count` GETs and SETs; fewer are the beginning of more."""
        gets = self._random("operations").random(count) < self.get_ratio
        ranks = np.searchsorted(self._bounds, self._random("popularity").random(count), side="right")
        sizes = value_sizes(self._random("values").random(count))
        for i in range(count):
            index = min(int(ranks[i]), len(self.keys) - 1)
            if gets[i]:
                yield datagram(i % _IDS, b"get %b\r\n" % self.keys[index])
            else:
                yield self._set(i % _IDS, index, int(sizes[i]))

    def interarrival_ps(self, count: int) -> Ints:
        """`count` gaps between requests, as ETC had them (19 us on average), in picoseconds."""
        gaps: Ints = np.rint(gpareto(self._random("gaps").random(count), *GAP_US) * PS_PER_US).astype(np.int64)
        return gaps
