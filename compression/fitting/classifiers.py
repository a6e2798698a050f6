"""Models of what the driver does, and the loop that fits them and PICO's other networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from compression.fitting.config import PicoConfig
from compression.fitting.discriminators import ActionDiscriminator
from compression.model.sizes import Sizes

Progress = Callable[[str, float], None]
"""Callback (stage, fraction of the whole training that is done, in [0, 1])."""


STAGES = 4
"""The action discriminator, the model of the driver, the image discriminator, the mask policy."""


CHECKED_EVERY = 25
"""Gradient steps between two looks at the held-out loss."""


@dataclass(frozen=True)
class LossPoint:
    """A point of the loss curve of one network."""

    stage: str
    """Such as `mask policy`."""
    member: int
    """Which of the networks that are averaged, from 0."""
    iteration: int
    """Gradient steps taken."""
    loss: float
    """Mean over the batches since the last point, nats."""
    held_out_loss: float
    """On the held-out episodes, nats."""
    quality: float
    """On them, in [0, 1]: of a classifier how often its likeliest action is the one taken, averaged over the actions;
    of the image discriminator 1 less its mean error; of the mask policy the mean D(p, x) under its masks; of an
    interaction model how often it predicts rightly whether what the original asks for is done."""


@dataclass(frozen=True)
class Samples:
    """What an action classifier learns from."""

    x: Tensor
    action: Tensor
    label: Tensor
    """float32[N], the probability to say that the action was taken on seeing x."""


@dataclass(frozen=True)
class Classifiers:
    """Action classifiers, averaged."""

    members: list[ActionDiscriminator]
    curve: tuple[LossPoint, ...] = ()
    """Loss curve of their fit."""

    @property
    def sizes(self) -> Sizes:
        """Sizes of the latent model."""
        return self.members[0].sizes

    def probabilities(self, x: Tensor) -> Tensor:
        """Return D(a, x) of every action, float32[N, actions]; where one was taken, the probability of each."""
        with torch.no_grad():
            return torch.stack([member.probabilities(x) for member in self.members]).mean(0)

    def of(self, x: Tensor, action: Tensor) -> Tensor:
        """Return D(a, x), float32[N]."""
        return self.probabilities(x).gather(1, action[:, None])[:, 0]

    def accuracy(self, x: Tensor, action: Tensor) -> tuple[float, float]:
        """Return the accuracy over the actions, balanced, and the calibration error, both in [0, 1]."""
        likeliest = self.probabilities(x).max(1)
        right = (likeliest.indices == action).float()
        weights = class_weights(action, self.sizes.actions)[action]
        return (weights * right).mean().item(), calibration_error(likeliest.values, right, weights)


def fit_classifier(
    samples: Samples,
    held_out: Samples,
    sizes: Sizes,
    config: PicoConfig,
    generator: torch.Generator,
    progress: Progress,
    stage: str,
    number: int,
    alone: bool = False,
) -> Classifiers:
    """Fit action classifiers by binary cross-entropy on the action taken, all actions weighing alike.

    They lie where the samples do.

    `alone` is that of `ActionDiscriminator`.
    """
    balance = class_weights(samples.action, sizes.actions)

    def loss_of(model: ActionDiscriminator, part: Samples, index: Tensor | slice) -> Tensor:
        logits = model(part.x[index], part.action[index])
        losses = functional.binary_cross_entropy_with_logits(logits, part.label[index], reduction="none")
        return (balance[part.action[index]] * losses).mean()

    seen = held_out.label == 1

    def accuracy(model: ActionDiscriminator) -> float:
        return Classifiers([model]).accuracy(held_out.x[seen], held_out.action[seen])[0]

    members: list[ActionDiscriminator] = []
    curve: list[LossPoint] = []
    for member in range(config.members):
        model = ActionDiscriminator(sizes, alone).to(samples.x.device)
        curve += optimise(
            model,
            len(samples.x),
            partial(loss_of, model, samples),
            partial(loss_of, model, held_out, slice(None)),
            partial(accuracy, model),
            config,
            generator,
            progress,
            stage,
            number + member / config.members,
            1 / config.members,
            member,
        )
        members.append(model.eval())
    return Classifiers(members, tuple(curve))


def optimise(
    model: nn.Module,
    count: int,
    loss: Callable[[Tensor], Tensor],
    held_out_loss: Callable[[], Tensor],
    quality: Callable[[], float],
    config: PicoConfig,
    generator: torch.Generator,
    progress: Progress,
    stage: str,
    number: float,
    share: float = 1,
    member: int = 0,
) -> list[LossPoint]:
    """Run Adam on random batches, keep the weights of the lowest held-out loss, and return how the losses went."""
    optimizer = torch.optim.AdamW(
        model.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    best, looks = np.inf, 0
    best_state: dict[str, Tensor] = dict(model.state_dict())
    curve: list[LossPoint] = []
    losses: list[Tensor] = []
    for iteration in range(config.iterations):
        if iteration % CHECKED_EVERY == 0:
            progress(stage, (number + share * iteration / config.iterations) / STAGES)
        model.train()
        optimizer.zero_grad()
        losses.append(loss(torch.randint(count, (config.batch,), generator=generator)))
        losses[-1].backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if (iteration + 1) % CHECKED_EVERY == 0 or iteration + 1 == config.iterations:  # never the untrained start
            model.eval()
            with torch.no_grad():
                held_out, reached = held_out_loss().item(), quality()
            mean = torch.stack([each.detach() for each in losses]).mean().item()
            curve.append(LossPoint(stage, member, iteration + 1, mean, held_out, reached))
            losses = []
            looks += 1
            if held_out < best:
                best, looks = held_out, 0
                best_state = {name: value.clone() for name, value in model.state_dict().items()}
            if 0 < config.patience <= looks:
                break
    model.load_state_dict(best_state)
    return curve


def class_weights(action: Tensor, actions: int) -> Tensor:
    """Return a weight for each action, float32[actions], inverse to its frequency, of mean 1 over the steps given."""
    counts = torch.bincount(action, minlength=actions)
    return len(action) / (int((counts > 0).sum()) * counts.clamp_min(1).float())


def calibration_error(confidence: Tensor, right: Tensor, weights: Tensor) -> float:
    """Return the expected calibration error over 10 equal bins of confidence, each sample counted by its weight."""
    bins = (confidence * 10).long().clamp(0, 9)
    gaps = torch.zeros(10, device=bins.device).index_add_(0, bins, weights * (confidence - right))
    return float(gaps.abs().sum() / weights.sum())


@contextmanager
def repeatable(seed: int) -> Iterator[None]:
    """Run on one thread from a seed, and leave torch's global state as it was."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
