# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line. `main` turns every error of ours into one sentence and a documented exit code.

Exit codes: 0 done; 1 the check asked for failed (`replay --check`); 2 the user asked for nonsense; 3 the guest broke a rule or
ended badly; 4 the guest needs what is not modelled; 70 a bug of ours; 130 interrupted. `run` gives the guest's own exit status.
"""

from __future__ import annotations

import sys

import click

from cyclescope.cli.app import app
from emu.errors import CyclescopeError

INTERRUPTED = 130


def main() -> None:
    """The console script's entry point; never returns."""
    sys.exit(run_cli(sys.argv[1:]))


def run_cli(arguments: list[str]) -> int:
    """Runs one command and returns its exit code; prints errors as one sentence on standard error."""
    try:
        result = app(arguments, standalone_mode=False, prog_name="cyclescope")
    except click.exceptions.Exit as exit_request:
        return int(exit_request.exit_code)
    except (click.exceptions.Abort, KeyboardInterrupt):
        print("cyclescope: interrupted; nothing was written", file=sys.stderr)
        return INTERRUPTED
    except click.UsageError as error:
        print(f"cyclescope: {error.format_message()} (see --help)", file=sys.stderr)
        return 2
    except CyclescopeError as error:
        print(f"cyclescope: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        return 141
    return result if isinstance(result, int) else 0
