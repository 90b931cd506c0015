"""Recurrent layers whose units are the nodes of a random graph: sparse by construction.

A unit reads itself and its neighbours, in all of its gates. The two generators are drawn from
`edgelearn.rng`, so that a structure follows from its seed for ever; the properties of graphs are
networkx's (extra ``sparse``), which no device needs.

Source: "Investigating Sparsity in Recurrent Neural Networks" (arXiv:2407.20601), whose gate masks
differ: there rows are repeated in an order that does not fit the gates, and recurrent weights stay
dense.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np

from edgelearn.arrays import Array, Mask
from edgelearn.errors import ConfigError, MissingRuntime
from edgelearn.rng import Stream, bits

GraphKind: TypeAlias = Literal["watts_strogatz", "barabasi_albert"]
TRIES = 100
"""How many graphs are drawn until one is connected."""


def watts_strogatz(nodes: int, links: int, rewire: float, seed: int, index: int = 0) -> Array:
    """A connected small world: a ring, of whose links some are moved at random.

    Parameters
    ----------
    nodes : int
    links : int
        Neighbours of a node in the ring; an odd one is rounded down, as by networkx.
    rewire : float
        The probability that a link is moved, 0 to 1.
    seed, index : int

    Returns
    -------
    bool array, shape (nodes, nodes)
        Symmetric, its diagonal False.

    Raises
    ------
    ConfigError
        If there are too few or too many links, or no connected graph is found.

    Notes
    -----
    Source: Watts & Strogatz (1998).
    """
    _require_links(nodes, links, fewest=2)
    for attempt in range(TRIES):
        found = _rewired(nodes, links // 2, rewire, seed, index * TRIES + attempt)
        if is_connected(found):
            return found
    raise ConfigError(
        "structure 'watts_strogatz'",
        expected=f"a connected graph within {TRIES} tries",
        got="none",
        fix="add links, or rewire fewer",
    )


def barabasi_albert(nodes: int, links: int, seed: int, index: int = 0) -> Array:
    """A scale-free graph: each new node links to `links` others, sooner to those with many links.

    Returns, raises: as `watts_strogatz`.

    Notes
    -----
    Source: Barabasi & Albert (1999), from a star of ``links + 1`` nodes. Nodes are drawn without
    replacement by the largest of ``log(u) / degree`` (Efraimidis & Spirakis 2006).
    """
    _require_links(nodes, links, fewest=1)
    found = np.zeros((nodes, nodes), np.bool_)
    found[0, 1 : links + 1] = found[1 : links + 1, 0] = True
    for node in range(links + 1, nodes):
        drawn = np.log(_uniform(seed, index * nodes + node, node))
        chosen = np.argsort(drawn / found[:node].sum(axis=1), kind="stable")[-links:]
        found[node, chosen] = found[chosen, node] = True
    return found


def draw(kind: GraphKind, nodes: int, links: int, rewire: float, seed: int, index: int) -> Array:
    """A graph of `kind`; `rewire` is for small worlds."""
    if kind == "watts_strogatz":
        return watts_strogatz(nodes, links, rewire, seed, index)
    return barabasi_albert(nodes, links, seed, index)


def recurrent_mask(graph: Array, gates: int) -> Mask:
    """The mask of recurrent weights (units, gates * units): gate g of unit j is column g units + j.

    >>> recurrent_mask(np.array([[False, True, False], [True, False, False], [False] * 3]), 2)[0]
    array([1, 1, 0, 1, 1, 0], dtype=uint8)
    """
    own = np.eye(len(graph), dtype=np.bool_)
    return np.tile(graph | own, gates).astype(np.uint8)


def is_connected(graph: Array) -> bool:
    """Whether there is a path from each node to every other."""
    seen = np.zeros(len(graph), np.bool_)
    seen[0] = True
    for _ in range(len(graph)):
        seen |= graph[seen].any(axis=0)
    return bool(seen.all())


def properties(graph: Array) -> dict[str, float]:
    """What the study correlates with accuracy; ``_var`` are variances over nodes or edges.

    Layers, sources and sinks are those of the graph with every edge from the lower number to the
    higher: a node's layer is the longest way to it, sources are the first layer, sinks the last.

    Raises
    ------
    MissingRuntime
        If networkx is not installed.
    """
    nx = _networkx()
    g = nx.from_numpy_array(graph)
    depth = _layers(graph)
    found = {
        "nodes": len(graph),
        "edges": g.number_of_edges(),
        "layers": int(depth.max()) + 1,
        "source_nodes": int((depth == 0).sum()),
        "sink_nodes": int((depth == depth.max()).sum()),
        "diameter": nx.diameter(g),
        "density": nx.density(g),
        "average_shortest_path_length": nx.average_shortest_path_length(g),
    }
    values = {
        "eccentricity": nx.eccentricity(g),
        "degree": nx.degree_centrality(g),
        "closeness": nx.closeness_centrality(g),
        "node_betweenness": nx.betweenness_centrality(g),
        "edge_betweenness": nx.edge_betweenness_centrality(g),
    }
    for name, by_place in values.items():
        of_all = np.array(list(by_place.values()), np.float64)
        found |= {f"{name}_mean": float(of_all.mean()), f"{name}_var": float(of_all.var(ddof=1))}
    return found


def _rewired(nodes: int, reach: int, rewire: float, seed: int, index: int) -> Array:
    """A ring whose nodes are linked with `reach` on either side, and then moved at random."""
    found = np.zeros((nodes, nodes), np.bool_)
    every = np.arange(nodes)
    for step in range(1, reach + 1):
        found[every, (every + step) % nodes] = found[(every + step) % nodes, every] = True
    chances = _uniform(seed, index, 2 * nodes * reach).reshape(reach, nodes, 2)
    for step in range(1, reach + 1):
        for node in range(nodes):
            moved, place = chances[step - 1, node]
            free = np.flatnonzero(~found[node] & (every != node))
            if moved < rewire and free.size:
                old, new = (node + step) % nodes, free[int(place * free.size)]
                found[node, old] = found[old, node] = False
                found[node, new] = found[new, node] = True
    return found


def _uniform(seed: int, index: int, count: int) -> Array:
    """Numbers in (0, 1)."""
    found: Array = ((bits(seed, Stream.GRAPH, index, count) >> np.uint64(12)) + 0.5) * 2.0**-52
    return found


def _layers(graph: Array) -> Array:
    """The longest way to each node along edges to higher numbers."""
    depth = np.zeros(len(graph), np.int64)
    for node in range(len(graph)):
        before = depth[:node][graph[node, :node]]
        depth[node] = before.max(initial=-1) + 1
    return depth


def _networkx() -> Any:
    try:
        import networkx as nx  # noqa: PLC0415  only those who study structures need it
    except ImportError:
        raise MissingRuntime(
            "properties of graphs",
            expected="networkx",
            got="none",
            fix="pip install 'edgelearn[sparse]'",
        ) from None
    return nx


def _require_links(nodes: int, links: int, fewest: int) -> None:
    if not fewest <= links < nodes:
        raise ConfigError(
            f"structure of {nodes} units",
            expected=f"{fewest} to {nodes - 1} links",
            got=f"{links}",
            fix="change links, or the number of units",
        )
