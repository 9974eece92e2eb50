# SPDX-License-Identifier: GPL-2.0-or-later
"""A CPython of this host for the guest: of its standard library what a program needs, as bytecode without sources.

The whole library is 50 MB, and its cached bytecode is no good in a guest, where sources have other times: each start would
compile it anew.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from emu.errors import ConfigError

_LOOK = """
import sys
for name in sys.argv[1:]:
    __import__(name)
import encodings.utf_8, encodings.ascii, encodings.latin_1
found = {name: getattr(module, "__file__", None) for name, module in sys.modules.items() if name != "__main__"}
import json, os
print(json.dumps([os.path.dirname(os.__file__), [file for file in found.values() if file]]))
"""
_COMPILE = """
import json, py_compile, sys
for source, target, shown in json.load(sys.stdin):
    py_compile.compile(source, target, shown, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
"""


def python_files(interpreter: Path, modules: Sequence[str], scripts: Sequence[Path] = (), *, keep: Path) -> dict[str, Path]:
    """Files for `interpreter -S -E` in the guest, by their places there; run it with the scripts' folder, /python, in sys.path.

    Args:
        modules: that the scripts import from the standard library.
        scripts: further modules, and programs: /python/NAME.py.
        keep: a folder for the bytecode, which must last as long as what is returned.
    Raises:
        ConfigError: the interpreter cannot be run, or has no such module.
    """
    folder, found = json.loads(_run(interpreter, _LOOK, modules))
    library = Path(folder)
    placed: dict[str, Path] = {f"/python/{script.name}": script for script in scripts}
    jobs = []
    for file in sorted({*map(Path, found), library / "os.py"}):  # os.py: by which it finds its library
        if file.suffix != ".py":
            placed[str(file)] = file
            continue
        inside = file.relative_to(library).with_suffix(".pyc")
        (keep / inside).parent.mkdir(parents=True, exist_ok=True)
        jobs.append([str(file), str(keep / inside), str(file)])
        placed[str(library / inside)] = keep / inside
    _run(interpreter, _COMPILE, [], json.dumps(jobs))
    return placed


def _run(interpreter: Path, program: str, arguments: Sequence[str], text: str = "") -> str:
    command = [str(interpreter), "-S", "-E", "-c", program, *arguments]
    try:
        with tempfile.TemporaryDirectory() as empty:
            done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False, cwd=empty)
    except OSError as error:
        raise ConfigError(f"{interpreter}: cannot be run ({error.strerror}); give a CPython of this host.") from error
    if done.returncode:
        why = done.stderr.strip().splitlines()[-1:] or ["it says nothing"]
        raise ConfigError(f"{interpreter}: {why[0]}.")
    return done.stdout
