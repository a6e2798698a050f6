"""PICO: fit a mask policy to recorded behaviour (Reddy, Dragan and Levine, arXiv 2108.04219, section 3, algorithm 1).

Offline and in batch, one network after the other:

1. the action discriminator D(a, x): was this action taken on seeing the original?
2. the image discriminator D(p, x), distilled from it: will an action taken under mask p look so? The recorded
   exploration holds few masks; a model of the driver's behaviour says what would have been done under others.
3. the mask policy f(z), trained so that D(f(z), x) says yes.

x = (h, z): the world model's state and the latent of the original frame. With one mask per episode, f sees the latent
of the episode's first frame, when the mask is chosen, and is judged on steps of all episodes: the first frame, at rest
on a straight, does not tell the bends to come.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from compression.errors import TrainingError
from compression.fill import FillName
from compression.fitting.classifiers import (
    Classifiers,
    LossPoint,
    Progress,
    Samples,
    class_weights,
    fit_classifier,
    optimise,
    repeatable,
)
from compression.fitting.config import PicoConfig
from compression.fitting.discriminators import ImageDiscriminator, budgeted
from compression.fitting.imagination import imagine
from compression.fitting.mask_policy import MaskNetwork
from compression.fitting.recorded import RecordedEpisode, with_histories, with_steps
from compression.masks import MaskInterval, best_blocks
from compression.model.latent_model import LatentModel


@dataclass(frozen=True)
class TrainingSummary:
    """How the fit went, measured on the held-out episodes."""

    positive_steps: int
    negative_steps: int
    held_out_episodes: int
    action_accuracy: float | None
    """How often the action discriminator's likeliest action is the one taken on seeing the original, averaged over the
    actions (guessing: 1/actions); None where there is no action discriminator."""
    calibration_error: float | None
    """Expected calibration error of that action's probability, 10 equal bins, actions weighted alike."""
    mean_d_original: float | None
    """Mean D(a, x) of actions taken on seeing the original."""
    mean_d_compressed: float | None
    """Mean D(a, x) of actions taken under random masks."""
    mean_d_policy: float
    """Mean D(p, x) that the fitted mask is expected to reach."""
    mean_d_random: float
    """Mean D(p, x) of the random masks that were recorded."""
    block_frequency: tuple[float, ...]
    """How often each block is sent."""
    curve: tuple[LossPoint, ...] = ()
    """Loss curve of the fit, network by network."""


@dataclass(frozen=True)
class _Data:
    """Flat tensors of all steps of the episodes of one kind."""

    x: Tensor
    """float32[N, hidden + latents]: state of the world model and latent of the original."""
    received_x: Tensor
    """float32[N, hidden + latents], the same of what was shown."""
    action: Tensor
    """int64[N]"""
    mask: Tensor
    """float32[N, blocks]"""
    chooser: Tensor
    """float32[N, latents], the latent that the mask of the step is chosen from."""
    similarity: Tensor
    """float32[N], 1 - mean absolute pixel difference of original and shown; zeros unless asked for."""


def fit_mask(
    episodes: list[RecordedEpisode],
    interval: MaskInterval,
    fill: FillName,
    model: LatentModel,
    config: PicoConfig,
    progress: Progress = lambda stage, done: None,
) -> tuple[dict[str, NDArray[np.float32]], TrainingSummary]:
    """Return the tensors of a fitted file, and how the fit went. The same episodes and configuration give the same.

    Args:
        episodes: Recorded under `full` (calibration) and under `random` (exploration).
        interval: How often the mask was chosen in the exploration episodes.
        fill: Where the features that were not sent came from in them.
        model: Whose latents they hold.
        config: Settings.
        progress: Called now and then.

    Raises:
        TrainingError: If there are fewer than two episodes of either kind, or they were not recorded through the model.
    """
    episodes = with_steps(episodes, model.sizes)
    with repeatable(config.seed):
        policy, summary = _fit(episodes, interval, fill, model, config, progress)
    return policy.tensors(), summary


