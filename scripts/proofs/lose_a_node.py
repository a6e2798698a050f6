"""Spread a sweep over Ray nodes, kill one in the middle, and compare with what this process drives by itself.

    OMP_NUM_THREADS=1 SDL_VIDEODRIVER=dummy PYTHONPATH=. python scripts/proofs/lose_a_node.py

The nodes are of one machine (`ray.cluster_utils.Cluster`), each with a processor of its own to Ray; the head drives
nothing. The sweep is driven twice: undisturbed, which says how many cells each node had, and with the first node that
delivers killed without warning. Then empty tasks say what a task costs beside its work. Prints one JSON object; fails
if a score differs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import ray
from ray.cluster_utils import Cluster

from racer.engines import RayEngine
from racer.loop.lockstep import LANES
from racer.rates.driving import CellScore, drive
from racer.rates.grid import RatesConfig, sweep_settings
from racer.rates.sweep import Sweep, prepare_sweep

EMPTY = 300
"""Tasks that do nothing."""
Placed = tuple[str, Any]
"""A node, and what came of a task there."""


def placed(work: Callable[[Iterable[Any]], Iterable[Any]], tasks: Iterable[Any]) -> Iterator[Placed]:
    """Yield what each task comes to, and where."""
    node = ray.get_runtime_context().get_node_id()
    return ((node, result) for result in work(tasks))


def nothing(tasks: Iterable[int]) -> Iterable[int]:
    """Return the tasks."""
    return tasks


def spread(
    engine: RayEngine, sweep: Sweep, delivered: Callable[[str], None] = lambda node: None
) -> tuple[list[CellScore], Counter[str], float]:
    """Drive a sweep and return the scores in order, how many each node drove, and the seconds."""
    scores: list[CellScore] = []
    nodes: Counter[str] = Counter()
    begun = time.perf_counter()
    work = partial(placed, partial(drive, sweep.plan))
    for node, score in engine.spread(work, sweep.grid.cells, LANES, "people"):
        scores.append(score)
        nodes[node] += 1
        delivered(node)
    return sorted(scores, key=lambda score: score.cell.order), nodes, time.perf_counter() - begun


def main() -> None:
    """Drive the sweep in three ways."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=3, help="2 or more")
    parser.add_argument("--participants", type=int, default=12)
    parser.add_argument("--steps", type=int, default=40)
    args = parser.parse_args()
    settings = sweep_settings("car-racing", ["speed=60"])
    config = RatesConfig(
        "car-racing", settings, args.steps, ("pursuit",), bits=(12, 85), participants=args.participants, episodes=1
    )
    sweep = prepare_sweep(config, ("random", "pico"))
    begun = time.perf_counter()
    alone = sorted(drive(sweep.plan, sweep.grid.cells), key=lambda score: score.cell.order)
    alone_s = time.perf_counter() - begun
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(args.nodes)]
    engine = RayEngine(cluster.address)
    try:
        list(engine.spread(nothing, range(args.nodes), 1, "nothing"))  # processes are there
        undisturbed, shares, undisturbed_s = spread(engine, sweep)
        begun = time.perf_counter()
        list(engine.spread(nothing, range(EMPTY), 1, "nothing"))
        empty_s = time.perf_counter() - begun
        killed: list[str] = []

        def kill(node: str) -> None:
            if not killed:
                killed.append(node)
                cluster.remove_node(next(each for each in nodes if each.node_id == node), allow_graceful=False)

        disturbed, left, disturbed_s = spread(engine, sweep, kill)
    finally:
        engine.close()
        cluster.shutdown()  # type: ignore[no-untyped-call]
    told = {
        "nodes": args.nodes,
        "cells": len(alone),
        "cells_in_a_task": min(LANES, -(-len(alone) // args.nodes)),
        "cells_by_node": sorted(shares.values()),
        "cells_by_node_with_one_killed": {node[:8] + " (killed)" * (node in killed): left[node] for node in left},
        "seconds": {
            "in_this_process": round(alone_s, 1),
            "on_the_nodes": round(undisturbed_s, 1),
            "on_the_nodes_with_one_killed": round(disturbed_s, 1),
        },
        "ms_for_an_empty_task": round(1000 * empty_s / EMPTY, 2),
        "ms_of_that_for_a_cell": round(1000 * empty_s / EMPTY / min(LANES, -(-len(alone) // args.nodes)), 3),
        "the_same_scores": undisturbed == alone,
        "the_same_scores_with_one_killed": disturbed == alone,
    }
    print(json.dumps(told, indent=2))
    sys.exit(not (undisturbed == disturbed == alone and killed))


if __name__ == "__main__":
    main()
