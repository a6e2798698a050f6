"""PICO: fit a mask policy to recorded behaviour (Reddy, Dragan and Levine, arXiv 2108.04219, section 3, algorithm 1).

Offline and in batch, three networks one after the other:

1. the action discriminator D(a, x): was this action taken on seeing the original?
2. the image discriminator D(p, x), distilled from it: will an action taken under mask p look so?
3. the mask policy f(z), trained so that D(f(z), x) says yes.

x = (h, z): the world model's state and the latent of the original frame. With one mask per episode, f sees the latent
of the episode's first frame, when the mask is chosen, and is judged on all steps that the mask will serve.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from compression.codec import Codec
from compression.discriminators import ActionDiscriminator, ImageDiscriminator, budgeted
from compression.errors import TrainingError
from compression.mask_file import MaskNetwork, Objective
from compression.masks import BLOCKS, LATENTS, MaskInterval, best_blocks
from compression.world_model import ACTIONS

Progress = Callable[[str, float], None]
"""Told the stage and the fraction of the whole training that is done, in [0, 1]."""


@dataclass(frozen=True)
class PicoConfig:
    """Settings of the training."""

    objective: Objective = "pico"
    """`pico`, or the paper's baseline `perceptual`, which keeps pixels instead of actions."""
    blocks: int = BLOCKS // 2
    """Blocks that the mask will send."""
    iterations: int = 1500
    """Gradient steps of each of the three networks (the released code: 10,000 smaller ones)."""
    batch: int = 256
    """Steps of recordings per gradient step."""
    learning_rate: float = 1e-3
    """Of Adam (released code)."""
    weight_decay: float = 1e-3
    """Decoupled; the recordings are few."""
    held_out: float = 0.2
    """Fraction of the episodes of each kind held out whole, at least one of each."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.objective not in get_args(Objective):
            raise TrainingError(f"objective must be one of {', '.join(get_args(Objective))}; got {self.objective!r}")
        if not 1 <= self.blocks < BLOCKS:
            raise TrainingError(f"blocks sent must lie between 1 and {BLOCKS - 1}; got {self.blocks}")
        if self.iterations < 1 or self.batch < 1 or not 0 <= self.seed < 2**63:
            raise TrainingError("iterations and batch must be 1 or more, and the seed lie between 0 and 2**63")
        if not (self.learning_rate > 0 and self.weight_decay >= 0 and 0 < self.held_out < 1):
            raise TrainingError("learning rate and held-out fraction must be above 0, the fraction below 1")


@dataclass(frozen=True)
class RecordedEpisode:
    """What training needs of one recorded episode of T steps."""

    latents: NDArray[np.float32]
    """float32[T, 32] of the original frames."""
    received: NDArray[np.float32]
    """float32[T, 32] that was shown."""
    actions: NDArray[np.int8]
    """int8[T] in {-1, 0, 1}."""
    masks: NDArray[np.bool_]
    """bool[T, 8] that was sent."""
    original: bool
    """Whether all features were shown (calibration, T = 1) or those of a random mask (exploration, T = 0)."""

    def __post_init__(self) -> None:
        steps = len(self.actions)
        shapes = self.latents.shape, self.received.shape, self.masks.shape
        if shapes != ((steps, LATENTS), (steps, LATENTS), (steps, BLOCKS)):
            raise TrainingError("an episode's latents, received latents, masks and actions do not belong together")
        if not (np.isfinite(self.latents).all() and np.isfinite(self.received).all()):
            raise TrainingError("an episode holds latents that are not finite")
        if not np.isin(self.actions, (-1, 0, 1)).all():
            raise TrainingError("an episode holds actions other than -1, 0 and 1")


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
    codec: Codec,
    config: PicoConfig,
    progress: Progress = lambda stage, done: None,
) -> tuple[MaskNetwork, TrainingSummary]:
    """Fit a mask policy. The same episodes and configuration give the same weights.

    Args:
        episodes: Recorded under `full` (calibration) and under `random` (exploration).
        interval: How often the mask was chosen in the exploration episodes.
        codec: Whose latents they hold.
        config: Settings.
        progress: Called now and then.

    Raises:
        TrainingError: If there are fewer than two episodes of either kind.
    """
    with _repeatable(config.seed):
        return _fit(episodes, interval, codec, config, progress)


def _fit(
    episodes: list[RecordedEpisode], interval: MaskInterval, codec: Codec, config: PicoConfig, progress: Progress
) -> tuple[MaskNetwork, TrainingSummary]:
    generator = torch.Generator().manual_seed(config.seed)
    parts: dict[Literal["train", "held_out"], list[RecordedEpisode]] = {"train": [], "held_out": []}
    for original, phase in ((True, "calibration (full)"), (False, "exploration (random)")):
        kind = [episode for episode in episodes if episode.original == original and len(episode.actions)]
        if len(kind) < 2:
            raise TrainingError(
                f"training needs at least 2 {phase} episodes, and there are {len(kind)}; "
                f"record more with `racer session start --protocol pilot`"
            )
        order = torch.randperm(len(kind), generator=generator).tolist()
        count = min(max(1, round(config.held_out * len(kind))), len(kind) - 1)
        parts["held_out"] += [kind[i] for i in order[:count]]
        parts["train"] += [kind[i] for i in order[count:]]

    pixels = config.objective == "perceptual"
    data = {}
    for name, part in parts.items():
        for original in (True, False):
            chosen = [episode for episode in part if episode.original == original]
            data[name, original] = _flatten(chosen, interval, codec, pixels and not original)
    positives, negatives = data["train", True], data["train", False]
    held_positives, held_negatives = data["held_out", True], data["held_out", False]

    image = ImageDiscriminator()
    if pixels:
        action = None
        targets, held_targets = negatives.similarity, held_negatives.similarity
        weights, held_weights = torch.ones(len(negatives.action)), torch.ones(len(held_negatives.action))
    else:
        action = _fit_action_discriminator(
            positives, negatives, held_positives, held_negatives, config, generator, progress
        )
        with torch.no_grad():
            targets = action(negatives.x, negatives.action).sigmoid()
            held_targets = action(held_negatives.x, held_negatives.action).sigmoid()
        weights = _balance(negatives.action, negatives.action)
        held_weights = _balance(negatives.action, held_negatives.action)

    def image_loss(index: Tensor) -> Tensor:
        logits = image(negatives.mask[index], negatives.x[index])
        losses = functional.binary_cross_entropy_with_logits(logits, targets[index], reduction="none")
        return (weights[index] * losses).mean()

    def held_image_loss() -> Tensor:
        logits = image(held_negatives.mask, held_negatives.x)
        losses = functional.binary_cross_entropy_with_logits(logits, held_targets, reduction="none")
        return (held_weights * losses).mean()

    _optimise(image, len(targets), image_loss, held_image_loss, config, generator, progress, "image discriminator", 1)

    policy = MaskNetwork()
    image.eval()
    everything = [positives, negatives]
    x, chooser = torch.cat([d.x for d in everything]), torch.cat([d.chooser for d in everything])

    def policy_loss(index: Tensor) -> Tensor:
        mask = budgeted(policy(chooser[index]), config.blocks)
        return -functional.logsigmoid(image(mask, x[index])).mean()

    def held_policy_loss() -> Tensor:
        return -functional.logsigmoid(
            image(_hard(policy, held_negatives.chooser, config.blocks), held_negatives.x)
        ).mean()

    _optimise(policy, len(x), policy_loss, held_policy_loss, config, generator, progress, "mask policy", 2)
    progress("done", 1.0)
    return policy.eval(), _summarise(
        action, image, policy, positives, negatives, held_positives, held_negatives, config, parts
    )


def _fit_action_discriminator(
    positives: _Data,
    negatives: _Data,
    held_positives: _Data,
    held_negatives: _Data,
    config: PicoConfig,
    generator: torch.Generator,
    progress: Progress,
) -> ActionDiscriminator:
    """Fit D(a, x): positives are labelled 1, so are actions paired with what was shown; negatives 0.5."""
    model = ActionDiscriminator()

    def samples(first: _Data, second: _Data) -> tuple[Tensor, Tensor, Tensor]:
        x = torch.cat([first.x, second.received_x, second.x])
        action = torch.cat([first.action, second.action, second.action])
        label = torch.ones(len(x))
        label[len(first.x) + len(second.x) :] = 0.5
        return x, action, label

    x, action, label = samples(positives, negatives)
    held_x, held_action, held_label = samples(held_positives, held_negatives)
    weights, held_weights = _balance(action, action), _balance(action, held_action)

    def loss(index: Tensor) -> Tensor:
        logits = model(x[index], action[index])
        losses = functional.binary_cross_entropy_with_logits(logits, label[index], reduction="none")
        return (weights[index] * losses).mean()

    def held_loss() -> Tensor:
        losses = functional.binary_cross_entropy_with_logits(model(held_x, held_action), held_label, reduction="none")
        return (held_weights * losses).mean()

    _optimise(model, len(x), loss, held_loss, config, generator, progress, "action discriminator", 0)
    return model


def _flatten(episodes: list[RecordedEpisode], interval: MaskInterval, codec: Codec, pixels: bool) -> _Data:
    def x_of(latents: NDArray[np.float32], actions: NDArray[np.int8]) -> NDArray[np.float32]:
        return np.concatenate([codec.histories(latents, actions), latents], axis=1)

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
    number: int,
) -> None:
    """Run Adam on random batches and keep the weights of the lowest held-out loss."""
    optimizer = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    best = np.inf
    best_state: dict[str, Tensor] = dict(model.state_dict())
    for iteration in range(config.iterations):
        if iteration % 25 == 0:
            progress(stage, (number + iteration / config.iterations) / 3)
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


def _balance(reference: Tensor, action: Tensor) -> Tensor:
    """Return a weight for each action, inverse to its frequency in `reference`, of mean 1 over `reference`."""
    counts = torch.bincount(reference, minlength=ACTIONS).clamp_min(1).float()
    present = int((torch.bincount(reference, minlength=ACTIONS) > 0).sum())
    return (len(reference) / (present * counts))[action]


def _hard(policy: MaskNetwork, chooser: Tensor, blocks: int) -> Tensor:
    with torch.no_grad():
        scores = policy(chooser).numpy()
    return torch.from_numpy(np.stack([best_blocks(row, blocks) for row in scores])).float()


def _summarise(
    action: ActionDiscriminator | None,
    image: ImageDiscriminator,
    policy: MaskNetwork,
    positives: _Data,
    negatives: _Data,
    held_positives: _Data,
    held_negatives: _Data,
    config: PicoConfig,
    parts: dict[Literal["train", "held_out"], list[RecordedEpisode]],
) -> TrainingSummary:
    masks = _hard(policy, held_negatives.chooser, config.blocks)
    accuracy = calibration = original = compressed = None
    with torch.no_grad():
        if action is not None:
            probabilities = action.classifier(held_positives.x).softmax(1)
            likeliest = probabilities.max(1)
            right = (likeliest.indices == held_positives.action).float()
            weights = _balance(held_positives.action, held_positives.action)
            accuracy = (weights * right).mean().item()
            calibration = _calibration_error(likeliest.values, right, weights)
            original = action(held_positives.x, held_positives.action).sigmoid().mean().item()
            compressed = action(held_negatives.x, held_negatives.action).sigmoid().mean().item()
        expected = image(masks, held_negatives.x).sigmoid().mean().item()
        random = image(held_negatives.mask, held_negatives.x).sigmoid().mean().item()
    return TrainingSummary(
        positive_steps=len(positives.action),
        negative_steps=len(negatives.action),
        held_out_episodes=len(parts["held_out"]),
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
