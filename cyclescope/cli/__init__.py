# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line. `main` turns every error of ours into one sentence and a documented exit code.

Exit codes: 0 done; 1 the check asked for failed (`replay --check`, `validate`); 2 the user asked for nonsense; 3 the guest
broke a rule or ended badly; 4 the guest needs what is not modelled; 70 a bug of ours; 130 interrupted; 141 nobody reads what
we print. `run` gives the guest's own exit status.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import cast

import typer

from cyclescope.cli.app import app
from emu.errors import CyclescopeError, EmuBug

INTERRUPTED = 130
BROKEN_PIPE = 141
TRACEBACK = "CYCLESCOPE_TRACEBACK"  # in the environment: a bug of ours shows where it is

_UsageError = cast(type[Exception], typer.BadParameter.__bases__[0])  # click's, or that of typer's own copy of click


def main() -> None:
    """The console script's entry point; never returns."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115  (closed by our caller: no reason to fail)
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    sys.exit(run_cli(sys.argv[1:]))


def run_cli(arguments: list[str]) -> int:
    """Runs one command and returns its exit code; prints errors as one sentence on standard error."""
    # Not by typer's own main: that swallows KeyboardInterrupt.
    try:
        command = typer.main.get_command(app)
        with command.make_context("cyclescope", arguments or ["--help"]) as context:
            result = command.invoke(context)
            sys.stdout.flush()
    except typer.Exit as exit_request:
        return exit_request.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return _failed("interrupted; nothing was written", INTERRUPTED)
    except _UsageError as error:
        return _failed(f"{cast(typer.BadParameter, error).format_message().rstrip('.')}; see --help", 2)
    except CyclescopeError as error:
        return _failed(str(error), error.exit_code)
    except SystemExit:  # rich's, on a broken pipe
        return BROKEN_PIPE
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.EPIPE, errno.ENOSPC):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor at exit, when Python flushes
            if error.errno == errno.EPIPE:
                return BROKEN_PIPE
            return _failed("standard output cannot be written (no space left); send it elsewhere", 2)
        if TRACEBACK in os.environ:
            raise
        kind = type(error).__name__
        return _failed(f"a bug of ours, {kind}: {error} (set {TRACEBACK}=1 to see where)", EmuBug.exit_code)
    return result if isinstance(result, int) else 0


def _failed(sentence: str, exit_code: int) -> int:
    print(f"cyclescope: {' '.join(sentence.split())}", file=sys.stderr)
    return exit_code
