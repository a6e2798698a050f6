"""Tuning a decoder to what people do on seeing what it draws: encoder, quantiser and packets are left alone.

After Lampinen, So, Eck and Bertsch (2017), section 2.1.4: a model of behaviour, frozen, becomes a term of the
generator's loss, at a tenth of its learning rate. Instead of a discriminator's verdict, the mean squared difference to
what the untuned decoder draws of the same latent keeps the pictures in place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from compression.errors import TrainingError
from compression.fitting.classifiers import Progress, repeatable
from compression.fitting.config import PicoConfig
from compression.fitting.fitted import FittedRecord
from compression.fitting.interaction import (
    InteractionModel,
    Interactions,
    InteractionSummary,
    decoded,
    fit_interaction,
    interaction_of,
    left_out,
    members_of,
    predicted_rates,
    summarise,
)
from compression.model.header import FILE_NAME, LARGEST_FILE
from compression.model.latent_model import LatentModel, frames_of, images_of, with_decoder
from compression.model.training.resumable import Trainer, Work
from compression.model.vae import Decoder
from disk.reading import read_plain

_A_NAT = 1e-3
"""Mean squared difference, of pixels in [0, 1], that costs as much as a nat of weight 1: 30 dB."""
_CLIP, _CHECKPOINT = 1.0, 50
_FITTED = 0.6
"""Share of the time until R is fitted."""
_PIECE = 256
Reward = Callable[[Tensor, NDArray[np.intp]], Tensor]
"""Reward of images, float32[B, C, H, W] in [0, 1], for the steps int[B]: a mean in nats."""


@dataclass(frozen=True)
class TuningConfig:
    """Settings of a tuning."""

    weight: float = 3.0
    """Weight of the reward against staying where the untuned decoder is: one nat against 30 dB. At 30, families
    that R never saw did anything from better to much worse (docs/results.md)."""
    keeping: float = 0.0
    """Weight of keeping, beside agreeing; see `InteractionModel.rates`."""
    steps: int = 400
    """Gradient steps."""
    batch: int = 32
    """Pictures per step."""
    learning_rate: float = 1e-4
    """Learning rate of Adam, a tenth of that for latent models."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0 < self.weight <= 1000 and 0 <= self.keeping <= 1000):
            raise TrainingError(
                "the weight of a tuning must lie above 0, that of keeping at 0 or above, and both at most at 1000; "
                f"got {self.weight} and {self.keeping}"
            )
        if self.steps < 1 or not 1 <= self.batch <= 4096 or not 0 <= self.seed < 2**63:
            raise TrainingError("steps and batch must be 1 or more, the batch at most 4096, and the seed 0 or more")
        if not 0 < self.learning_rate <= 1:
            raise TrainingError(f"the learning rate must lie above 0 and at most at 1; got {self.learning_rate}")


def interaction_reward(interaction: InteractionModel, data: Interactions, keeping: float) -> Reward:
    """Return the reward: R's log probability of agreeing, and `keeping` times that of keeping."""
    recent, wanted = torch.from_numpy(data.recent), torch.from_numpy(data.wanted)

    def reward(images: Tensor, index: NDArray[np.intp]) -> Tensor:
        at = torch.from_numpy(index)
        agreeing, kept = interaction.rates(images, recent[at], wanted[at])
        return (agreeing + keeping * kept).mean()

    return reward


def pixel_reward(targets: NDArray[np.uint8]) -> Reward:
    """Return the reward for pictures like these frames, uint8[N, H, W, C]: a control without any behaviour."""

    def reward(images: Tensor, index: NDArray[np.intp]) -> Tensor:
        return -functional.mse_loss(images, images_of(targets[index])) / _A_NAT

    return reward


def tune_decoder(
    model: LatentModel,
    received: NDArray[np.float32],
    reward: Reward,
    config: TuningConfig,
    work: Work,
    progress: Callable[[float], None] = lambda done: None,
) -> Decoder:
    """Return a decoder tuned to a reward, from the model's own. A tuning that was interrupted goes on where it was.

    Args:
        model: Whose decoder it is; it is left as it is.
        received: float32[N, latents], what is decoded.
        reward: Of pictures, by the index of their step in these.
        config: Settings.
        work: Keeps checkpoints.
        progress: Told the share that is done.
    """
    decoder = deepcopy(model.vae.decoder).requires_grad_(True)
    trainer = Trainer(decoder, work, "decoder", config.seed, config.steps)

    def loss(step: int) -> Tensor:
        index = torch.randint(len(received), (config.batch,), generator=trainer.generator).numpy()
        latents = torch.from_numpy(received[index])
        with torch.no_grad():
            before = model.vae.decoder(latents)
        images = decoder(latents)
        left = functional.mse_loss(images, before) / _A_NAT
        return left - config.weight * reward(images.clamp(0, 1), index)

    def make() -> dict[str, Tensor]:
        with repeatable(config.seed):
            return trainer.run(loss, config.learning_rate, _CLIP, _CHECKPOINT, progress).state_dict()

    decoder.load_state_dict(work.stage("decoder", make))
    return decoder.eval().requires_grad_(False)


