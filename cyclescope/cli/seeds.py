# SPDX-License-Identifier: GPL-2.0-or-later
"""`--seeds`: which seeds a repeated comparison takes."""

from __future__ import annotations

import re

from emu.errors import ConfigError

MOST = 1000
_HOW = "give how many, a range such as 1..5, or a list such as 1,3,7"


def parse_seeds(text: str, first: int) -> list[int]:
    """`5` is five seeds from `first` on; `1..5`; `1,3,7`. Raises ConfigError."""
    if match := re.fullmatch(r"(\d{1,18})\.\.(\d{1,18})", text):
        low, high = int(match[1]), int(match[2])
        if high < low:
            raise ConfigError(f"--seeds is {text!r}: the range runs backwards")
        count = high - low + 1
    elif re.fullmatch(r"\d{1,18}", text):
        low, count = first, int(text)
    elif re.fullmatch(r"\d{1,18}(,\d{1,18})+", text):
        return [int(word) for word in text.split(",")]
    else:
        raise ConfigError(f"--seeds is {text!r}: {_HOW}")
    if count > MOST:
        raise ConfigError(f"--seeds is {text!r}: give at most {MOST} seeds")
    return list(range(low, low + count))
