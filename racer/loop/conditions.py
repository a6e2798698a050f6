"""Conditions: what a participant may be shown, and the channel that carries it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from compression.channel import Bypass, Channel, InProcess, ReceiverEnd, SenderEnd
from compression.coders.blocks import FULL_SLOT, full_ends, full_layout
from compression.coders.coder import RESERVED, Coder, CoderSettings, coder_names, find_coder, is_fixed, nearest
from compression.coders.packet import MOST_BITS
from compression.errors import CoderError, MaskError
from compression.fill import FILLS, FillName
from compression.fitting.fitted import FittedModel, objective_of
from compression.masks import MaskInterval
from compression.model.sizes import Sizes
from compression.noise import Link, NoiseName, check_noise
from compression.uplink import Uplink, check_uplink
from racer.errors import ConfigError
from sessions.schema import MOST_PACKET_BYTES

if TYPE_CHECKING:
    from compression.model.latent_model import LatentModel

DEFAULT_BITS = 85

UNCODED: dict[str, str] = {
    "raw": "the original frame; nothing is compressed",
    "full": f"all features, in as many slots of {FULL_SLOT} bits as that takes",
}
"""The conditions that are no coders, and what they show."""
assert tuple(UNCODED) == RESERVED

_NAME = re.compile("[a-z0-9][a-z0-9-]{0,39}")

MASKED_CONDITIONS = ("perceptual", "pico", "pico-rate", "pico-transform")
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
    action_delay: int = 0
    """Steps after which the sender learns of an action, 0 to 5; the task and the receiver know at once."""
    action_loss: float = 0.0
    """Probability of an action never to reach the sender; 1: it is told of none, and both ends know that."""

    def __post_init__(self) -> None:
        if self.mask_interval not in get_args(MaskInterval):
            raise ConfigError(f"mask interval must be episode or step; got {self.mask_interval!r}")
        if self.fill not in FILLS:
            raise ConfigError(f"fill must be one of {', '.join(FILLS)}; got {self.fill!r}")
        if not 1 <= self.bits <= MOST_BITS:
            raise ConfigError(f"bits per step must lie between 1 and {MOST_BITS}; got {self.bits}")
        check_noise(self.noise, self.noise_rate)
        check_uplink(self.action_delay, self.action_loss)
        if self.noisy and not self.noise_rate:
            raise ConfigError(f"{self.noise} at a rate of 0 is no noise; name a rate, or leave the noise out")

    @property
    def noisy(self) -> bool:
        """Whether anything may happen to a packet."""
        return self.noise != "none"

    @property
    def recorded(self) -> dict[str, Any]:
        """What a recording's configuration says of it; late actions only where there are some, as before there were."""
        late = ("action_delay", "action_loss")
        return {name: value for name, value in asdict(self).items() if value or name not in late}

    @property
    def known_delay(self) -> int | None:
        """Steps after which both ends count on the sender to know an action; None where it is told of none."""
        return None if self.action_loss == 1 else self.action_delay


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
    if condition in UNCODED or not (condition in coder_names() or is_fixed(condition)):
        return False
    try:
        return find_coder(condition).hard
    except CoderError:
        return False


def check_conditions(
    conditions: Iterable[str], config: ChannelConfig | None = None, sizes: Sizes | None = None
) -> None:
    """Raise ConfigError unless all of these are conditions, and can use the channel with a latent model if given."""
    if config is not None and sizes is not None and config.fill == "predict" and not sizes.hidden:
        raise ConfigError("fill predict needs a world model, and this latent model has none: use fill hold or prior")
    for name in conditions:
        if name in UNCODED:
            continue
        coder = _coder(name)
        if config is not None and sizes is not None and config.bits < (least := coder.least_bits(sizes)):
            raise ConfigError(f"condition {name} needs {least} bits per step or more; got {config.bits}")


def check_recordable(conditions: Iterable[str], sizes: Sizes) -> None:
    """Raise ConfigError unless packets of all of these fit a recording, with a latent model of these sizes."""
    for name in conditions:
        width = None if name in UNCODED else _coder(name).packet_bytes
        if width is not None and (most := width(sizes)) > MOST_PACKET_BYTES:
            raise ConfigError(
                f"packets of condition {name} take up to {most} bytes, and a recording holds {MOST_PACKET_BYTES}: "
                "leave it out here; `racer play` and `racer rates` show it"
            )


