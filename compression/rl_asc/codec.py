"""What the two ends of RL-ASC compute from a fitted file: concepts of a frame, levels, and a frame of those."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compression.fitting.fitted import FittedModel, require_shapes
from compression.model import latent_model
from compression.model.latent_model import frames_of
from compression.model.sizes import Sizes
from compression.rl_asc.concepts import ConceptCode, Message, check_tables, table_shapes
from compression.rl_asc.networks import LEVELS, MOST_PARTS, Design, System, down_scaled, masks_of, split_features

MOST_PRICES = 16


class ConceptCodec:
    """A fitted file's networks and tables, ready to use.

    Args:
        design: Sizes.
        system: The networks.
        tensors: `cell.weights`, `prices` and the tables.
    """

    def __init__(self, design: Design, system: System, tensors: Mapping[str, NDArray[np.float32]]) -> None:
        self.design = design
        self.system = system.eval().requires_grad_(False)
        self.code = ConceptCode(design, tensors)
        self.prices: list[float] = tensors["prices"].tolist()
        """Prices of a bit that the agent was trained for, ascending."""
        self._weights = torch.from_numpy(tensors["cell.weights"])

    def label(self, frames: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return what F sees in frames, uint8[N, H, W, C]: int64[N, H, W]."""
        with torch.inference_mode():
            labels: NDArray[np.int64] = self.system.labeller(images_of(frames)).argmax(1).numpy()
        return labels

    def look(self, frames: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return label maps int32[N, h, w] and features float32[N, n, h, w] of frames, uint8[N, H, W, C]."""
        with torch.inference_mode():
            images = images_of(frames)
            cells = down_scaled(self.system.labeller(images).argmax(1), self._weights)
            features = self.system.encoder(images)
        return cells.numpy().astype(np.int32), features.numpy()

    def choose(self, cells: NDArray[np.int32], features: NDArray[np.float32], price: float) -> NDArray[np.int32]:
        """Return the likeliest levels, int32[N, M], for label maps [N, h, w] and features [N, n, h, w]."""
        with torch.inference_mode():
            masks = masks_of(torch.from_numpy(cells).long(), self.design.parts)
            concepts = split_features(torch.from_numpy(features), masks)
            levels = self.system.agent(concepts, masks, torch.full((len(cells),), price)).argmax(2)
            levels *= masks.flatten(2).amax(2).long()
        chosen: NDArray[np.int32] = levels.numpy().astype(np.int32)
        return chosen

    def show(self, messages: list[Message]) -> NDArray[np.uint8]:
        """Return the frames, uint8[N, H, W, C], of messages."""
        with torch.inference_mode():
            cells = torch.from_numpy(np.stack([message.cells for message in messages])).long()
            levels = torch.from_numpy(np.stack([message.levels for message in messages]))
            values = torch.from_numpy(np.stack([message.values for message in messages]))
            masks = masks_of(cells, self.design.parts)
            images = self.system.generator(split_features(values, masks), masks, levels)
            return frames_of(images)


def images_of(frames: NDArray[np.uint8]) -> Tensor:
    """Return images float32[N, C, H, W] in [0, 1] of frames, uint8[N, H, W, C], channel by channel in memory."""
    return latent_model.images_of(frames).contiguous()


def check_rl_asc(fitted: FittedModel, sizes: Sizes) -> None:
    """Raise ValueError unless a fitted file holds what the coder needs for frames of these sizes."""
    design = design_of(fitted.record.config, sizes)
    with torch.device("meta"):
        networks = {f"system.{name}": tuple(value.shape) for name, value in System(design).state_dict().items()}
    prices = fitted.tensors.get("prices", np.zeros(0, np.float32))
    tables = table_shapes(design, plain=fitted.tensors.get("table.level", prices).ndim == 2)
    whole = replace(fitted, tensors=_with_slopes(fitted.tensors))
    require_shapes(whole, networks | tables | {"cell.weights": (design.parts,), "prices": (prices.size,)})
    if not 1 <= prices.size <= MOST_PRICES or not ((prices > 0) & (prices < 1)).all() or (np.diff(prices) < 0).any():
        raise ValueError("its prices of a bit are not valid")
    check_tables({name: fitted.tensors[name] for name in tables})


@lru_cache(maxsize=4)
def codec_of(fitted: FittedModel, sizes: Sizes) -> ConceptCodec:
    """Return what a fitted file that was checked holds: it has no state, so that all who use the file share it."""
    design = design_of(fitted.record.config, sizes)
    with torch.device("meta"):
        system = System(design)
    state = {
        name.removeprefix("system."): torch.from_numpy(value)
        for name, value in _with_slopes(fitted.tensors).items()
        if name.startswith("system.")
    }
    system.load_state_dict(state, assign=True)
    return ConceptCodec(design, system, fitted.tensors)


def _with_slopes(tensors: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """Return tensors whose agent's scores go by the price: in files from before they did, by 0."""
    found = dict(tensors)
    for name in ("system.agent.decide.4.weight", "system.agent.decide.4.bias"):
        value = found.get(name)
        if value is not None and value.shape[:1] == (len(LEVELS),):
            found[name] = np.concatenate([value, np.zeros_like(value)])
    return found


def design_of(config: Mapping[str, Any], sizes: Sizes) -> Design:
    """Return the sizes that a fitted file's settings say. Raises ValueError if there are none."""
    parts, channels = config.get("parts"), config.get("channels")
    if not isinstance(parts, list) or not 2 <= len(parts) <= MOST_PARTS or type(channels) is not int:
        raise ValueError("it does not say what its parts and channels are")
    return Design(sizes.frame, len(parts), channels)
