# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands, joined: each lives in a module of its own."""

from __future__ import annotations

import typer

from cyclescope.cli.asm import add_to as add_asm
from cyclescope.cli.cluster import add_to as add_cluster
from cyclescope.cli.cluster_series import add_to as add_cluster_series
from cyclescope.cli.compare import add_to as add_compare
from cyclescope.cli.doctor import add_to as add_doctor
from cyclescope.cli.effort import add_to as add_effort
from cyclescope.cli.linux import add_to as add_linux
from cyclescope.cli.personalities import add_to as add_personalities
from cyclescope.cli.replay import add_to as add_replay
from cyclescope.cli.run import add_to as add_run
from cyclescope.cli.scale import add_to as add_scale
from cyclescope.cli.sensitivity import add_to as add_sensitivity
from cyclescope.cli.snapshot import add_to as add_snapshot
from cyclescope.cli.sweep import add_to as add_sweep
from cyclescope.cli.validate import add_to as add_validate

app = typer.Typer(
    name="cyclescope",
    help="Run the same program and packets on different operating systems, and see where every cycle of every request went.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
COMMANDS = (
    add_compare, add_sweep, add_scale, add_sensitivity, add_replay, add_snapshot,
    add_run, add_linux, add_cluster, add_cluster_series, add_effort, add_asm, add_personalities, add_doctor, add_validate,
)  # fmt: skip
for add in COMMANDS:
    add(app)
