# SPDX-License-Identifier: GPL-2.0-or-later
"""Which links a cluster has: those written down, and one to the switch for whoever has none. They must make a tree."""

from __future__ import annotations

import msgspec

from cyclescope.cluster.operator import OPERATOR
from cyclescope.cluster.provisioner import PROVISIONER
from cyclescope.cluster.spec import CLIENT, Cluster, LinkSpec
from emu.errors import ConfigError


def links_of(cluster: Cluster) -> tuple[LinkSpec, ...]:
    """All links; the second end of each is a switch.

    Raises ConfigError for ends that are not there, nodes with two links or none, and switches in a ring or apart.
    """
    try:
        return _links(cluster)
    except ConfigError as error:
        raise ConfigError(f"{cluster.where}: {error}") from None


def _links(cluster: Cluster) -> tuple[LinkSpec, ...]:
    switches = [switch.name for switch in cluster.switches]
    asked = [*((PROVISIONER,) if cluster.pools else ()), *((OPERATOR,) if cluster.commands else ())]
    leaves = [CLIENT, *(node.name for node in cluster.nodes), *asked]
    linked: set[str] = set()
    group = {name: name for name in switches}  # switches that hang together have one name
    links: list[LinkSpec] = []
    for link in cluster.links:
        where = f"[[link]] {' - '.join(link.ends)}"
        for end in link.ends:
            if end not in leaves and end not in switches:
                raise ConfigError(f"{where}: nothing is called {end!r}; there are: {', '.join(leaves + switches)}")
        first, second = sorted(link.ends, key=lambda end: end in switches)
        if second not in switches:
            raise ConfigError(f"{where}: no end of it is a switch; link both to one")
        if first in switches:
            one, other = group[first], group[second]
            if one == other:
                raise ConfigError(f"{where}: with this link, frames could go in a circle; take one link of the ring away")
            group = {name: other if at == one else at for name, at in group.items()}
        elif first in linked:
            raise ConfigError(f"{where}: {first} has a link already; a node has one NIC")
        linked.add(first)
        _check_rates(link, where)
        links.append(msgspec.structs.replace(link, ends=(first, second)))
    for leaf in leaves:
        if leaf not in linked:
            if len(switches) != 1:
                raise ConfigError(f"{leaf} hangs on no switch, and there are {len(switches)}; give it a [[link]]")
            links.append(LinkSpec(ends=(leaf, switches[0])))
    if len(set(group.values())) > 1:
        apart = next(name for name in switches if group[name] != group[switches[0]])
        raise ConfigError(f"[[switch]] {apart} and {switches[0]} are not joined; give a [[link]] between them")
    return tuple(links)


def _check_rates(link: LinkSpec, where: str) -> None:
    shares = {"loss": link.loss, "duplicate": link.duplicate, "reorder": link.reorder}
    for key, share in shares.items():
        if not 0 <= share <= 1:
            raise ConfigError(f"{where}: {key} is {share}: give a share of the frames from 0 to 1")
    limits = {"jitter_us": link.jitter_us, "reorder_us": link.reorder_us, "propagation_ns": link.propagation_ns}
    for key, value in limits.items():
        if not 0 <= value <= 1e9:
            raise ConfigError(f"{where}: {key} is {value}: give 0 to 1e9")
    if not 1_000_000 <= link.rate_bps <= 400_000_000_000:
        raise ConfigError(f"{where}: rate is {link.rate_bps}: give 1M to 400G")
    for begin, end in link.down_us:
        if not 0 <= begin < end <= 1e9:
            raise ConfigError(f"{where}: down_us has [{begin}, {end}]: give when it goes down, then when it comes up")

