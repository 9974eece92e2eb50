# SPDX-License-Identifier: GPL-2.0-or-later
"""What following call stacks costs the host: kvd in a closed loop with and without, in turn, at both timed levels.

    python -m bench.profile_cost [--json -] [--rounds 3] [--personality linux_like]

`mips` and `profiled_mips` are busy instructions a second of the thread's time in the core, `ratio` the second over the first:
medians of the rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys

from bench.speed import served

LEVELS = ("fast", "detailed")


def measure(personality: str, cpus: int, rounds: int, requests: int) -> dict[str, dict[str, float]]:
    """Level -> figures."""
    result = {}
    for timing in LEVELS:
        pairs = [
            [served(personality, cpus, timing, requests, profiled=profiled)["mips"] for profiled in (False, True)]
            for _ in range(rounds)
        ]
        plain, profiled = (statistics.median(column) for column in zip(*pairs, strict=True))
        result[timing] = {"mips": plain, "profiled_mips": profiled, "ratio": statistics.median(b / a for a, b in pairs)}
    return result


def main() -> None:
    """Prints a line a level, or JSON."""
    parser = argparse.ArgumentParser(description="What the inclusive profile costs the host.")
    parser.add_argument("--json", metavar="FILE", help="write JSON there; - is standard output")
    parser.add_argument("--personality", default="linux_like")
    parser.add_argument("--cpus", type=int, default=4)
    parser.add_argument("--requests", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    result = measure(options.personality, options.cpus, options.rounds, options.requests)
    if options.json:
        text = json.dumps({"personality": options.personality, "cpus": options.cpus, **result}, indent=2) + "\n"
        if options.json == "-":
            sys.stdout.write(text)
        else:
            with open(options.json, "w") as file:
                file.write(text)
        return
    for timing, figures in result.items():
        with_stacks = f"{figures['profiled_mips']:.1f} with call stacks followed ({figures['ratio']:.2f})"
        print(f"{timing}: {figures['mips']:.1f} MIPS, {with_stacks}")


if __name__ == "__main__":
    main()