def _fit(
    episodes: list[RecordedEpisode],
    interval: MaskInterval,
    fill: FillName,
    model: LatentModel,
    config: PicoConfig,
    progress: Progress,
) -> tuple[MaskNetwork, TrainingSummary]:
    generator = torch.Generator().manual_seed(config.seed)
    sizes, sent = model.sizes, config.sent(model.sizes)
    train, held_out = _split(episodes, config, generator)
    pixels = config.objective == "perceptual"
    rng = np.random.default_rng(config.seed)

    def flatten(part: list[RecordedEpisode], original: bool) -> _Data:
        return _flatten([episode for episode in part if episode.original == original], interval, model, pixels)

    def flatten_imagined(part: list[RecordedEpisode]) -> _Data | None:
        imagined = [
            imagine(episode, interval, fill, sent, model, rng) for episode in part for _ in range(config.imagined)
        ]
        return _flatten(imagined, interval, model, pixels) if imagined else None

    positives, negatives = flatten(train, True), flatten(train, False)
    held_positives, held_negatives = flatten(held_out, True), flatten(held_out, False)

    action = None
    curve: list[LossPoint] = []
    if pixels:
        targets, held_targets = _similarities(negatives), _similarities(held_negatives)
        imagined, held_imagined = flatten_imagined(train), flatten_imagined(held_out)
        if imagined and held_imagined:
            targets, held_targets = (
                targets.and_(_similarities(imagined)),
                held_targets.and_(_similarities(held_imagined)),
            )
    else:
        samples = _discriminated(positives, negatives, config)
        held_samples = _discriminated(held_positives, held_negatives, config)
        alone, stage = config.labels == "paper", "action discriminator"
        action = fit_classifier(samples, held_samples, sizes, config, generator, progress, stage, 0, alone)
        curve += action.curve
        balance = class_weights(positives.action, sizes.actions)
        targets = _agreements(action, negatives, balance)
        held_targets = _agreements(action, held_negatives, balance)
        imagined, held_imagined = flatten_imagined(train), flatten_imagined(held_out)
        if imagined and held_imagined:
            samples, held_samples = _behaved(positives, negatives), _behaved(held_positives, held_negatives)
            behaviour = fit_classifier(
                samples, held_samples, sizes, config, generator, progress, "model of the driver", 1
            )
            curve += behaviour.curve
            targets = targets.and_(_expected_agreements(action, behaviour, imagined, balance))
            held_targets = held_targets.and_(_expected_agreements(action, behaviour, held_imagined, balance))

    image = ImageDiscriminator(sizes).to(model.device)
    curve += optimise(
        image,
        len(targets.value),
        lambda index: _distillation_loss(image, targets, index),
        lambda: _distillation_loss(image, held_targets, slice(None)),
        lambda: _agreement(image, held_targets),
        config,
        generator,
        progress,
        "image discriminator",
        2,
    )
    image.eval()

    policy = MaskNetwork(sizes).to(model.device)
    x = torch.cat([positives.x, negatives.x])
    chooser = torch.cat([positives.chooser, negatives.chooser])

    def policy_loss(index: Tensor) -> Tensor:
        mask = budgeted(policy(chooser[index]), sent)
        served = index if interval == "step" else index[torch.randperm(len(index), generator=generator)]
        return -functional.logsigmoid(image(mask, x[served])).mean()

    def held_policy_loss() -> Tensor:
        masks = _hard(policy, held_negatives.chooser, sent)
        return -functional.logsigmoid(image(masks, held_negatives.x)).mean()

    def held_policy_quality() -> float:
        masks = _hard(policy, held_negatives.chooser, sent)
        return float(image(masks, held_negatives.x).sigmoid().mean())

    curve += optimise(
        policy,
        len(x),
        policy_loss,
        held_policy_loss,
        held_policy_quality,
        config,
        generator,
        progress,
        "mask policy",
        3,
    )
    progress("done", 1.0)
    summary = _summarise(action, image, policy, positives, negatives, held_positives, held_negatives, sent)
    return policy.eval().cpu(), replace(summary, held_out_episodes=len(held_out), curve=tuple(curve))


def _split(
    episodes: list[RecordedEpisode], config: PicoConfig, generator: torch.Generator
) -> tuple[list[RecordedEpisode], list[RecordedEpisode]]:
    """Return the episodes to train on and those held out, whole, of either kind."""
    train, held_out = [], []
    for original, phase in ((True, "calibration (full)"), (False, "exploration (random)")):
        kind = [episode for episode in episodes if episode.original == original]
        if len(kind) < 2:
            raise TrainingError(
                f"training needs at least 2 {phase} episodes; got {len(kind)}: "
                "record more with `racer session start --protocol pilot`"
            )
        order = torch.randperm(len(kind), generator=generator).tolist()
        count = min(max(1, round(config.held_out * len(kind))), len(kind) - 1)
        held_out += [kind[i] for i in order[:count]]
        train += [kind[i] for i in order[count:]]
    return train, held_out


def _discriminated(positives: _Data, negatives: _Data, config: PicoConfig) -> Samples:
    """Return D(a, x)'s samples: by the released code (pico/discrim_models.py and its notebooks), positives are 1, so
    are actions paired with what was shown, and negatives `negative_label`; by the paper's section 3.1, 1 and 0.
    """
    if config.labels == "paper":
        label = torch.cat([torch.ones_like(positives.similarity), torch.zeros_like(negatives.similarity)])
        x, action = torch.cat([positives.x, negatives.x]), torch.cat([positives.action, negatives.action])
        return Samples(x, action, label)
    seen = _behaved(positives, negatives)
    doubtful = torch.full_like(negatives.similarity, config.negative_label)
    return Samples(
        torch.cat([seen.x, negatives.x]),
        torch.cat([seen.action, negatives.action]),
        torch.cat([seen.label, doubtful]),
    )


def _behaved(positives: _Data, negatives: _Data) -> Samples:
    """Return what was shown and what was done on seeing it."""
    x = torch.cat([positives.x, negatives.received_x])
    return Samples(x, torch.cat([positives.action, negatives.action]), torch.ones_like(x[:, 0]))


