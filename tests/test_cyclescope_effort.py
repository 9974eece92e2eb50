# SPDX-License-Identifier: GPL-2.0-or-later
"""`effort`: its example runs, lines are counted as the compiler sees them, and files that are wrong are named."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cyclescope.cli import run_cli
from cyclescope.experiments.effort import read_ports
from cyclescope.experiments.sources import code_lines, image_size
from personalities.libos.personality import LibOS

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples" / "effort"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_examples_run(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["--requests", "200", "--warmup", "20", "--keys", "100", "--cpus", "1", "--timing", "fast", "--quiet"]
    assert run_cli(["effort", str(path), *words, "--out", str(out), "--json", str(tmp_path / "effort.json")]) == 0
    assert {each.name for each in out.iterdir()} == {"summary.json", "effort.svg"}
    ElementTree.fromstring((out / "effort.svg").read_text())
    document = json.loads((tmp_path / "effort.json").read_text())
    base, *ports = document["ports"]
    assert base["lines"]["written"] == base["lines"]["left_out"] == 0
    for port in ports:
        lines = port["lines"]
        assert lines["reused"] + lines["left_out"] == base["lines"]["reused"]
        assert port["lost"] == 0
        assert port["bytes"]["loaded"] == port["bytes"]["text"] + port["bytes"]["constants"] + port["bytes"]["data"]


def test_the_unmodified_port_makes_system_calls_and_the_others_none() -> None:
    """Its figures are in the example's run above; here, that it is the same program: nothing written, nothing left out."""
    _, ports = read_ports(EXAMPLES / "kvd.toml")
    found = {port.name: port.lines for port in ports}
    assert (found["unmodified"].written, found["unmodified"].left_out) == (0, 0)
    assert 0 < found["partly ported"].written < found["native"].written
    assert 0 < found["partly ported"].left_out < found["native"].left_out


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is the referee")
@pytest.mark.parametrize("path", sorted((ROOT / "personalities" / "libos" / "compat").glob("*.[chS]")), ids=lambda path: path.name)
def test_lines_are_counted_as_gcc_strips_comments(path: Path) -> None:
    command = ["gcc", "-E", "-dD", "-fpreprocessed", "-x", "c", str(path)]
    stripped = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    expected = sum(bool(line.strip()) and not line.startswith("# ") for line in stripped.splitlines())
    assert code_lines(path.read_text(), assembly=path.suffix == ".S") == expected


def test_comments_strings_and_directives() -> None:
    text = 'a; // one\n/* two\n three */ b;\n\nchar *s = "/* no comment \\" */"; /* c */\n// gone\n'
    assert code_lines(text) == 3
    assert code_lines("#include <x>\n# gone\n    nop # kept\n#define A 1\n", assembly=True) == 3


def test_sizes_are_those_of_size() -> None:
    image = LibOS().find("libos-kvd.elf")
    found = image_size([image])
    rows = subprocess.run(["size", str(image)], check=True, capture_output=True, text=True).stdout.splitlines()
    text, data, zero = (int(word) for word in rows[1].split()[:3])
    assert (found.text + found.constants, found.data, found.zero) == (text, data, zero)


PORT = '[[port]]\nname = "{}"\npersonality = "{}"\nsources = ["{}"]\n'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "Object missing required field `title`"),
        ('title = "x"\nport = []\n', "give a base and one port or more, each with a name of its own"),
        ('title = "x"\n' + PORT.format("a", "libos", "a.c") * 2, "each with a name of its own"),
        ('title = "x"\ncolour = 1\n', "unknown field `colour`"),
        ("title = ", "is no TOML"),
        ('title = "x"\n' + PORT.format("a", "libos", "b.c") + PORT.format("b", "libos", "a.c"), "'b.c' names no source file"),
        ('title = "x"\n' + PORT.format("a", "plan9", "a.c") + PORT.format("b", "libos", "a.c"), "There is no personality 'plan9'"),
        ('title = "x"\n' + PORT.format("a", "libos+x", "a.c") + PORT.format("b", "libos", "a.c"), "libos has no knob 'x'"),
        ('title = "x"\n' + PORT.format("a", "libos", "/a.c") + PORT.format("b", "libos", "a.c"), "'/a.c' is no pattern of files"),
        ('title = "x"\n' + PORT.format("a", "libos", "") + PORT.format("b", "libos", "a.c"), "'' is no pattern of files"),
        ("x = " + 3000 * "[" + 3000 * "]", "brackets are nested too deeply"),
        ("x = " + 5000 * "9", "is no TOML: Exceeds the limit"),
    ],
)
def test_wrong_files_are_named(text: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.c").write_text("int a;\n")
    path = tmp_path / "ports.toml"
    path.write_text(text)
    assert run_cli(["effort", str(path)]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert str(path) in error
    assert error.count("\n") == 1
