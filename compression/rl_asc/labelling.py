"""Frames with label maps, and the networks that learn to label: F of the coder's trials, H of others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from compression.errors import TrainingError
from compression.model.training.resumable import Trainer, Work
from compression.rl_asc.codec import images_of
from compression.rl_asc.networks import Labeller, cell_shares
from compression.rl_asc.settings import ConceptConfig

GROUP = 64
"""Frames that pass a network together where nothing is trained."""


@dataclass(frozen=True)
class Labelled:
    """Frames and what their pixels show. Malformed ones raise TrainingError."""

    frames: NDArray[np.uint8]
    """uint8[N, H, W, C]"""
    labels: NDArray[np.uint8]
    """uint8[N, H, W]"""

    def __post_init__(self) -> None:
        if self.frames.ndim != 4 or self.labels.shape != self.frames.shape[:3] or len(self.frames) < 2:
            raise TrainingError("there must be 2 frames or more, each with a label map of its size")

    def batch(self, size: int, generator: torch.Generator, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return images float32[size, C, H, W] and labels int64[size, H, W], drawn by chance."""
        chosen = torch.randint(len(self.frames), (size,), generator=generator).numpy()
        labels = torch.from_numpy(self.labels[chosen]).long()
        return images_of(self.frames[chosen]).to(device), labels.to(device)

    def cell_weights(self, parts: int) -> Tensor:
        """Return by what the share of a cell is measured, float32[M]: one over the share where the part is at all."""
        total, count = torch.zeros(parts), torch.zeros(parts)
        for first in range(0, len(self.labels), GROUP):
            shares = cell_shares(torch.from_numpy(self.labels[first : first + GROUP]).long(), parts)
            total += shares.sum((0, 2, 3))
            count += (shares > 0).sum((0, 2, 3))
        return torch.where(count > 0, count / total.clamp_min(1e-6), torch.ones(parts))

    def sums(self) -> list[int]:
        """Return numbers by which other data are told from these."""
        return [len(self.frames), int(self.frames.sum(dtype=np.int64)), int(self.labels.sum(dtype=np.int64))]


def train_labeller(
    data: Labelled,
    parts: int,
    work: Work,
    name: str,
    config: ConceptConfig,
    device: torch.device,
    told: Callable[[float], None] = lambda done: None,
) -> Labeller:
    """Return a network that labels pixels, trained on all labels alike, however rare."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = Labeller(data.frames.shape[3], parts).to(device)
    counts = np.bincount(data.labels.ravel(), minlength=parts)
    weights = torch.from_numpy(np.where(counts, 1 / np.sqrt(np.maximum(counts, 1)), 0)).float().to(device)

    def train() -> dict[str, Tensor]:
        trainer = Trainer(network, work, name, config.seed, config.labeller_steps)

        def loss(step: int) -> Tensor:
            images, labels = data.batch(config.batch, trainer.generator, device)
            return functional.cross_entropy(network(images), labels, weights)

        return dict(trainer.run(loss, config.learning_rate, 1.0, config.checkpoint_steps, told).state_dict())

    network.load_state_dict(work.stage(name, train))
    return network.eval().requires_grad_(False)
