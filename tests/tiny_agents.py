"""Agents that no training took: random weights and tables from a seed, for latent models of any sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from compression.coders.ladder import Ladder, fit_rungs, frequencies_of
from compression.fitting.fitted import FittedRecord, dump_fitted
from compression.model.agent import Agent, agent_sizes
from compression.model.latent_model import LatentModel
from compression.model.sizes import Sizes
from compression.model.vae import Decoder

LATENTS = 10


def random_ladder(coordinates: int = LATENTS, seed: int = 0) -> Ladder:
    """Return tables of coordinates that say less and less, the last of which is always the same."""
    rng = np.random.default_rng(seed)
    scales = np.linspace(6, 0.3, coordinates)
    numbers = np.rint(rng.normal(rng.normal(0, 4, coordinates), scales, (400, coordinates))).astype(np.int64)
    numbers[:, -1] = -3
    lowest = numbers.min(0)
    frequencies = np.zeros((coordinates, int((numbers - lowest).max()) + 1), np.int64)
    for place, column in enumerate((numbers - lowest).T):
        counted = frequencies_of(np.bincount(column) + 0.01)
        frequencies[place, : len(counted)] = counted
    return Ladder(lowest, frequencies, fit_rungs(lowest, frequencies, numbers))


def tiny_agent(sizes: Sizes, seed: int = 0) -> dict[str, NDArray[np.floating]]:
    """Return the tensors of an agent for a latent model of these sizes."""
    own, ladder = agent_sizes(sizes, LATENTS), random_ladder(seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        networks = {"agent": Agent(own), "decoder": Decoder(own)}
    tensors = {
        f"{part}.{name}": 3 * tensor.half().numpy()
        for part, network in networks.items()
        for name, tensor in network.state_dict().items()
    }
    tables = {"lowest": ladder.lowest, "frequencies": ladder.frequencies, "rungs": ladder.rungs, "step": np.ones(1)}
    return tensors | {name: table.astype(np.float32) for name, table in tables.items()}


def write_tiny_agent(
    model: LatentModel, path: Path, seed: int = 0, task: str = "tiny", drivers: tuple[str, ...] = ()
) -> Path:
    """Write the file of an agent for a latent model; return its path."""
    record = FittedRecord("agent", model.sha256, (), (), (seed,), {"seed": seed}, task=task, drivers=drivers)
    path.write_bytes(dump_fitted(tiny_agent(model.sizes, seed), record))
    return path
