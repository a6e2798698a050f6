"""Rewards of pictures by the eyes of simulated people whose eyes are networks: what a tuning could at best go by."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from compression.fitting.tuning import Reward
from compression.model.latent_model import images_of
from racer.drivers.families.pixel_policy import network
from racer.drivers.families.viewers import Network, Viewer
from racer.drivers.registry import make_driver
from racer.tasks.task import Task

_BLUR = 0.3
"""Difference of two steering angles, of 0.1 radians, that costs half a nat: the noise of a middling person."""
_AT_ONCE = 256


def steering_reward(task: Task, originals: NDArray[np.uint8]) -> Reward:
    """Return the reward of `pixel-policy`: that pictures ask for the angle that originals, uint8[N, 64, 64, 3], do."""
    weights = {name: torch.from_numpy(array) for name, array in network().weights.items()}

    def see(images: Tensor) -> Tensor:
        values = functional.avg_pool2d(images, 2) - 0.5
        for name in ("conv1", "conv2"):
            kernel = weights[name].permute(3, 2, 0, 1)
            values = functional.conv2d(values, kernel, weights[f"{name}_bias"], stride=2).relu()
        flat = values.permute(0, 2, 3, 1).flatten(1)
        return (flat @ weights["dense"] + weights["dense_bias"]).relu() @ weights["out"] + weights["out_bias"]

    wanted = _of_all(see, originals)

    def reward(images: Tensor, index: NDArray[np.intp]) -> Tensor:
        return -((see(images) - wanted[index]) / _BLUR).square().mean() / 2

    return reward


def answering_reward(task: Task, originals: NDArray[np.uint8]) -> Reward:
    """Return the reward of `viewer-network`: that what is likely as an answer to originals is likely to pictures."""
    viewer = make_driver("viewer-network", task, 0)
    assert isinstance(viewer, Viewer) and isinstance(viewer.reader, Network)
    reader = viewer.reader
    mean, std = torch.from_numpy(reader.mean), torch.from_numpy(reader.std)
    layers = [
        (torch.from_numpy(weight).float(), torch.from_numpy(bias).float())
        for weight, bias in zip(reader.network.coefs_, reader.network.intercepts_, strict=True)
    ]
    binary = layers[-1][1].numel() == 1

    def see(images: Tensor) -> Tensor:
        light = images.mean(1)
        across, down = (torch.zeros_like(light) for _ in range(2))
        across[:, :, 1:], down[:, 1:] = light.diff(dim=2).abs(), light.diff(dim=1).abs()
        edges = functional.avg_pool2d(torch.stack([across, down], 1), 2).permute(0, 2, 3, 1).flatten(1)
        seen = torch.cat([(4 * edges).clamp_max(1), functional.avg_pool2d(light[:, None], 4).flatten(1)], 1)
        values = (seen - mean) / std
        for number, (weight, bias) in enumerate(layers):
            values = values @ weight + bias
            values = values.relu() if number + 1 < len(layers) else values
        return torch.cat([torch.zeros_like(values), values], 1) if binary else values

    wanted = _of_all(see, originals).softmax(1)

    def reward(images: Tensor, index: NDArray[np.intp]) -> Tensor:
        return -functional.cross_entropy(see(images), wanted[index])

    return reward


def _of_all(see: Callable[[Tensor], Tensor], frames: NDArray[np.uint8]) -> Tensor:
    with torch.no_grad():
        return torch.cat([see(images_of(frames[at : at + _AT_ONCE])) for at in range(0, len(frames), _AT_ONCE)])


ORACLES: Mapping[str, Callable[[Task, NDArray[np.uint8]], Reward]] = {
    "pixel-policy": steering_reward,
    "viewer-network": answering_reward,
}
"""By family."""
