# SPDX-License-Identifier: GPL-2.0-or-later
"""Student's t against its published table, and intervals against arithmetic done by hand."""

from __future__ import annotations

import pytest

from cyclescope.cli.seeds import parse_seeds
from cyclescope.report.intervals import interval, t_quantile
from emu.errors import ConfigError

PUBLISHED = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 10: 2.228, 30: 2.042, 120: 1.980}
"""t with 0.975 below it, by degrees of freedom: NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2."""


@pytest.mark.parametrize("degrees", PUBLISHED)
def test_t_is_the_published_one(degrees: int) -> None:
    assert t_quantile(0.975, degrees) == pytest.approx(PUBLISHED[degrees], abs=0.0006)


def test_interval_by_hand() -> None:
    found = interval([1.0, 2.0, 3.0])  # deviation 1
    assert found.mean == 2.0
    assert found.half_width == pytest.approx(4.3027 / 3**0.5, rel=1e-4)
    assert (found.low, found.high) == (found.mean - found.half_width, found.mean + found.half_width)


def test_equal_samples_leave_no_width() -> None:
    assert interval([5.0, 5.0]).half_width == 0.0


def test_one_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="two samples"):
        interval([1.0])


def test_seeds_are_counted_ranged_or_listed() -> None:
    assert parse_seeds("3", 7) == [7, 8, 9]
    assert parse_seeds("2..4", 7) == [2, 3, 4]
    assert parse_seeds("9,1", 7) == [9, 1]


@pytest.mark.parametrize("text", ["", "x", "5..1", "1..", "1,,2", "-3", "1..99999", "2000", "1.5"])
def test_nonsense_seeds(text: str) -> None:
    with pytest.raises(ConfigError, match="--seeds is"):
        parse_seeds(text, 1)