def build_channel(
    condition: str,
    config: ChannelConfig,
    model: LatentModel,
    rng: np.random.Generator,
    fitted: FittedModel | None = None,
    clock: Callable[[], int] = time.monotonic_ns,
) -> Channel | Bypass:
    """Return the channel of a condition.

    Args:
        condition: One of `condition_names()`.
        config: Slot, mask interval, fill and noise.
        model: The latent model at both ends.
        rng: Source of what the sender draws by chance. The noise and the loss of actions have streams of their own,
            spawned from it.
        fitted: What was fitted for the conditions that need it.
        clock: Monotonic nanoseconds, by which both ends are timed.

    Raises:
        ConfigError: If the condition is unknown, the slot too small for it, or its fitted file is missing or fitted to
            another objective.
    """
    check_conditions([condition], config, model.sizes)
    if condition == "raw":
        return Bypass(model)
    transport = InProcess(Link(config.noise, config.noise_rate, rng.spawn(1)[0]))
    uplink = Uplink(config.action_delay, config.action_loss, rng.spawn(1)[0])
    settings = CoderSettings(config.bits, config.mask_interval, config.fill, rng, fitted, config.known_delay)
    if condition == "full":
        sender, receiver = full_ends(model, settings)
        slots = full_layout(model.sizes).slots
        near = SenderEnd(sender, FULL_SLOT, slots, clock=clock, uplink=uplink)
        return Channel(near, transport, ReceiverEnd(receiver, config.noisy, clock))
    coder = _coder(condition)
    _check_fitted(coder, fitted)
    padded = coder.packet_bytes(model.sizes) if coder.packet_bytes else None
    return Channel(
        SenderEnd(coder.sender(model, settings), config.bits, padded_bytes=padded, clock=clock, uplink=uplink),
        transport,
        ReceiverEnd(coder.receiver(model, receiver_settings(settings)), config.noisy, clock),
    )


def receiver_settings(settings: CoderSettings) -> CoderSettings:
    """Return the settings with the generator that every receiver gets: it must know nothing of the sender's."""
    return replace(settings, rng=np.random.default_rng(0))


def load_fitted_models(conditions: Iterable[str], paths: Iterable[Path], model: LatentModel) -> dict[str, FittedModel]:
    """Return what was fitted for these conditions, by condition; what comes with the model serves where none is given.

    Raises:
        ConfigError: If one is missing, given twice, or trained for a condition that is not shown.
        MaskError: If a file cannot be used with this model.
    """
    coders = [_coder(name) for name in dict.fromkeys(conditions) if name not in UNCODED]
    needing = sorted((coder for coder in coders if coder.needs), key=lambda coder: coder.name)
    found: dict[str, FittedModel] = {}
    given: set[str] = set()
    for path in paths:
        fitted = read_fitted(path, model)
        objective = fitted.record.objective
        served = [coder.name for coder in needing if coder.needs == objective]
        if not served:
            raise ConfigError(
                f"{path} was trained for {objective}, which is not among the conditions shown; "
                f"leave it out, or show {objective}"
            )
        if objective in given:
            raise ConfigError(f"there are two masks for condition {objective}; give one")
        given.add(objective)
        found |= dict.fromkeys(served, fitted)
    for coder in needing:
        if coder.name not in found:
            shipped = coder.read_shipped(model)
            if shipped is None:
                raise ConfigError(_missing(coder))
            found[coder.name] = shipped
    return {coder.name: found[coder.name] for coder in needing}


def check_use(fitted: Mapping[str, FittedModel], channel: ChannelConfig) -> None:
    """Raise ConfigError if a mask was trained for another use of the channel than this one."""
    used = channel.mask_interval, channel.fill
    for condition, each in fitted.items():
        trained = each.record.interval, each.record.fill
        if any(trained) and trained != used:  # other coders choose no blocks
            raise ConfigError(
                f"the {condition} mask was trained with a mask per {trained[0]} and {trained[1]} fill, not with a "
                f"mask per {used[0]} and {used[1]} fill; nothing was driven: train one for it, "
                f"or use --mask-interval {trained[0]} --fill {trained[1]}"
            )


def read_fitted(path: Path, model: LatentModel) -> FittedModel:
    """Return what a fitted file holds, whichever coder it serves.

    Raises:
        MaskError: If it is none, or cannot be used with this model.
    """
    objective = objective_of(path)
    for name in coder_names():
        if objective is not None and (coder := _coder(name)).needs == objective:
            return coder.read(path, model)
    if objective is None:
        from compression.fitting.fitted import load_fitted

        return load_fitted(path, model)  # which says what is wrong with it
    raise MaskError(f"{path} was fitted for coder {objective}, which is not installed; leave it out")


def _coder(condition: str) -> Coder:
    if condition not in coder_names() and not is_fixed(condition):
        raise ConfigError(f"unknown condition {condition[:80]!r}; {nearest(condition, condition_names())}")
    try:
        return find_coder(condition)
    except CoderError as error:
        raise ConfigError(str(error)) from error


def _check_fitted(coder: Coder, fitted: FittedModel | None) -> None:
    if coder.needs is None:
        return
    if fitted is None:
        raise ConfigError(_missing(coder))
    if fitted.record.objective != coder.needs:
        raise ConfigError(
            f"the mask was trained for {fitted.record.objective}, not {coder.needs}; "
            f"make one with `{coder.made_by or f'racer train --objective {coder.needs}'}`"
        )


def _missing(coder: Coder) -> str:
    if coder.needs in MASKED_CONDITIONS:
        made = f"`racer train --objective {coder.needs}`"
        return f"condition {coder.name} needs a mask: add --mask FILE, made by {made}"
    if coder.made_by:
        return f"condition {coder.name} needs a fitted file: add --mask FILE, made by `{coder.made_by}`"
    return f"condition {coder.name} needs a fitted file, and none comes with this latent model: show another condition"