def tuned_file(model: LatentModel, decoder: Decoder, record: FittedRecord) -> bytes:
    """Return the bytes of the model's file with a tuned decoder: all other tensors are those of the model's own file.

    Raises:
        TrainingError: If that file has changed since it was loaded.
    """
    assert model.folder is not None
    data = read_plain(model.folder / FILE_NAME, LARGEST_FILE)
    if hashlib.sha256(data).hexdigest() != model.sha256:
        raise TrainingError(f"{model.folder / FILE_NAME} changed while its decoder was tuned; nothing was written")
    return with_decoder(data, decoder, record)


@dataclass(frozen=True, eq=False)
class Tuned:
    """Result of a tuning."""

    decoder: Decoder
    interaction: InteractionSummary
    """Summary of the R that was followed."""
    held_out: dict[str, Any]
    """What the member of R that was not followed predicts of steps of people that nothing was tuned on, as they were
    shown (`before`) and as the tuned decoder draws them (`after`)."""
    whole: NDArray[np.uint8]
    """uint8[N, H, W, C], those steps as the untuned decoder draws all their features."""
    before: NDArray[np.uint8]
    """uint8[N, H, W, C], as they were shown."""
    after: NDArray[np.uint8]
    """uint8[N, H, W, C], as the tuned decoder draws them."""


def tune(
    model: LatentModel,
    data: Interactions,
    config: TuningConfig,
    fitting: PicoConfig,
    work: Work,
    interaction: InteractionModel | None = None,
    progress: Progress = lambda stage, done: None,
) -> Tuned:
    """Tune a model's decoder to recorded steps. What was interrupted goes on where it was.

    The first member of R is not followed: it judges what comes of it, on the people whom it does not know, on whom
    nothing is tuned.

    Args:
        model: Through which they were seen; it is left as it is.
        data: The steps.
        config: Settings.
        fitting: Settings of R, where it is still to be fitted.
        work: Keeps stages and checkpoints.
        interaction: R, fitted to just these steps; None: it is fitted first.
        progress: Told the stage and the share that is done.

    Raises:
        TrainingError: If there are too few people, or the tuning goes astray.
    """
    members_of(data, fitting)
    if interaction is None:

        def fit() -> dict[str, Tensor]:
            fitted, _ = fit_interaction(data, model, fitting, lambda stage, done: progress(stage, _FITTED * done))
            return {name: torch.from_numpy(array) for name, array in fitted.tensors().items()}

        kept = work.stage("interaction", fit)
        interaction = interaction_of({name: tensor.numpy() for name, tensor in kept.items()}, model.sizes)
    held = left_out(data, 0, len(interaction.members))
    followed, judge = InteractionModel(interaction.members[1:]), InteractionModel(interaction.members[:1])
    seen, unseen = data.part(~held), data.part(held)
    decoder = tune_decoder(
        model,
        seen.received,
        interaction_reward(followed, seen, config.keeping),
        config,
        work,
        lambda done: progress("decoder", _FITTED + (1 - _FITTED) * done),
    )
    whole, before = decoded(model, unseen.latents), decoded(model, unseen.received)
    after = drawn(decoder, unseen.received)
    error = float(np.mean((before.astype(np.float32) - after) ** 2))
    held_out: dict[str, Any] = {
        "steps": len(before),
        "people": len(np.unique(unseen.people)),
        "agreement_measured": float(unseen.agreement().mean()),
        "psnr_to_untuned_db": float(10 * np.log10(255**2 / error)) if error else None,
    }
    for name, frames in (("before", before), ("after", after)):
        agreeing, keeping = predicted_rates(judge, frames, unseen)
        held_out[f"agreement_{name}"] = float(agreeing.mean())
        if not np.isnan(unseen.kept).any():
            held_out[f"kept_{name}"] = float(keeping.mean())
    summary = summarise(interaction, decoded(model, data.received), data)
    return Tuned(decoder, summary, held_out, whole, before, after)


def drawn(decoder: Decoder, latents: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the frames, uint8[N, H, W, C], that a decoder draws of latents, float32[N, latents]."""
    with torch.inference_mode():
        pieces = np.array_split(latents, len(latents) // _PIECE + 1)
        return np.concatenate([frames_of(decoder(torch.from_numpy(piece))) for piece in pieces])
