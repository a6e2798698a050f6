"""From trained networks to a fitted file: tables by which a range coder codes, counted on frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compression.rl_asc.codec import ConceptCodec
from compression.rl_asc.concepts import fit_levels, fit_map, table_shapes, whole_counts
from compression.rl_asc.labelling import GROUP
from compression.rl_asc.networks import LEVELS, Design, System, symbols_of


def fitted_tensors(
    design: Design, system: System, cell_weights: Tensor, prices: tuple[float, ...], frames: NDArray[np.uint8]
) -> dict[str, NDArray[np.floating[Any]]]:
    """Return what the fitted file holds: networks rounded to half precision, and tables counted with those.

    Args:
        design: Sizes.
        system: The trained networks.
        cell_weights: float32[M], by what the share of a cell is measured.
        prices: Of a bit, that the agent was trained for.
        frames: uint8[N, H, W, C], to count on.
    """
    halves = {name: value.detach().cpu().half() for name, value in system.state_dict().items()}
    rounded = System(design)
    rounded.load_state_dict({name: value.float() for name, value in halves.items()})
    tensors: dict[str, NDArray[np.floating[Any]]] = {f"system.{name}": value.numpy() for name, value in halves.items()}
    tensors["cell.weights"] = cell_weights.numpy()
    tensors["prices"] = np.sort(np.array(prices, np.float32))
    none = {name: np.ones(shape, np.float32) for name, shape in table_shapes(design).items()}
    singles = {name: tensors[name].astype(np.float32) for name in ("cell.weights", "prices")}
    codec = ConceptCodec(design, rounded, none | singles)
    maps, levels, parts, symbols = [], [], [], {}
    for level in range(1, len(LEVELS)):
        symbols[level] = np.zeros((design.parts, design.channels, LEVELS[level]))
    for first in range(0, len(frames), GROUP):
        cells, features = codec.look(frames[first : first + GROUP])
        maps.append(cells)
        there = [np.unique(each) for each in cells]
        for price in codec.prices:
            chosen = codec.choose(cells, features, price)
            levels += [each[known] for each, known in zip(chosen, there, strict=True)]
            parts += there
        for level, counts in symbols.items():
            found = symbols_of(torch.from_numpy(features), level).numpy()
            channel = np.arange(design.channels)[None, :, None, None]
            np.add.at(counts, (cells[:, None], channel, found), 1)
    tensors["table.map"] = fit_map(np.concatenate(maps).astype(np.int64), design.parts)
    tensors["table.level"] = fit_levels(levels, parts, design.parts)
    return tensors | {f"table.symbols{level}": whole_counts(counts + 0.5) for level, counts in symbols.items()}
