"""What an agent's latents cost on frames that it was not trained on, and what is left of the frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from compression.coders.agent import FittedAgent
from compression.coders.ladder import RUNGS
from compression.fitting.rate_models import RateModel

_CODED = 1000
"""Frames, at most, that are range-coded and drawn."""
_SLOTS = 12, 42, 85


def measure(fitted: FittedAgent, rate_model: RateModel, frames: NDArray[np.uint8]) -> dict[str, Any]:
    """Return bits per latent and frame: entropy, cross-entropy and coded; and errors of what is drawn.

    The entropy is that of each coordinate by itself, as the frames' own histogram has it (Bader and von Bachmann 2021,
    section 4.3): no table that was drawn up beforehand does better, but for chance. The cross-entropy is that of the
    rate model that was trained with the agent, the table's that of the file's tables, and coded bits are those of
    range-coded messages, which name their rung and end on a whole bit. Where latents are rounded more finely than the
    tables go, `coded_entropy` is that of what is coded.

    Args:
        fitted: The agent.
        rate_model: Trained with it.
        frames: uint8[N, H, W, C], of trials that nothing was trained on.
    """
    latents = fitted.acting.latents(frames)
    rounded = np.rint(latents.astype(np.float64) / rate_model.step)
    numbers = fitted.numbers(latents)
    with torch.inference_mode():
        cross = rate_model.bits(torch.from_numpy((rounded * rate_model.step).astype(np.float32)))
    chosen = slice(None, None, max(1, len(frames) // _CODED))
    lengths = np.array([fitted.ladder.length(row) for row in numbers[chosen]])
    ideal = fitted.ladder.costs(numbers[chosen])[:, RUNGS - 1]
    size = latents.shape[1]
    card: dict[str, Any] = {
        "frames": len(frames),
        "latents": size,
        "entropy_bits_per_latent": _entropy(rounded),
        "cross_entropy_bits_per_latent": float(cross.double().mean()),
        "coded_entropy_bits_per_latent": _entropy(numbers),
        "table_cross_entropy_bits_per_latent": float(ideal.mean()) / size,
        "coded_bits_per_latent": float(lengths.mean()) / size,
        "coded_bits_per_frame": float(lengths.mean()),
        "coded_bits_most": int(lengths.max()),
        "outside_tables": float((numbers != np.rint(latents.astype(np.float64) / fitted.step)).mean()),
        "squared_error": _error(fitted, numbers[chosen], frames[chosen], RUNGS - 1),
        "squared_error_of_mean_frame": float(frames[chosen].astype(np.float64).var(0).mean()),
    }
    for bits in _SLOTS:
        received = np.stack([fitted.ladder.unpack(fitted.ladder.pack(row, bits), bits) for row in numbers[chosen]])
        card[f"squared_error_at_{bits}_bits"] = _error_of(fitted, received, frames[chosen])
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in card.items()}


def _entropy(numbers: NDArray[Any]) -> float:
    """Return the bits of a number, by the histogram of each column of numbers, [N, coordinates]."""
    entropies = []
    for column in numbers.T:
        shares = np.unique(column, return_counts=True)[1] / len(column)
        entropies.append(float(-(shares * np.log2(shares)).sum()))
    return float(np.mean(entropies))


def _error(fitted: FittedAgent, numbers: NDArray[np.int64], frames: NDArray[np.uint8], rung: int) -> float:
    return _error_of(fitted, fitted.ladder.received(numbers, np.full(len(numbers), rung)), frames)


def _error_of(fitted: FittedAgent, received: NDArray[np.float32], frames: NDArray[np.uint8]) -> float:
    """Return the mean squared error of what is drawn, in levels of 0 to 255."""
    pieces = np.array_split(np.arange(len(frames)), len(frames) // 256 + 1)
    errors = [
        ((fitted.frames(received[piece]).astype(np.float64) - frames[piece]) ** 2).mean((1, 2, 3)) for piece in pieces
    ]
    return float(np.concatenate(errors).mean())
