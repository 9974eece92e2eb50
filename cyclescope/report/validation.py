# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures beside their references, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table

from cyclescope.experiments.validate.figures import Figure
from cyclescope.experiments.validate.kernels import Comparison


def print_figures(console: Console, figures: Sequence[Figure], heading: str) -> None:
    """One table of what has a reference or parts, then the bare points, a line a group; the sources at the end."""
    judged = [figure for figure in figures if not _is_point(figure)]
    sources = list(dict.fromkeys(figure.bound.source for figure in judged if figure.bound))
    table = Table(title=heading, title_justify="left", show_edge=False, pad_edge=False)
    for name in ("Group", "Figure"):
        table.add_column(name, no_wrap=True)
    for name in ("Value", "Unit", "Reference", "Off by", ""):
        table.add_column(name, justify="right" if name in ("Value", "Reference", "Off by") else "left", no_wrap=True)
    table.add_column("Source")
    previous = ""
    for figure in judged:
        first = figure.group if figure.group != previous else ""
        previous = figure.group
        table.add_row(first, figure.name, f"{figure.value:,.2f}", figure.unit, *_reference(figure, sources))
    console.print(table)
    for figure in judged:
        if figure.parts:
            _print_parts(console, figure)
    for (group, unit), points in groupby((f for f in figures if _is_point(f)), key=lambda f: (f.group, f.unit)):
        listed = "  ".join(f"{point.name} {point.value:g}" for point in points)
        console.print(f"{group} [{unit}]: {listed}", highlight=False, markup=False)
    console.print()
    for number, source in enumerate(sources, 1):
        console.print(f"[{number}] {source}", highlight=False, markup=False)
    missed = sum(not figure.ok for figure in figures)
    bounded = sum(figure.bound is not None for figure in figures)
    console.print(f"{bounded - missed} of {bounded} references met", highlight=False)


def print_kernels(console: Console, comparison: Comparison, heading: str) -> None:
    """Each point on the host and in the guest, then how well the orders agree."""
    table = Table(title=heading, title_justify="left", show_edge=False, pad_edge=False)
    table.add_column("Kernel", no_wrap=True)
    for name in ("Size", "Host", "Model"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("Unit", no_wrap=True)
    table.add_column("Model / host", justify="right", no_wrap=True)
    previous = ""
    for point in comparison.points:
        first = point.kernel if point.kernel != previous else ""
        previous = point.kernel
        ratio = f"{point.model / point.host:.2f}"
        table.add_row(first, f"{point.size:,}", f"{point.host:,.2f}", f"{point.model:,.2f}", point.unit, ratio)
    console.print(table)
    console.print(f"Host: {comparison.host}; cycles of its TSC, median\n", highlight=False, markup=False)
    print_figures(console, comparison.figures(), "Rank correlation of host and model")


def _is_point(figure: Figure) -> bool:
    return figure.param is not None and figure.bound is None


def _reference(figure: Figure, sources: list[str]) -> tuple[str, str, str, str]:
    if figure.bound is None:
        return "", "", "", ""
    off = figure.bound.deviation(figure.value)
    return (
        figure.bound.text(),
        f"{off * 100:+.1f} %" if off else "",
        "" if figure.ok else "MISSED",
        f"[{sources.index(figure.bound.source) + 1}] {figure.bound.grade}",
    )


def _print_parts(console: Console, figure: Figure) -> None:
    total = sum(sum(causes.values()) for causes in figure.parts.values())
    console.print(f"{figure.name}: parts, {total:,.1f} cycles an operation", highlight=False)
    for component, causes in sorted(figure.parts.items(), key=lambda item: -sum(item[1].values())):
        if (cycles := sum(causes.values())) < 0.5:
            continue
        listed = ", ".join(f"{cause} {value:,.1f}" for cause, value in causes.items() if abs(value) >= 0.5)
        console.print(f"  {component:<10} {cycles:>9,.1f}  {listed}", highlight=False)
