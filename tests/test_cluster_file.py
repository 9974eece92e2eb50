# SPDX-License-Identifier: GPL-2.0-or-later
"""Cluster files: what is read, and one sentence naming file, place and remedy for what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from cyclescope.cli import run_cli
from cyclescope.cluster.file import read_cluster
from cyclescope.cluster.host import NODE_MIB, available_mib, check_memory
from cyclescope.cluster.poolspec import FIRMWARE_US
from cyclescope.cluster.topology import links_of
from emu.errors import ConfigError

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "clusters"
A = '[[node]]\nname = "a"\n'
B = '[[node]]\nname = "b"\n'
POOL = '[[pool]]\nname = "p"\n'
LOAD = "[load]\nclosed = 4\n"


def read(tmp_path: Path, text: str):
    path = tmp_path / "c.toml"
    path.write_text(text)
    return read_cluster(path)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_examples_are_read(path: Path):
    cluster = read_cluster(path)
    assert cluster.name == path.stem
    assert len(links_of(cluster)) == len(cluster.nodes) + 1


def test_what_is_left_out_gets_its_place(tmp_path: Path):
    cluster = read(tmp_path, A + B + '[[link]]\nends = ["switch", "b"]\nrate = "2.5G"\n' + LOAD)
    assert [cluster.ip_of(node) for node in cluster.nodes] == ["10.0.2.15", "10.0.2.16"]
    assert len({cluster.mac_of(node) for node in cluster.nodes}) == 2
    links = {link.ends: link.rate_bps for link in links_of(cluster)}
    assert links == {("b", "switch"): 2_500_000_000, ("client", "switch"): 10**10, ("a", "switch"): 10**10}
    assert cluster.targets == cluster.nodes


def test_the_pages_example_is_a_cluster(tmp_path: Path):
    page = (EXAMPLES.parents[1] / "docs" / "cluster.md").read_text()
    cluster = read(tmp_path, page.split("```toml\n")[1].split("```")[0])
    assert [node.name for node in cluster.nodes] == ["front", "back1"]
    assert cluster.links[0].down_us == ((300.0, 400.0),)


def test_the_elasticity_pages_pool_is_one(tmp_path: Path):
    page = (EXAMPLES.parents[1] / "docs" / "elasticity.md").read_text()
    pool = read(tmp_path, A + page.split("```toml\n")[1].split("```")[0] + LOAD).pools[0]
    assert (pool.max, pool.most_starts, pool.warm, pool.firmware_us) == (4, 8, 1, FIRMWARE_US)


TWO = '[[switch]]\nname = "s"\n[[switch]]\nname = "t"\n'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x = 1\n", "there is no table 'x'; there are: cluster, node, link, switch, kill, do, pool, load"),
        ("[[node]\n", "is not TOML"),
        (LOAD, "0 nodes: give 1 to 64 [[node]] tables"),
        (A + "colour = 1\n", "[[node]] a: there is no key 'colour'; there are: name, personality"),
        ("[cluster]\nnodes = 3\n" + A, "[cluster]: there is no key 'nodes'"),
        ("[[node]]\nmem = 5\n", "[[node]] 1: mem is 5: write it as text"),
        (A + 'mem = "5 apples"\n', "[[node]] a: mem: '5 apples' is no memory size"),
        (A + 'mem = "16G"\n' + LOAD, "[[node]] a: mem is 16384: give 64 to 8192 MiB"),
        (A + 'vcpus = "two"\n', "[[node]] a vcpus: expected `int`, got `str`"),
        (A + "vcpus = 17\n" + LOAD, "[[node]] a: vcpus is 17: give 1 to 16"),
        (A + A + LOAD, "[[node]] a: that name is taken"),
        ('[[node]]\nname = "client"\n' + LOAD, "[[node]] client: that name is taken"),
        ('[[node]]\nname = "a/b"\n' + LOAD, "[[node]] name 'a/b': up to 60 letters, digits"),
        (A + 'ip = "10.0.2.2"\n' + LOAD, "[[node]] a: ip 10.0.2.2 is the client's already"),
        (A + 'ip = "10.0.2.16"\n' + B + LOAD, "[[node]] b: ip 10.0.2.16 is a's already"),
        (A + 'ip = "10.0.3.1"\n' + LOAD, "[[node]] a: ip 10.0.3.1 is not in 10.0.2.0/24"),
        (A + 'ip = "10.0.2"\n' + LOAD, "[[node]] a: not an IPv4 address: '10.0.2'"),
        (A + 'mac = "52:54:00:12:34:57"\n' + B + LOAD, "[[node]] b: mac 52:54:00:12:34:57 is a's already"),
        (A + 'mac = "ff:ff:ff:ff:ff:ff"\n' + LOAD, "[[node]] a: mac ff:ff:ff:ff:ff:ff is no address of one machine"),
        (A + 'role = "front"\n' + LOAD, '[[node]] a: a front end needs back ends; give some node or pool the role "back"'),
        (A + '[[link]]\nends = ["a", "c"]\n' + LOAD, "[[link]] a - c: nothing is called 'c'"),
        (A + B + '[[link]]\nends = ["a", "b"]\n' + LOAD, "[[link]] a - b: no end of it is a switch"),
        (A + 2 * '[[link]]\nends = ["a", "switch"]\n' + LOAD, "[[link]] a - switch: a has a link already"),
        (A + '[[link]]\nends = ["a", "switch"]\nloss = 2.0\n' + LOAD, "[[link]] a - switch: loss is 2.0: give a share"),
        (A + '[[link]]\nends = ["a", "switch"]\nrate = "9"\n' + LOAD, "[[link]] 1: rate: '9': give a link rate"),
        (A + '[[link]]\nends = ["a", "switch"]\ndown_us = [[5, 5]]\n' + LOAD, "[[link]] a - switch: down_us has [5.0, 5.0]"),
        (A + TWO + LOAD, "client hangs on no switch, and there are 2"),
        (A + TWO + 2 * '[[link]]\nends = ["s", "t"]\n' + LOAD, "[[link]] s - t: with this link, frames could go in a circle"),
        (A + '[[link]]\nends = ["switch", "switch"]\n' + LOAD, "frames could go in a circle"),
        (
            A + TWO + '[[link]]\nends = ["a", "s"]\n[[link]]\nends = ["client", "s"]\n' + LOAD,
            "[[switch]] t and s are not joined; give a [[link]] between them",
        ),
        (A + '[[kill]]\nnode = "b"\nat_us = 1\n' + LOAD, "[[kill]] node 'b': there is no such node"),
        (A + '[load]\nto = ["b"]\nclosed = 1\n', "[load] to: there is no node 'b'"),
        (A + "[load]\n", "[load]: give either rate (requests/s) or closed"),
        (A + "[load]\nclosed = 1\nrate = 5\n", "[load]: give either rate (requests/s) or closed"),
        (A + '[load]\nclosed = 1\nspread = "random"\n', "[load] spread: invalid enum value 'random'"),
        (A + POOL + "max = 40\n" + LOAD, "1 nodes and 80 starts of pools are more than 64 machines; give a [[pool]] fewer starts"),
        (A + POOL + "warm = 5\n" + LOAD, "[[pool]] p: warm is 5: give 0 to 4"),
        (A + POOL + "max = 0\n" + LOAD, "[[pool]] p: max is 0: give 1 to 63"),
        (A + POOL + "starts = 3\n" + LOAD, "[[pool]] p: starts is 3: give 4 to 63"),
        (A + POOL + 'rate = "1"\n' + LOAD, "[[pool]] p: rate: '1': give a link rate"),
        (A + POOL + 'switch = "s"\n' + LOAD, "[[pool]] p: there is no switch 's'"),
        (A + POOL + 'colour = "red"\n' + LOAD, "[[pool]] p: there is no key 'colour'; there are: name, personality"),
        ('[[node]]\nname = "p-2"\n' + POOL + LOAD, "[[pool]] p: one of its machines will be called p-2, which is taken"),
        (A + 'ip = "10.0.2.3"\n' + POOL + LOAD, "[[node]] a: ip 10.0.2.3 is the provisioner's already"),
        (A + 'ip = "10.0.2.17"\n' + POOL + LOAD, "[[node]] a: ip 10.0.2.17 is a pool's machine's already"),
        (A + "[load]\nsteps = [[0, 5]]\n", "[load] steps: give [time in us, requests/s] pairs"),
        (A + "[load]\nsteps = [[0, 5], [10, 5]]\n", "[load] steps: the last rate ends the load: make it 0"),
        (A + "[load]\nsteps = [[0, 5], [10, 0]]\n", "[load] steps: the number of requests is 0: give 1"),
        (A + "[load]\nrate = 5\nsteps = [[0, 5e5], [100, 0]]\n", "[load]: give either rate (requests/s) or closed"),
        (A + "[load]\nclosed = 0\n", "[load] closed is 0: give 1 to 10000"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(tmp_path: Path, text: str, sentence: str, capsys):
    path = tmp_path / "c.toml"
    path.write_text(text)
    assert run_cli(["cluster", "run", str(path)]) == 2
    said = capsys.readouterr().err
    assert str(path) in said
    assert sentence in said
    assert said.count("\n") == 1


def test_a_file_that_is_not_there(capsys):
    assert run_cli(["cluster", "run", "/nowhere/c.toml"]) == 2
    assert "/nowhere/c.toml: cannot be read (No such file or directory)" in capsys.readouterr().err


def test_an_unknown_personality_or_program_names_its_node(tmp_path: Path, capsys):
    for line, sentence in (
        ('personality = "plan9"', "There is no personality 'plan9'"), ('program = "vi"', "vi is not there"),
        (POOL + 'personality = "plan9"', "There is no personality 'plan9'"),
        (POOL + 'program = "vi"', "libos-vi.elf is not there"),
    ):  # fmt: skip
        path = tmp_path / "c.toml"
        path.write_text(A + line + "\n" + LOAD)
        assert run_cli(["cluster", "run", str(path)]) == 2
        said = capsys.readouterr().err
        assert f"{path}: [[{'pool]] p' if POOL in line else 'node]] a'}: " in said
        assert sentence in said


def test_memory_is_counted_before_anything_starts(tmp_path: Path):
    cluster = read(tmp_path, A + 'mem = "64M"\n' + B + 'mem = "128M"\n' + LOAD)
    need = 64 + 128 + 2 * NODE_MIB
    check_memory(cluster, need)
    check_memory(cluster, None)
    with pytest.raises(ConfigError, match=rf"c.toml: 2 nodes may need {need} MiB, and this computer has {need - 1} MiB free"):
        check_memory(cluster, need - 1)
    pooled = read(tmp_path, A + 'mem = "64M"\n' + POOL + "max = 3\nstarts = 5\n" + LOAD)
    with pytest.raises(ConfigError, match=r"6 nodes may need 768 MiB, and this computer has 767 .* fewer starts"):
        check_memory(pooled, 767)
    assert available_mib(tmp_path / "nothing") is None
    assert (available_mib() or 0) > 0


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x = " + 3000 * "[" + 3000 * "]" + "\n" + A + LOAD, "is not TOML: brackets are nested too deeply"),
        (A + f"vcpus = {5000 * '9'}\n" + LOAD, "is not TOML: Exceeds the limit"),
        (A + "[load]\nsteps = [[0, 5e5], [nan, 0]]\n", "[load] steps: give [time in us, requests/s] pairs"),
        ('[cluster]\nname = "../out"\n' + A + LOAD, "[cluster] name '../out': a folder of --out has it"),
        ('[cluster]\nname = ".."\n' + A + LOAD, "[cluster] name '..': a folder of --out has it"),
        ('[cluster]\nname = "host.json"\n' + A + LOAD, "[cluster] name 'host.json': a folder of --out has it"),
        (f'[[node]]\nname = "{100 * "a"}"\n' + LOAD, "up to 60 letters, digits, - _ and . make a name"),
        (A + 'role = ""\n' + LOAD, "[[node]] a: role '': give a word"),
        ('[cluster]\ntiming = "slow"\n' + A + LOAD, "[cluster] timing is 'slow': give functional or fast or detailed"),
        (A + 'program = "*"\n' + LOAD, "[[node]] a: linux_like: "),
        (A + f'program = "{5000 * "a"}"\n' + LOAD, "is no file's name"),
    ],
    ids=lambda text: text[:20] if isinstance(text, str) else None,
)
def test_what_a_run_would_have_stumbled_over_is_refused_before_it(tmp_path: Path, text: str, sentence: str, capsys):
    test_what_does_not_fit_is_refused_in_a_sentence(tmp_path, text, sentence, capsys)
