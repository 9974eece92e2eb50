# SPDX-License-Identifier: GPL-2.0-or-later
"""`cyclescope validate kernels`: pieces of real programs, the same binary on the host and in a guest.

The host is another processor, so the figures differ; what must agree is their order. Points of different kernels have different
units, so both coefficients are also given within each kernel.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cyclescope.config import Hardware
from cyclescope.experiments.phases import Progress, no_progress
from cyclescope.experiments.validate.figures import Bound, Figure
from cyclescope.experiments.validate.guest import read_figures, run_micro
from emu.errors import ConfigError
from personalities.base import get_personality

PROGRAMS = ("copy", "checksum", "hash", "list", "parse")
UNITS = {"copy": "KiB", "checksum": "KiB", "fnv": "key", "jenkins": "key", "list": "node", "parse": "command"}
HOST_SAMPLES, GUEST_SAMPLES = 201, 3  # a guest's samples differ by what its caches and predictors still learn
LEAST_CORRELATION = 0.9
HOST_LIMIT_S = 120


@dataclass(frozen=True)
class Point:
    """One kernel at one size: cycles a unit of work on the host (of its TSC) and in the guest."""

    kernel: str
    size: int
    host: float
    model: float

    @property
    def unit(self) -> str:
        return f"cycles/{UNITS[self.kernel]}"

    def document(self) -> dict[str, object]:
        """For JSON."""
        return {"kernel": self.kernel, "size": self.size, "unit": self.unit, "host": self.host, "model": self.model}


@dataclass(frozen=True)
class Comparison:
    """The points, and how well their orders agree."""

    host: str
    points: tuple[Point, ...]

    def figures(self) -> list[Figure]:
        """Both coefficients over all points, and within each kernel; the first has a bound."""
        found = [_figure("all kernels", self.points, bounded=True)]
        for kernel in dict.fromkeys(point.kernel for point in self.points):
            found.append(_figure(kernel, [point for point in self.points if point.kernel == kernel], bounded=False))
        return [figure for pair in found for figure in pair]


def compare_kernels(
    uarch: str,
    timing: str,
    only: Sequence[str] = (),
    rows: Mapping[str, int] | None = None,
    progress: Progress = no_progress,
) -> Comparison:
    """Runs each program on the host, then in a guest of `linux_like`.

    Raises:
        ConfigError: no such kernel, table or level; or the host does not run the program.
        GuestError: a guest ended badly.
    """
    if unknown := sorted(set(only) - set(PROGRAMS)):
        raise ConfigError(f"validate: there is no kernel {unknown[0]!r}; there are: {', '.join(PROGRAMS)}")
    chosen = [name for name in PROGRAMS if not only or name in only]
    linux_like = get_personality("linux_like")
    hardware = Hardware(cpus=1, uarch=uarch, rows=dict(rows or {}))
    points: list[Point] = []
    for number, name in enumerate(chosen):
        progress(f"validate: {name}", number, len(chosen))
        program = f"kernel_{name}"
        native = run_native(linux_like.find(program, "programs"), [str(HOST_SAMPLES)])
        run = run_micro(linux_like, program, [str(GUEST_SAMPLES)], hardware, timing)
        points += [
            Point(kernel, size, host, run.figures[kernel, size]) for (kernel, size), host in native.items()
        ]
    kernels = list(dict.fromkeys(point.kernel for point in points))
    points.sort(key=lambda point: kernels.index(point.kernel))
    return Comparison(host_name(), tuple(points))


def run_native(program: Path, arguments: Sequence[str]) -> dict[tuple[str, int], float]:
    """What the program prints when the host runs it. Raises ConfigError when it does not."""
    try:
        done = subprocess.run(
            [str(program), *arguments], capture_output=True, text=True, timeout=HOST_LIMIT_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError(f"{program} cannot be measured on this host ({error}); it needs Linux on x86-64-v2.") from error
    return read_figures(done.stdout)


def host_name() -> str:
    """The host's processor, as it names itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown"
    said: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        said.setdefault(key.strip(), value.strip())
    return f"{said.get('model name', 'unknown')}, family {said.get('cpu family', '?')}, model {said.get('model', '?')}"


def spearman(a: Sequence[float], b: Sequence[float]) -> float:
    """Rank correlation; ties share their mean rank."""
    x, y = _ranks(a), _ranks(b)
    return float(np.corrcoef(x, y)[0, 1])


def kendall(a: Sequence[float], b: Sequence[float]) -> float:
    """Tau-b: of the pairs, those in the same order less those in the other, ties discounted."""
    x, y = (np.sign(np.subtract.outer(v, v))[np.triu_indices(len(v), 1)] for v in (np.asarray(a), np.asarray(b)))
    untied = np.sqrt(np.count_nonzero(x) * np.count_nonzero(y))
    return float((x * y).sum() / untied)


def _ranks(values: Sequence[float]) -> list[float]:
    return [sum(b < a for b in values) + (sum(b == a for b in values) - 1) / 2 for a in values]


def _figure(name: str, points: Sequence[Point], *, bounded: bool) -> tuple[Figure, Figure]:
    host, model = [p.host for p in points], [p.model for p in points]
    bound = Bound(low=LEAST_CORRELATION, high=None, tolerance=0.0, grade="measured",
                  source="the same binary on this host")  # fmt: skip
    return (
        Figure(group=name, name=f"Spearman's rho, {len(points)} points", value=round(spearman(host, model), 4), unit="",
               bound=bound if bounded else None),
        Figure(group=name, name=f"Kendall's tau, {len(points)} points", value=round(kendall(host, model), 4), unit=""),
    )  # fmt: skip
