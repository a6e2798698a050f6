"""An agent whose feature extractor is an encoder: what it acts by is a short list of numbers that can be sent.

After J. Bader and P. N. von Bachmann, "Extremely Lossy Compression through Reinforcement Learning" (2021), sections 3.1
and 3.2: the policy sees nothing of a frame but z, which is rounded when used; noise stands for rounding in training.
Unlike theirs, the policy also sees the z of a few steps ago, since one picture does not show how fast anything moves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compression.errors import SizeError
from compression.model.latent_model import images_of
from compression.model.sizes import Sizes
from compression.model.vae import Decoder

LAG = 4
"""Steps between the two latents that the policy sees."""
_DENSE = 128
_GROUP = 256
"""Frames that pass the extractor together."""
_LEFT = 4
"""Rows and columns, at most, of what the convolutions leave of a frame."""


def agent_sizes(sizes: Sizes, latents: int) -> Sizes:
    """Return the sizes of an agent that sees the frames and does the actions of a latent model.

    Raises:
        SizeError: If no agent has so many latents.
    """
    if latents % 2:
        raise SizeError(f"the latents of an agent must be an even number; got {latents}")
    return Sizes(sizes.frame, latents, blocks=2, actions=sizes.actions, hidden=0, dense=_DENSE)


class Extractor(nn.Module):
    """Maps images float32[N, C, H, W] in [0, 1] to z, float32[N, latents].

    Args:
        sizes: Of the agent.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        rows, columns, channels = sizes.frame
        # Full size is costly and says little: neighbouring pixels are alike.
        layers: list[nn.Module] = [nn.Conv2d(channels, 32, 6, 4, 1), nn.SiLU()]
        rows, columns, channels = rows // 4, columns // 4, 32
        while max(rows, columns) > _LEFT:
            layers += [nn.Conv2d(channels, 64, 3, 2, 1), nn.SiLU()]
            rows, columns, channels = -(-rows // 2), -(-columns // 2), 64
        flat = channels * rows * columns
        dense = nn.Linear(flat, sizes.dense), nn.SiLU(), nn.Linear(sizes.dense, sizes.latents)
        self.layers = nn.Sequential(*layers, nn.Flatten(), *dense)

    def forward(self, images: Tensor) -> Tensor:
        """Return z."""
        z: Tensor = self.layers(images)
        return z


class Agent(nn.Module):
    """An extractor, and a policy that sees what it made of two frames.

    Args:
        sizes: Of the agent.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.extractor = Extractor(sizes)
        self.policy = nn.Sequential(
            nn.Linear(2 * sizes.latents, sizes.dense), nn.SiLU(), nn.Linear(sizes.dense, sizes.actions)
        )

    def forward(self, now: Tensor, before: Tensor) -> Tensor:
        """Return the logits of the actions, float32[N, actions], for two latents, float32[N, latents] each."""
        logits: Tensor = self.policy(torch.cat([now, before], 1))
        return logits


@dataclass(frozen=True, eq=False)
class QuantisedAgent:
    """An agent as it is used: its latents are whole multiples of a step."""

    agent: Agent
    step: float
    """What latents are rounded to."""

    def latents(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the latents, float32[N, latents], of frames, uint8[N, H, W, C], before rounding."""
        with torch.inference_mode():
            pieces = [self.agent.extractor(images_of(frames[at : at + _GROUP])) for at in range(0, len(frames), _GROUP)]
        latents: NDArray[np.float32] = torch.cat(pieces).numpy()
        return latents

    def rounded(self, latents: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return latents as the policy sees them."""
        rounded: NDArray[np.float32] = (np.rint(latents / self.step) * self.step).astype(np.float32)
        return rounded

    def act(self, now: NDArray[np.float32], before: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return actions, int64[N], for rounded latents, float32[N, latents], of now and of `LAG` steps before."""
        with torch.inference_mode():
            actions: NDArray[np.int64] = self.agent(torch.from_numpy(now), torch.from_numpy(before)).argmax(1).numpy()
        return actions


class Lagged:
    """What was made of the last frames of a trial: a policy sees that of `LAG` steps before as well."""

    def __init__(self) -> None:
        self._kept: deque[NDArray[np.float32]] = deque(maxlen=LAG + 1)

    def clear(self) -> None:
        """Begin a new trial."""
        self._kept.clear()

    def before(self, latent: NDArray[np.float32]) -> NDArray[np.float32]:
        """Keep the latent of the frame, and return that of `LAG` steps before; at a trial's beginning its first."""
        self._kept.append(latent)
        return self._kept[0]


def filled(network: nn.Module, tensors: Mapping[str, NDArray[Any]]) -> nn.Module:
    """Return a network made on no device, with these parameters, ready for use. Raises RuntimeError for other ones."""
    network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in tensors.items()}, assign=True)
    return network.eval().requires_grad_(False)


def unfilled(sizes: Sizes) -> dict[str, nn.Module]:
    """Return the networks of a fitted agent by name, without parameters: `agent` and `decoder`."""
    with torch.device("meta"):
        return {"agent": Agent(sizes), "decoder": Decoder(sizes)}