@dataclass(frozen=True)
class _Targets:
    """What the image discriminator is distilled from."""

    mask: Tensor
    x: Tensor
    value: Tensor
    """float32[N] in [0, 1]."""
    weight: Tensor
    """float32[N]."""

    def and_(self, other: _Targets) -> _Targets:
        """Return these targets followed by the others."""
        return _Targets(
            torch.cat([self.mask, other.mask]),
            torch.cat([self.x, other.x]),
            torch.cat([self.value, other.value]),
            torch.cat([self.weight, other.weight]),
        )


def _similarities(data: _Data) -> _Targets:
    return _Targets(data.mask, data.x, data.similarity, torch.ones_like(data.similarity))


def _agreements(action: Classifiers, data: _Data, balance: Tensor) -> _Targets:
    """Return D(a, x) of the actions taken."""
    return _Targets(data.mask, data.x, action.of(data.x, data.action), balance[data.action])


def _expected_agreements(action: Classifiers, behaviour: Classifiers, data: _Data, balance: Tensor) -> _Targets:
    """Return D(a, x) averaged over the actions that the driver is expected to take on seeing what was imagined."""
    value = (behaviour.probabilities(data.received_x) * action.probabilities(data.x)).sum(1)
    return _Targets(data.mask, data.x, value, behaviour.probabilities(data.x) @ balance)


def _agreement(image: ImageDiscriminator, targets: _Targets) -> float:
    """Return 1 less the mean error of D(p, x), in [0, 1], weighted as in the loss."""
    errors = (image(targets.mask, targets.x).sigmoid() - targets.value).abs()
    return 1 - float((targets.weight * errors).sum() / targets.weight.sum().clamp_min(1e-9))


def _distillation_loss(image: ImageDiscriminator, targets: _Targets, index: Tensor | slice) -> Tensor:
    """Equation 2, up to a constant, each step weighted."""
    logits = image(targets.mask[index], targets.x[index])
    losses = functional.binary_cross_entropy_with_logits(logits, targets.value[index], reduction="none")
    return (targets.weight[index] * losses).mean()


def _flatten(episodes: list[RecordedEpisode], interval: MaskInterval, model: LatentModel, pixels: bool) -> _Data:
    def chooser_of(latents: NDArray[np.float32]) -> NDArray[np.float32]:
        return latents if interval == "step" else np.broadcast_to(latents[:1], latents.shape)

    def similarity(episode: RecordedEpisode) -> NDArray[np.float32]:
        if not pixels:
            return np.zeros(len(episode.actions), np.float32)
        original = model.decode_latents(episode.latents).astype(np.float32)
        shown = model.decode_latents(episode.received).astype(np.float32)
        distance: NDArray[np.float32] = np.abs(original - shown).mean(axis=(1, 2, 3)) / 255
        return 1 - distance

    def gather(part: Callable[[RecordedEpisode], NDArray[np.generic]]) -> Tensor:
        parts = [np.ascontiguousarray(part(episode)) for episode in episodes]
        return torch.from_numpy(np.concatenate(parts)).to(model.device)

    def known(latents: list[NDArray[np.float32]]) -> Tensor:
        return torch.from_numpy(with_histories(latents, [e.actions for e in episodes], model)).to(model.device)

    return _Data(
        x=known([episode.latents for episode in episodes]),
        received_x=known([episode.received for episode in episodes]),
        action=gather(lambda e: e.actions.astype(np.int64)),
        mask=gather(lambda e: e.masks.astype(np.float32)),
        chooser=gather(lambda e: chooser_of(e.latents)),
        similarity=gather(similarity),
    )


def _hard(policy: MaskNetwork, chooser: Tensor, sent: int) -> Tensor:
    with torch.no_grad():
        scores = policy(chooser).cpu().numpy()
    return torch.from_numpy(np.stack([best_blocks(row, sent) for row in scores])).to(chooser)


def _summarise(
    action: Classifiers | None,
    image: ImageDiscriminator,
    policy: MaskNetwork,
    positives: _Data,
    negatives: _Data,
    held_positives: _Data,
    held_negatives: _Data,
    sent: int,
) -> TrainingSummary:
    masks = _hard(policy, held_negatives.chooser, sent)
    accuracy = calibration = original = compressed = None
    with torch.no_grad():
        if action is not None:
            accuracy, calibration = action.accuracy(held_positives.x, held_positives.action)
            original = action.of(held_positives.x, held_positives.action).mean().item()
            compressed = action.of(held_negatives.x, held_negatives.action).mean().item()
        expected = image(masks, held_negatives.x).sigmoid().mean().item()
        random = image(held_negatives.mask, held_negatives.x).sigmoid().mean().item()
    return TrainingSummary(
        positive_steps=len(positives.action),
        negative_steps=len(negatives.action),
        held_out_episodes=0,
        action_accuracy=accuracy,
        calibration_error=calibration,
        mean_d_original=original,
        mean_d_compressed=compressed,
        mean_d_policy=expected,
        mean_d_random=random,
        block_frequency=tuple(masks.cpu().mean(0).tolist()),
    )
