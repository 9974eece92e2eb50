# SPDX-License-Identifier: GPL-2.0-or-later
"""Manifests: what is read, and that each mistake is named in one sentence with its place."""

import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.errors import ConfigError
from emu.ledger.components import CAUSES, COMPONENTS, MAX_COMPONENTS, REASONS, Taxonomy
from emu.ledger.install import taxonomy_of
from emu.ledger.manifest import ACTIONS, Argument, _Reader, load_manifest

GOOD = """
[personality]
name = "toy"
[components]
driver = ["virtio_net_*"]
lock = ["*_lock", "*_unlock"]
ip = ["ip_*"]
echo = ["echo_*"]
[program]
default = "app"
[program.components]
lock = ["kvd_lock*"]
[symbols]
spin = ["spin_lock_wait"]
idle = ["idle_*"]
[taxonomy]
components = ["echo"]
reasons = ["arp"]
[[probe]]
symbol = "virtio_net_take"
do = "bind"
key = "arg1"
[[probe]]
symbol = "ip_input"
at = "return"
do = "handoff"
key = "[ret + 0x18]"
reason = "arp"
[[probe]]
symbol = "context_switch"
do = "switch"
key = "arg0"
to = "[arg1-8]"
[[probe]]
symbol = "work"
do = "clear"
space = "program"
optional = true
"""


def load(tmp_path: Path, text: str):
    path = tmp_path / "manifest.toml"
    path.write_text(text)
    return load_manifest(path)


def test_a_manifest_is_read(tmp_path):
    manifest = load(tmp_path, GOOD)
    assert manifest.personality == {"name": "toy"}
    assert [manifest.kernel.component(s) for s in ("virtio_net_lock", "net_lock.isra.0", "ip_input.part.0.cold", "x")] == [
        "driver", "lock", "ip", "unknown",
    ]  # fmt: skip
    assert [manifest.program.component(s) for s in ("kvd_lock_wait", "main")] == ["lock", "app"]
    bind, handoff, switch, clear = manifest.probes
    assert (bind.id, bind.key, bind.at_return) == (0, Argument(1, False, 0), False)
    assert (handoff.key, handoff.reason, handoff.at_return) == (Argument(6, True, 24), "arp", True)
    assert (switch.key, switch.to) == (Argument(0, False, 0), Argument(1, True, -8))
    assert (clear.program, clear.optional) == (True, True)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("[personality]", "[personality"), "is not TOML"),
        (('driver = ["virtio_net_*"]', "driver = 3"), "[components] driver: is not a list of symbol patterns"),
        (('ip = ["ip_*"]', 'ipp = ["ip_*"]'), "[components]: 'ipp' is no component"),
        (('default = "app"', 'default = "ap"'), "[program] default: 'ap' is no component"),
        (("spin =", "spins ="), "[symbols]: there is no key 'spins'"),
        (
            ('components = ["echo"]', 'components = ["Echo"]'),
            "[taxonomy] components: is not a list of lower-case names",
        ),
        (('do = "bind"', 'do = "bnd"'), "probe 1 (virtio_net_take): do = 'bnd' is none of bind, tag"),
        (('do = "bind"\nkey = "arg1"', 'do = "bind"'), "probe 1 (virtio_net_take): 'bind' needs 'key'"),
        (('key = "arg1"', 'key = "arg6"'), "probe 1 (virtio_net_take) key: 'arg6' is neither"),
        (
            ('key = "arg1"', 'key = "ret"'),
            "probe 1 (virtio_net_take) key: the return value is known at = 'return' only",
        ),
        (('reason = "arp"\n[[', 'reason = "arpp"\n[['), "probe 2 (ip_input): 'arpp' is no reason to wait"),
        (('at = "return"', 'at = "exit"'), "probe 2 (ip_input): at = 'exit' is neither"),
        (('to = "[arg1-8]"', 'too = "[arg1-8]"'), "probe 3 (context_switch): there is no key 'too'"),
        (("[arg1-8]", "[arg1-0x80000000]"), "the offset 0x80000000 is too large"),
        (('symbol = "work"', ""), "probe 4: it names no symbol"),
        (('space = "program"', 'space = "user"'), "probe 4 (work): space = 'user' is neither"),
    ],
)
def test_mistakes_are_named(tmp_path, change, sentence):
    assert change[0] in GOOD
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, GOOD.replace(*change))
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'manifest.toml'}: ")
    assert sentence in text
    assert text.endswith(".")


def test_a_missing_manifest_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read"):
        load_manifest(tmp_path / "nowhere.toml")


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("m") / "manifest.toml"
    path.write_text(text, encoding="utf-8", errors="replace")
    with suppress(ConfigError):
        load_manifest(path)


_values = st.recursive(
    st.sampled_from(["arg0", "bind", "lock", "[arg0]", "return", 3, True, "x y", ""]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["lock", "default", "symbol"]), inner, max_size=2)
    ),
    max_leaves=4,
)
_entry = st.dictionaries(
    st.sampled_from(["symbol", "do", "key", "to", "at", "reason", "space", "optional", "name", "zz"]), _values
)
_tables = st.fixed_dictionaries(
    {},
    optional={
        "components": _values, "program": _values, "symbols": _values, "taxonomy": _values, "personality": _values,
        "probe": st.lists(_entry, max_size=2) | _values,
    },
)  # fmt: skip


@given(_tables)
def test_any_toml_is_read_or_refused(tables):
    with suppress(ConfigError):
        _Reader(Path("m.toml"), tables).manifest()


def test_names_of_several_manifests_share_one_taxonomy(tmp_path):
    taxonomy = taxonomy_of([load(tmp_path, GOOD), load(tmp_path, GOOD.replace('["arp"]', '["arp", "disk"]'))])
    assert taxonomy.components == (*COMPONENTS, "echo")
    assert taxonomy.reasons == (*REASONS, "arp", "disk")
    assert taxonomy.part_index["wait.disk"] == MAX_COMPONENTS + len(REASONS) + 1
    assert taxonomy.part_names[0] == "run.app"
    with pytest.raises(ConfigError, match="name 128 components; there is room for 64"):
        Taxonomy().extended([f"c{i}" for i in range(100)], [])


def test_names_are_those_of_the_core():
    """core.h fixes indices that C code uses by name."""
    header = (Path(__file__).parents[1] / "emu" / "core" / "core.h").read_text()
    names = header.split("enum cs_reason {")[1].split("}")[0].replace("CS_W_", "").lower().split(",")
    assert tuple(name.strip() for name in names) == REASONS
    actions = header.split("enum cs_probe_do {")[1].split("}")[0].replace("CS_", "").lower().split(",")
    assert tuple(name.strip() for name in actions) == tuple(ACTIONS)
    for name in ("idle", "irq_delivery", "unknown"):
        assert re.search(rf"CS_C_{name.upper()} = {COMPONENTS.index(name)}\b", header), name
    causes = header.split("enum cs_cause {")[1].split("*/")[1].split("CS_NCAUSES")[0]
    assert causes.count("CS_") == len(CAUSES)
