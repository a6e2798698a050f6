"""Settings of a latent model's training."""

from __future__ import annotations

from dataclasses import dataclass

from compression.errors import SizeError, TrainingError
from compression.model.sizes import Sizes


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of a latent model's training. Impossible ones raise TrainingError."""

    latents: int = 32
    """Features of a latent."""
    blocks: int = 8
    """Blocks of features that masks choose among."""
    hidden: int = 256
    """Numbers in the state of the world model; ignored for pictures that do not follow one another."""
    dense: int = 192
    """Units of the autoencoder's dense layers: with 192, a model of frames of 64x64 pixels takes 5 MB."""
    vae_steps: int = 5_000
    """Gradient steps of the autoencoder."""
    batch: int = 128
    """Frames per step."""
    kl_weight: float = 0.3
    """Weight of the KL divergence (nats) against the squared error summed over a frame's pixels in [0, 1]."""
    free_nats: float = 0.5
    """KL divergence per feature that costs nothing (free bits, Kingma et al. 2016): without it, a third of the
    features end up carrying nothing, and a mask would choose among fewer than it seems to."""
    quantisation_noise: float = 0.004
    """Variance of the noise added to each latent on top of the posterior's, relative to the latent's own variance:
    a little more than 30-level quantisation adds, so that the decoder learns to bear it."""
    mirror: bool = False
    """Whether every other batch is mirrored left to right. Only where a mirrored frame is one that could be seen."""
    learning_rate: float = 1e-3
    """Peak learning rate of Adam, which then falls along a cosine."""
    world_model_steps: int = 1_500
    """Gradient steps of the world model."""
    sequence: int = 48
    """Frames per world model sequence; fewer where most trials are shorter."""
    sequences: int = 64
    """Sequences per world model step."""
    quantiser_samples: int = 40_000
    """Training frames to which the quantiser tables are fitted."""
    driver_iterations: int = 600
    """Gradient steps of the model of the driver, whose sensitivity the predictive coder's file is fitted to."""
    drive: int = 200
    """Steps of each drive that the predictive coder's file is fitted to; fewer where most trials are shorter."""
    predictive_rounds: int = 240
    """Passes over batches of drives that the fit of that file takes; no more than `world_model_steps`."""
    checkpoint_steps: int = 250
    """Gradient steps after which a training can go on if it is killed; it changes nothing that comes of it."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in (
            "vae_steps",
            "batch",
            "world_model_steps",
            "sequence",
            "sequences",
            "quantiser_samples",
            "driver_iterations",
            "drive",
            "predictive_rounds",
            "checkpoint_steps",
            "hidden",
        ):
            if getattr(self, name) < 1:
                raise TrainingError(f"{name} of a latent model's training must be 1 or more; got {getattr(self, name)}")
        if self.batch < 2:
            raise TrainingError("a batch of the training must have 2 frames or more")
        if min(self.kl_weight, self.free_nats, self.quantisation_noise) < 0 or not self.learning_rate > 0:
            raise TrainingError("weights of the training must be 0 or more, and its learning rate above 0")
        if not 0 <= self.seed < 2**63:
            raise TrainingError(f"the seed must lie between 0 and 2**63; got {self.seed}")

    def sizes(self, frame: tuple[int, int, int], actions: int, sequential: bool) -> Sizes:
        """Return the sizes of the model. Raises TrainingError if no model has them."""
        hidden = self.hidden if sequential else 0
        try:
            return Sizes(frame, self.latents, self.blocks, actions, hidden, self.dense)
        except SizeError as error:
            raise TrainingError(str(error)) from error
