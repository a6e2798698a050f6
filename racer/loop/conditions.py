"""Conditions: what a participant may be shown, and the channel that carries it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np

from compression.channel import Bypass, Channel
from compression.coders.blocks import FULL_SLOT, FULL_SLOTS, full_ends
from compression.coders.coder import RESERVED, Coder, CoderSettings, Fitted, coder_names, find_coder, nearest
from compression.coders.packet import MOST_BITS
from compression.errors import CoderError, MaskError
from compression.fill import FILLS, FillName
from compression.fitting.fitted import objective_of
from compression.fitting.mask_file import LearnedMask, load_mask
from compression.masks import MaskInterval
from compression.model.latent_model import Codec
from compression.noise import Link, NoiseName, check_noise
from racer.errors import ConfigError

DEFAULT_BITS = 85

UNCODED: dict[str, str] = {
    "raw": "the original frame; nothing is compressed",
    "full": f"all 32 features in two slots of {FULL_SLOT} bits",
}
"""The conditions that are no coders, and what they show."""
assert tuple(UNCODED) == RESERVED

_NAME = re.compile("[a-z0-9][a-z0-9-]{0,39}")

MASKED_CONDITIONS = ("perceptual", "pico", "pico-rate")
"""Conditions whose fitted files can be trained from recordings, which a study does from its pilots."""


@dataclass(frozen=True)
class ChannelConfig:
    """How the latent channel is used."""

    bits: int = DEFAULT_BITS
    """Slot: the most bits that may cross per step."""
    mask_interval: MaskInterval = "episode"
    """`episode`: one mask per episode (the released experiment). `step`: a new mask every step (the paper's text)."""
    fill: FillName = "hold"
    """Where the features that are not sent come from: `prior`, `hold` or `predict`."""
    noise: NoiseName = "none"
    """What happens to packets on their way: `none`, `flips`, `erasures` or `gaussian`; see `compression.noise`."""
    noise_rate: float = 0.0
    """Probability of a bit to be inverted (`flips`), of a packet to be lost (`erasures`), or the standard deviation of
    the noise on bits sent as +1 and -1 (`gaussian`)."""

    def __post_init__(self) -> None:
        if self.mask_interval not in get_args(MaskInterval):
            raise ConfigError(f"mask interval must be episode or step; got {self.mask_interval!r}")
        if self.fill not in FILLS:
            raise ConfigError(f"fill must be one of {', '.join(FILLS)}; got {self.fill!r}")
        if not 1 <= self.bits <= MOST_BITS:
            raise ConfigError(f"bits per step must lie between 1 and {MOST_BITS}; got {self.bits}")
        check_noise(self.noise, self.noise_rate)
        if self.noisy and not self.noise_rate:
            raise ConfigError(f"{self.noise} at a rate of 0 is no noise; name a rate, or leave the noise out")

    @property
    def noisy(self) -> bool:
        """Whether anything may happen to a packet."""
        return self.noise != "none"


def condition_names() -> tuple[str, ...]:
    """Return every condition: `raw`, `full`, and the coders, built-in ones first, then those of installed packages."""
    return (*UNCODED, *coder_names())


def in_order(conditions: Iterable[str]) -> tuple[str, ...]:
    """Return conditions, each once, in the order of `condition_names()`; those not known here after them, as given."""
    given = dict.fromkeys(conditions)
    known = [name for name in condition_names() if name in given]
    return tuple(dict.fromkeys([*known, *given]))


def may_be_condition(name: str) -> bool:
    """Return whether a recording's condition has the form of one, known here or not."""
    return _NAME.fullmatch(name) is not None


def shown_under(condition: str) -> str:
    """Return what a condition shows, in a few words; nothing where it is not known here."""
    if condition in UNCODED:
        return UNCODED[condition]
    try:
        return find_coder(condition).summary
    except CoderError:
        return ""


def uses_slot(condition: str) -> bool:
    """Return whether every step under a condition costs the channel's slot; False where it is not known here."""
    if condition in UNCODED or condition not in coder_names():
        return False
    try:
        return find_coder(condition).hard
    except CoderError:
        return False


def check_conditions(conditions: Iterable[str], config: ChannelConfig | None = None) -> None:
    """Raise ConfigError unless all of these are conditions, and can use the channel if one is given."""
    for name in conditions:
        if name in UNCODED:
            continue
        coder = _coder(name)
        if config is not None and config.bits < coder.least_bits:
            few = f"{config.bits} bits per step are too few"
            raise ConfigError(f"{few} for condition {name}; allow {coder.least_bits} or more")


def build_channel(
    condition: str,
    config: ChannelConfig,
    codec: Codec,
    rng: np.random.Generator,
    model: Fitted | None = None,
    clock: Callable[[], int] = time.monotonic_ns,
) -> Channel | Bypass:
    """Return the channel of a condition.

    Args:
        condition: One of `condition_names()`.
        config: Slot, mask interval, fill and noise.
        codec: The weights at both ends.
        rng: Source of what the sender draws by chance. The noise has a stream of its own, spawned from it.
        model: What was fitted for the conditions that need it.
        clock: Monotonic nanoseconds, by which both ends are timed.

    Raises:
        ConfigError: If the condition is unknown, the slot too small for it, or its fitted file is missing or fitted to
            another objective.
    """
    check_conditions([condition], config)
    if condition == "raw":
        return Bypass(codec)
    link = Link(config.noise, config.noise_rate, rng.spawn(1)[0])
    settings = CoderSettings(config.bits, config.mask_interval, config.fill, rng, model)
    if condition == "full":
        sender, receiver = full_ends(codec, settings)
        return Channel(sender, receiver, FULL_SLOT, FULL_SLOTS, link=link, clock=clock)
    coder = _coder(condition)
    _check_fitted(coder, model)
    return Channel(
        coder.sender(codec, settings),
        coder.receiver(codec, receiver_settings(settings)),
        config.bits,
        padded_bytes=coder.packet_bytes,
        link=link,
        clock=clock,
    )


def receiver_settings(settings: CoderSettings) -> CoderSettings:
    """Return the settings with the generator that every receiver gets: it must know nothing of the sender's."""
    return replace(settings, rng=np.random.default_rng(0))


def load_masks(conditions: Iterable[str], paths: Iterable[Path], codec: Codec) -> dict[str, Fitted]:
    """Return what was fitted for these conditions, by condition; the shipped file serves where none is given.

    Raises:
        ConfigError: If one is missing, given twice, or trained for a condition that is not shown.
        MaskError: If a file cannot be used with these weights.
    """
    coders = [_coder(name) for name in dict.fromkeys(conditions) if name not in UNCODED]
    fitted = sorted((coder for coder in coders if coder.needs), key=lambda coder: coder.name)
    masks: dict[str, Fitted] = {}
    given: set[str] = set()
    for path in paths:
        mask = read_fitted(path, codec)
        objective = mask.record.objective
        served = [coder.name for coder in fitted if coder.needs == objective]
        if not served:
            raise ConfigError(
                f"{path} was trained for {objective}, which is not among the conditions shown; "
                f"leave it out, or show {objective}"
            )
        if objective in given:
            raise ConfigError(f"there are two masks for condition {objective}; give one")
        given.add(objective)
        masks |= dict.fromkeys(served, mask)
    for coder in fitted:
        if coder.name not in masks:
            if coder.shipped is None:
                raise ConfigError(
                    f"condition {coder.name} needs a mask: add --mask FILE, made by "
                    f"`racer train --objective {coder.needs}`"
                )
            masks[coder.name] = coder.read(coder.shipped, codec.sha256)
    return {coder.name: masks[coder.name] for coder in fitted}


def check_use(masks: Mapping[str, Fitted], channel: ChannelConfig) -> None:
    """Raise ConfigError if a mask was trained for another use of the channel than this one."""
    for condition, mask in masks.items():
        if not isinstance(mask, LearnedMask):
            continue  # other coders choose no blocks
        trained, used = (mask.record.interval, mask.record.fill), (channel.mask_interval, channel.fill)
        if trained != used:
            raise ConfigError(
                f"the {condition} mask was trained with a mask per {trained[0]} and {trained[1]} fill, and is to be "
                f"used with a mask per {used[0]} and {used[1]} fill; nothing was driven: train one for it, "
                f"or use --mask-interval {trained[0]} --fill {trained[1]}"
            )


def read_fitted(path: Path, codec: Codec) -> Fitted:
    """Return what a fitted file holds, whichever coder it serves.

    Raises:
        MaskError: If it is none, or cannot be used with these weights.
    """
    objective = objective_of(path)
    if objective is not None:
        for name in coder_names():
            coder = _coder(name)
            if coder.needs == objective:
                return coder.read(path, codec.sha256)
        raise MaskError(f"{path} was fitted for coder {objective}, which is not installed; leave it out")
    return load_mask(path, codec.sha256)


def _coder(condition: str) -> Coder:
    if condition not in coder_names():
        raise ConfigError(f"unknown condition {condition[:80]!r}; {nearest(condition, condition_names())}")
    try:
        return find_coder(condition)
    except CoderError as error:
        raise ConfigError(str(error)) from error


def _check_fitted(coder: Coder, model: Fitted | None) -> None:
    if coder.needs is None:
        return
    if model is None:
        raise ConfigError(f"condition {coder.name} needs a mask: give one with --mask, made by `racer train`")
    if model.record.objective != coder.needs:
        raise ConfigError(
            f"the mask was trained for {model.record.objective}, not {coder.needs}; "
            f"make one with `racer train --objective {coder.needs}`"
        )
