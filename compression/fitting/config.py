"""Settings of PICO's training."""

from __future__ import annotations

from dataclasses import dataclass, replace

from compression.errors import TrainingError
from compression.model.sizes import Sizes

OBJECTIVES = ("pico", "perceptual")
"""What masks are fitted for."""


@dataclass(frozen=True)
class PicoConfig:
    """Settings of the training."""

    objective: str = "pico"
    """`pico`, or the paper's baseline `perceptual`, which keeps pixels instead of actions."""
    blocks: int | None = None
    """Blocks that the mask will send; None for half of the latent model's."""
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
        if self.objective not in OBJECTIVES:
            raise TrainingError(f"objective must be one of {', '.join(OBJECTIVES)}; got {self.objective!r}")
        if self.blocks is not None and self.blocks < 1:
            raise TrainingError(f"blocks sent must be 1 or more; got {self.blocks}")
        if self.imagined < 0:
            raise TrainingError(f"imagined masks per episode must be 0 or more; got {self.imagined}")
        if min(self.iterations, self.batch, self.members) < 1 or not 0 <= self.seed < 2**63:
            raise TrainingError("iterations, batch and members must be 1 or more, and the seed lie between 0 and 2**63")
        if not (self.learning_rate > 0 and self.weight_decay >= 0 and 0 < self.held_out < 1):
            raise TrainingError("learning rate and held-out fraction must be above 0, the fraction below 1")

    def sent(self, sizes: Sizes) -> int:
        """Return the blocks sent with a latent model of these sizes. Raises TrainingError if it has not that many."""
        blocks = sizes.blocks // 2 if self.blocks is None else self.blocks
        if blocks >= sizes.blocks:
            raise TrainingError(f"blocks sent must lie between 1 and {sizes.blocks - 1}; got {blocks}")
        return blocks

    def resolved(self, sizes: Sizes) -> PicoConfig:
        """Return these settings with everything decided that depends on the latent model, for the record."""
        return replace(self, blocks=self.sent(sizes))
