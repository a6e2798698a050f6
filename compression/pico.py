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

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from compression.codec import Codec
from compression.discriminators import ActionDiscriminator, ImageDiscriminator, budgeted
from compression.errors import TrainingError
from compression.fill import FillName
from compression.imagination import imagine
from compression.mask_file import MaskNetwork, Objective
from compression.masks import BLOCKS, MaskInterval, best_blocks
from compression.recorded import RecordedEpisode
from compression.world_model import ACTIONS

Progress = Callable[[str, float], None]
"""Told the stage and the fraction of the whole training that is done, in [0, 1]."""


_STAGES = 4
"""The action discriminator, the model of the driver, the image discriminator, the mask policy."""


@dataclass(frozen=True)
class PicoConfig:
    """Settings of the training."""

    objective: Objective = "pico"
    """`pico`, or the paper's baseline `perceptual`, which keeps pixels instead of actions."""
    blocks: int = BLOCKS // 2
    """Blocks that the mask will send."""
    iterations: int = 600
    """Gradient steps of each network (the released code: 10,000 smaller ones)."""
    members: int = 3
    """Action classifiers that are trained and averaged: the recordings are few, and each alone has its prejudices."""
    batch: int = 256
    """Steps of recordings per gradient step."""
    learning_rate: float = 1e-3
    """Of Adam (released code)."""
    weight_decay: float = 1e-3
    """Decoupled; the recordings are few."""
    imagined: int = 8
    """Random masks imagined for every recorded episode; 0 distils from the recorded exploration alone (the paper)."""
    held_out: float = 0.2
    """Fraction of the episodes of each kind held out whole, at least one of each."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.objective not in get_args(Objective):
            raise TrainingError(f"objective must be one of {', '.join(get_args(Objective))}; got {self.objective!r}")
        if not 1 <= self.blocks < BLOCKS:
            raise TrainingError(f"blocks sent must lie between 1 and {BLOCKS - 1}; got {self.blocks}")
        if self.imagined < 0:
            raise TrainingError(f"imagined masks per episode must be 0 or more; got {self.imagined}")
        if min(self.iterations, self.batch, self.members) < 1 or not 0 <= self.seed < 2**63:
            raise TrainingError("iterations, batch and members must be 1 or more, and the seed lie between 0 and 2**63")
        if not (self.learning_rate > 0 and self.weight_decay >= 0 and 0 < self.held_out < 1):
            raise TrainingError("learning rate and held-out fraction must be above 0, the fraction below 1")


@dataclass(frozen=True)
class TrainingSummary:
    """How the fit went, measured on the held-out episodes."""

    positive_steps: int
    negative_steps: int
    held_out_episodes: int
    action_accuracy: float | None
    """How often the action discriminator's likeliest action is the one taken on seeing the original, averaged over the
    three actions (guessing: 1/3); None where there is no action discriminator."""
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
    """How often each of the 8 blocks is sent."""


@dataclass(frozen=True)
class _Data:
    """Flat tensors of all steps of the episodes of one kind."""

    x: Tensor
    """float32[N, 288]: state of the world model and latent of the original."""
    received_x: Tensor
    """float32[N, 288], the same of what was shown."""
    action: Tensor
    """int64[N] in 0..2: left, straight, right."""
    mask: Tensor
    """float32[N, 8]"""
    chooser: Tensor
    """float32[N, 32], the latent that the mask of the step is chosen from."""
    similarity: Tensor
    """float32[N], 1 - mean absolute pixel difference of original and shown; zeros unless asked for."""


def fit_mask(
    episodes: list[RecordedEpisode],
    interval: MaskInterval,
    fill: FillName,
    codec: Codec,
    config: PicoConfig,
    progress: Progress = lambda stage, done: None,
) -> tuple[MaskNetwork, TrainingSummary]:
    """Fit a mask policy. The same episodes and configuration give the same weights.

    Args:
        episodes: Recorded under `full` (calibration) and under `random` (exploration).
        interval: How often the mask was chosen in the exploration episodes.
        fill: Where the features that were not sent came from in them.
        codec: Whose latents they hold.
        config: Settings.
        progress: Called now and then.

    Raises:
        TrainingError: If there are fewer than two episodes of either kind.
    """
    with _repeatable(config.seed):
        return _fit(episodes, interval, fill, codec, config, progress)


def _fit(
    episodes: list[RecordedEpisode],
    interval: MaskInterval,
    fill: FillName,
    codec: Codec,
    config: PicoConfig,
    progress: Progress,
) -> tuple[MaskNetwork, TrainingSummary]:
    generator = torch.Generator().manual_seed(config.seed)
    train, held_out = _split(episodes, config, generator)
    pixels = config.objective == "perceptual"
    rng = np.random.default_rng(config.seed)

    def flatten(part: list[RecordedEpisode], original: bool) -> _Data:
        return _flatten([episode for episode in part if episode.original == original], interval, codec, pixels)

    def flatten_imagined(part: list[RecordedEpisode]) -> _Data | None:
        imagined = [
            imagine(episode, interval, fill, config.blocks, codec, rng)
            for episode in part
            for _ in range(config.imagined)
        ]
        return _flatten(imagined, interval, codec, pixels) if imagined else None

    positives, negatives = flatten(train, True), flatten(train, False)
    held_positives, held_negatives = flatten(held_out, True), flatten(held_out, False)

    action = None
    if pixels:
        targets, held_targets = _similarities(negatives), _similarities(held_negatives)
        imagined, held_imagined = flatten_imagined(train), flatten_imagined(held_out)
        if imagined and held_imagined:
            targets, held_targets = (
                targets.and_(_similarities(imagined)),
                held_targets.and_(_similarities(held_imagined)),
            )
    else:
        samples, held_samples = _discriminated(positives, negatives), _discriminated(held_positives, held_negatives)
        action = _fit_classifier(samples, held_samples, config, generator, progress, "action discriminator", 0)
        balance = _class_weights(positives.action)
        targets = _agreements(action, negatives, balance)
        held_targets = _agreements(action, held_negatives, balance)
        imagined, held_imagined = flatten_imagined(train), flatten_imagined(held_out)
        if imagined and held_imagined:
            samples, held_samples = _behaved(positives, negatives), _behaved(held_positives, held_negatives)
            behaviour = _fit_classifier(samples, held_samples, config, generator, progress, "model of the driver", 1)
            targets = targets.and_(_expected_agreements(action, behaviour, imagined, balance))
            held_targets = held_targets.and_(_expected_agreements(action, behaviour, held_imagined, balance))

    image = ImageDiscriminator()
    _optimise(
        image,
        len(targets.value),
        lambda index: _distillation_loss(image, targets, index),
        lambda: _distillation_loss(image, held_targets, slice(None)),
        config,
        generator,
        progress,
        "image discriminator",
        2,
    )
    image.eval()

    policy = MaskNetwork()
    x = torch.cat([positives.x, negatives.x])
    chooser = torch.cat([positives.chooser, negatives.chooser])

    def policy_loss(index: Tensor) -> Tensor:
        mask = budgeted(policy(chooser[index]), config.blocks)
        served = index if interval == "step" else index[torch.randperm(len(index), generator=generator)]
        return -functional.logsigmoid(image(mask, x[served])).mean()

    def held_policy_loss() -> Tensor:
        masks = _hard(policy, held_negatives.chooser, config.blocks)
        return -functional.logsigmoid(image(masks, held_negatives.x)).mean()

    _optimise(policy, len(x), policy_loss, held_policy_loss, config, generator, progress, "mask policy", 3)
    progress("done", 1.0)
    summary = _summarise(action, image, policy, positives, negatives, held_positives, held_negatives, config)
    return policy.eval(), replace(summary, held_out_episodes=len(held_out))


def _split(
    episodes: list[RecordedEpisode], config: PicoConfig, generator: torch.Generator
) -> tuple[list[RecordedEpisode], list[RecordedEpisode]]:
    """Return the episodes to train on and those held out, whole, of either kind."""
    train, held_out = [], []
    for original, phase in ((True, "calibration (full)"), (False, "exploration (random)")):
        kind = [episode for episode in episodes if episode.original == original and len(episode.actions)]
        if len(kind) < 2:
            raise TrainingError(
                f"training needs at least 2 {phase} episodes, and there are {len(kind)}; "
                f"record more with `racer session start --protocol pilot`"
            )
        order = torch.randperm(len(kind), generator=generator).tolist()
        count = min(max(1, round(config.held_out * len(kind))), len(kind) - 1)
        held_out += [kind[i] for i in order[:count]]
        train += [kind[i] for i in order[count:]]
    return train, held_out


@dataclass(frozen=True)
class _Classifiers:
    """Action classifiers, averaged."""

    members: list[ActionDiscriminator]

    def probabilities(self, x: Tensor) -> Tensor:
        """Return the probability of each action, float32[N, 3].

        A classifier's softmax is the sigmoid of each action's logit against the others': D(a, x) for every a.
        """
        with torch.no_grad():
            return torch.stack([member.classifier(x).softmax(1) for member in self.members]).mean(0)

    def of(self, x: Tensor, action: Tensor) -> Tensor:
        """Return D(a, x), float32[N]."""
        return self.probabilities(x).gather(1, action[:, None])[:, 0]


@dataclass(frozen=True)
class _Samples:
    """What an action classifier learns from."""

    x: Tensor
    action: Tensor
    label: Tensor
    """float32[N], the probability to say that the action was taken on seeing x."""


def _discriminated(positives: _Data, negatives: _Data) -> _Samples:
    """Return D(a, x)'s samples: positives are 1, so are actions paired with what was shown; negatives 0.5.

    The labels are those of the released code (pico/discrim_models.py and its notebook).
    """
    seen = _behaved(positives, negatives)
    doubtful = torch.full((len(negatives.action),), 0.5)
    return _Samples(
        torch.cat([seen.x, negatives.x]),
        torch.cat([seen.action, negatives.action]),
        torch.cat([seen.label, doubtful]),
    )


def _behaved(positives: _Data, negatives: _Data) -> _Samples:
    """Return what was shown and what was done on seeing it."""
    x = torch.cat([positives.x, negatives.received_x])
    return _Samples(x, torch.cat([positives.action, negatives.action]), torch.ones(len(x)))


def _fit_classifier(
    samples: _Samples,
    held_out: _Samples,
    config: PicoConfig,
    generator: torch.Generator,
    progress: Progress,
    stage: str,
    number: int,
) -> _Classifiers:
    """Fit action classifiers by binary cross-entropy on the action taken, all actions weighing alike."""
    balance = _class_weights(samples.action)

    def loss_of(model: ActionDiscriminator, part: _Samples, index: Tensor | slice) -> Tensor:
        logits = model(part.x[index], part.action[index])
        losses = functional.binary_cross_entropy_with_logits(logits, part.label[index], reduction="none")
        return (balance[part.action[index]] * losses).mean()

    members = []
    for member in range(config.members):
        model = ActionDiscriminator()
        _optimise(
            model,
            len(samples.x),
            partial(loss_of, model, samples),
            partial(loss_of, model, held_out, slice(None)),
            config,
            generator,
            progress,
            stage,
            number + member / config.members,
            1 / config.members,
        )
        members.append(model.eval())
    return _Classifiers(members)


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
        """Return both."""
        return _Targets(
            torch.cat([self.mask, other.mask]),
            torch.cat([self.x, other.x]),
            torch.cat([self.value, other.value]),
            torch.cat([self.weight, other.weight]),
        )


def _similarities(data: _Data) -> _Targets:
    return _Targets(data.mask, data.x, data.similarity, torch.ones(len(data.x)))


def _agreements(action: _Classifiers, data: _Data, balance: Tensor) -> _Targets:
    """Return D(a, x) of the actions taken."""
    return _Targets(data.mask, data.x, action.of(data.x, data.action), balance[data.action])


def _expected_agreements(action: _Classifiers, behaviour: _Classifiers, data: _Data, balance: Tensor) -> _Targets:
    """Return D(a, x) averaged over the actions that the driver is expected to take on seeing what was imagined."""
    value = (behaviour.probabilities(data.received_x) * action.probabilities(data.x)).sum(1)
    return _Targets(data.mask, data.x, value, behaviour.probabilities(data.x) @ balance)


def _distillation_loss(image: ImageDiscriminator, targets: _Targets, index: Tensor | slice) -> Tensor:
    """Equation 2, up to a constant, each step weighted."""
    logits = image(targets.mask[index], targets.x[index])
    losses = functional.binary_cross_entropy_with_logits(logits, targets.value[index], reduction="none")
    return (targets.weight[index] * losses).mean()


def _flatten(episodes: list[RecordedEpisode], interval: MaskInterval, codec: Codec, pixels: bool) -> _Data:
    def x_of(latents: NDArray[np.float32], actions: NDArray[np.int8]) -> NDArray[np.float32]:
        return np.concatenate([codec.histories(latents[None], actions[None])[0], latents], axis=1)

    def chooser_of(latents: NDArray[np.float32]) -> NDArray[np.float32]:
        return latents if interval == "step" else np.broadcast_to(latents[:1], latents.shape)

    def similarity(episode: RecordedEpisode) -> NDArray[np.float32]:
        if not pixels:
            return np.zeros(len(episode.actions), np.float32)
        original = codec.decode_latents(episode.latents).astype(np.float32)
        shown = codec.decode_latents(episode.received).astype(np.float32)
        distance: NDArray[np.float32] = np.abs(original - shown).mean(axis=(1, 2, 3)) / 255
        return 1 - distance

    def gather(part: Callable[[RecordedEpisode], NDArray[np.generic]]) -> Tensor:
        return torch.from_numpy(np.concatenate([np.ascontiguousarray(part(episode)) for episode in episodes]))

    return _Data(
        x=gather(lambda e: x_of(e.latents, e.actions)),
        received_x=gather(lambda e: x_of(e.received, e.actions)),
        action=gather(lambda e: e.actions.astype(np.int64) + 1),
        mask=gather(lambda e: e.masks.astype(np.float32)),
        chooser=gather(lambda e: chooser_of(e.latents)),
        similarity=gather(similarity),
    )


def _optimise(
    model: nn.Module,
    count: int,
    loss: Callable[[Tensor], Tensor],
    held_out_loss: Callable[[], Tensor],
    config: PicoConfig,
    generator: torch.Generator,
    progress: Progress,
    stage: str,
    number: float,
    share: float = 1,
) -> None:
    """Run Adam on random batches and keep the weights of the lowest held-out loss."""
    optimizer = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    best = np.inf
    best_state: dict[str, Tensor] = dict(model.state_dict())
    for iteration in range(config.iterations):
        if iteration % 25 == 0:
            progress(stage, (number + share * iteration / config.iterations) / _STAGES)
        model.train()
        optimizer.zero_grad()
        loss(torch.randint(count, (config.batch,), generator=generator)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if (iteration + 1) % 25 == 0 or iteration + 1 == config.iterations:  # never the untrained start
            model.eval()
            with torch.no_grad():
                held_out = held_out_loss().item()
            if held_out < best:
                best, best_state = held_out, {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(best_state)


def _class_weights(action: Tensor) -> Tensor:
    """Return a weight for each action, float32[3], inverse to its frequency, of mean 1 over the steps given."""
    counts = torch.bincount(action, minlength=ACTIONS)
    return len(action) / (int((counts > 0).sum()) * counts.clamp_min(1).float())


def _hard(policy: MaskNetwork, chooser: Tensor, blocks: int) -> Tensor:
    with torch.no_grad():
        scores = policy(chooser).numpy()
    return torch.from_numpy(np.stack([best_blocks(row, blocks) for row in scores])).float()


def _summarise(
    action: _Classifiers | None,
    image: ImageDiscriminator,
    policy: MaskNetwork,
    positives: _Data,
    negatives: _Data,
    held_positives: _Data,
    held_negatives: _Data,
    config: PicoConfig,
) -> TrainingSummary:
    masks = _hard(policy, held_negatives.chooser, config.blocks)
    accuracy = calibration = original = compressed = None
    with torch.no_grad():
        if action is not None:
            likeliest = action.probabilities(held_positives.x).max(1)
            right = (likeliest.indices == held_positives.action).float()
            weights = _class_weights(held_positives.action)[held_positives.action]
            accuracy = (weights * right).mean().item()
            calibration = _calibration_error(likeliest.values, right, weights)
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
        block_frequency=tuple(masks.mean(0).tolist()),
    )


def _calibration_error(confidence: Tensor, right: Tensor, weights: Tensor) -> float:
    """Return the expected calibration error over 10 equal bins of confidence, each sample counted by its weight."""
    bins = (confidence * 10).long().clamp(0, 9)
    gaps = torch.zeros(10).index_add_(0, bins, weights * (confidence - right))
    return float(gaps.abs().sum() / weights.sum())


@contextmanager
def _repeatable(seed: int) -> Iterator[None]:
    """Run on one thread from a seed, and leave torch's global state as it was."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
