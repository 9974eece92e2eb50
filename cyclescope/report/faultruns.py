# SPDX-License-Identifier: GPL-2.0-or-later
"""Fault runs in a terminal, a line each, and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console

from cyclescope.cluster.faultruns import FaultRun
from cyclescope.report.tables import compact_table

SCHEMA = 1
_FAULTS = ("lost", "duplicated", "reordered", "down")
_ANSWERS = ("hit", "miss", "stored", "refused", "wrong")


def print_fault_runs(console: Console, runs: Sequence[FaultRun]) -> None:
    """A line a run, then what all of them come to."""
    table = compact_table("")
    for name in ("seed", *(f"frames\n{name}" if name == "lost" else f"\n{name}" for name in _FAULTS)):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("\nkilled, at us", no_wrap=True)
    recorded = ("log lines\nacknowl.", "\nthere", "\nlost", "keys\nthere")
    for name in ("requests\nsent", *(f"\n{name}" for name in _ANSWERS), "\nno answer", "then\nanswered", *recorded):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("\ndigest", no_wrap=True)
    for run in runs:
        kills = ", ".join(f"{name} {at:,.0f}" for name, at in sorted(run.kills.items(), key=lambda kill: kill[1]))
        then = sum(run.afterwards.values()) - run.afterwards.get("lost", 0)
        table.add_row(
            str(run.seed), *(str(run.faults.get(name, 0)) for name in _FAULTS), kills or "-", str(run.sent),
            *(str(run.answers.get(name, 0)) for name in _ANSWERS), str(run.lost),
            f"{then}/{sum(run.afterwards.values())}", str(run.records.acknowledged), str(run.records.logged),
            str(sum(run.records.lost.values())), str(run.records.keys), run.digest,
        )  # fmt: skip
    console.print(table, markup=False)
    for run in runs:
        for complaint in run.complaints:
            console.print(f"seed {run.seed}: {complaint}", highlight=False, markup=False, soft_wrap=True)
    console.print(summary(runs), highlight=False, markup=False, soft_wrap=True)


def totals(runs: Sequence[FaultRun]) -> dict[str, Any]:
    """Of all runs: frames, requests, answers, kills."""
    faults: Counter[str] = Counter()
    answers: Counter[str] = Counter()
    killed: Counter[str] = Counter()
    for run in runs:
        faults.update(run.faults)
        answers.update(run.answers)
        killed.update(run.kills.keys())
    return {
        "runs": len(runs), "sent": sum(run.sent for run in runs), "no_answer": sum(run.lost for run in runs),
        "answers": dict(sorted(answers.items())), "faults": dict(sorted(faults.items())), "killed": dict(sorted(killed.items())),
        "lines": sum(run.records.logged for run in runs), "acknowledged": sum(run.records.acknowledged for run in runs),
        "lines_lost": sum(sum(run.records.lost.values()) for run in runs), "keys": sum(run.records.keys for run in runs),
        "complaints": sum(len(run.complaints) for run in runs),
    }  # fmt: skip


def summary(runs: Sequence[FaultRun]) -> str:
    """One paragraph."""
    all_of = totals(runs)
    answers = ", ".join(f"{count:,} {name}" for name, count in all_of["answers"].items())
    frames = ", ".join(f"{count:,} {name}" for name, count in all_of["faults"].items())
    killed = ", ".join(f"{name} {count} times" for name, count in all_of["killed"].items())
    bad = sum(bool(run.complaints) for run in runs)
    records = (
        f"; gpos had {all_of['lines']:,} log lines when asked ({all_of['acknowledged']:,} acknowledged), "
        f"{all_of['lines_lost']:,} were lost with a node; {all_of['keys']:,} keys acknowledged"
    )
    verdict = f"{bad} of them did what they must not" if bad else "all held"
    return (
        f"{all_of['runs']:,} runs, {verdict}: {all_of['sent']:,} requests sent; {answers or 'no answers'}, "
        f"{all_of['no_answer']:,} without an answer; frames: {frames or 'all sound'}; killed: {killed or 'nobody'}"
        + (records if all_of["lines"] + all_of["lines_lost"] else "")
    )


def fault_document(runs: Sequence[FaultRun]) -> dict[str, Any]:
    """What `--json` prints."""
    return {"schema": SCHEMA, "all": totals(runs), "runs": [asdict(run) for run in runs]}
