"""Conditions: what a participant may be shown, and the channel that carries it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from compression.channel import Bypass, Channel, Receiver, Sender
from compression.codec import Codec
from compression.fill import FILLS, FillName
from compression.mask_file import DEFAULT_MASK, LearnedMask, load_mask
from compression.masks import BLOCKS, FixedMask, MaskInterval, MaskPolicy, RandomMasks
from compression.packet import layout_for
from racer.errors import ConfigError

DEFAULT_BITS = 85
_FULL_SLOTS = 2

CONDITIONS: dict[str, str] = {
    "raw": "the original frame; nothing is compressed",
    "full": "all 32 features in two slots of 85 bits",
    "random": "random blocks",
    "perceptual": "the blocks that keep the picture alike",
    "pico": "the blocks that keep the driver's actions alike",
}
"""Every condition and what it shows."""

MASKED_CONDITIONS = ("perceptual", "pico")
"""Conditions that need a mask file."""


@dataclass(frozen=True)
class ChannelConfig:
    """How the latent channel is used."""

    bits: int = DEFAULT_BITS
    """Slot: the most bits that may cross per step."""
    mask_interval: MaskInterval = "episode"
    """`episode`: one mask per episode (the released experiment). `step`: a new mask every step (the paper's text)."""
    fill: FillName = "hold"
    """Where the features that are not sent come from: `prior`, `hold` or `predict`."""

    def __post_init__(self) -> None:
        if self.mask_interval not in get_args(MaskInterval):
            raise ConfigError(f"mask interval must be episode or step; got {self.mask_interval!r}")
        if self.fill not in FILLS:
            raise ConfigError(f"fill must be one of {', '.join(FILLS)}; got {self.fill!r}")
        layout_for(self.bits)  # raises SlotError where no packet fits


def build_channel(
    condition: str,
    config: ChannelConfig,
    codec: Codec,
    rng: np.random.Generator,
    mask: LearnedMask | None = None,
    clock: Callable[[], int] = time.monotonic_ns,
) -> Channel | Bypass:
    """Return the channel of a condition.

    Args:
        condition: A key of `CONDITIONS`.
        config: Slot, mask interval and fill.
        codec: The weights at both ends.
        rng: Source of the random masks.
        mask: The fitted mask of the conditions that need one.
        clock: Monotonic nanoseconds, by which both ends are timed.

    Raises:
        ConfigError: If the condition is unknown or its mask is missing or fitted to another objective.
    """
    if condition == "raw":
        return Bypass(codec)
    if condition == "full":
        layout = layout_for(DEFAULT_BITS, _FULL_SLOTS, BLOCKS)
        policy: MaskPolicy = FixedMask(np.zeros(BLOCKS, np.float32))
    else:
        layout = layout_for(config.bits)
        policy = RandomMasks(rng) if condition == "random" else _fitted(condition, mask)
    return Channel(Sender(codec, layout, policy, config.mask_interval), Receiver(codec, layout, config.fill), clock)


def load_masks(conditions: Iterable[str], paths: Iterable[Path], codec: Codec) -> dict[str, LearnedMask]:
    """Return the masks that these conditions need, by condition; the shipped mask serves `pico` where none is given.

    Raises:
        ConfigError: If one is missing, given twice, or trained for a condition that is not shown.
        MaskError: If a file cannot be used with these weights.
    """
    needed = sorted({name for name in conditions if name in MASKED_CONDITIONS})
    masks: dict[str, LearnedMask] = {}
    for path in paths:
        mask = load_mask(path, codec.sha256)
        objective = mask.record.objective
        if objective not in needed:
            raise ConfigError(
                f"mask {path} was trained for {objective}, which is not among the conditions shown; "
                f"leave it out, or show {objective}"
            )
        if objective in masks:
            raise ConfigError(f"there are two masks for condition {objective}; give one")
        masks[objective] = mask
    if "pico" in needed and "pico" not in masks:
        masks["pico"] = load_mask(DEFAULT_MASK, codec.sha256)
    missing = [name for name in needed if name not in masks]
    if missing:
        raise ConfigError(
            f"condition {missing[0]} needs a mask: add --mask FILE, made by `racer train --objective {missing[0]}`"
        )
    return {name: masks[name] for name in needed}


def _fitted(condition: str, mask: LearnedMask | None) -> LearnedMask:
    if condition not in CONDITIONS:
        raise ConfigError(f"unknown condition {condition!r}; choose from {', '.join(CONDITIONS)}")
    if mask is None:
        raise ConfigError(f"condition {condition} needs a mask: give one with --mask, made by `racer train`")
    if mask.record.objective != condition:
        raise ConfigError(
            f"the mask was trained for {mask.record.objective}, not {condition}; "
            f"make one with `racer train --objective {condition}`"
        )
    return mask
