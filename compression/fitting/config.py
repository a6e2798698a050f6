"""Settings of PICO's training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from compression.errors import TrainingError
from compression.model.sizes import Sizes

OBJECTIVES = ("pico", "perceptual")
"""What masks are fitted for."""
Labels = Literal["released", "paper"]
"""What the action discriminator learns from, see `PicoConfig.labels`."""


@dataclass(frozen=True)
class PicoConfig:
    """Settings of the training."""

    objective: str = "pico"
    """`pico`, or the paper's baseline `perceptual`, which keeps pixels instead of actions."""
    blocks: int | None = None
    """Blocks that the mask will send; None for half of the latent model's."""
    iterations: int = 600
    """The most gradient steps of each network (the released code: 10,000 smaller ones)."""
    patience: int = 4
    """Looks at the held-out loss, one every 25 gradient steps, without a lower one, after which a network is trained no
    further; 0: all steps are taken (released code)."""
    members: int = 3
    """Action classifiers that are trained and averaged: the recordings are few, and each alone has its prejudices."""
    batch: int = 256
    """Steps of recordings per gradient step."""
    learning_rate: float = 1e-3
    """Learning rate of Adam (released code)."""
    weight_decay: float = 1e-3
    """Decoupled; the recordings are few."""
    imagined: int = 8
    """Random masks imagined for every recorded episode; 0 distils from the recorded exploration alone (the paper)."""
    labels: Labels = "released"
    """`released`: was this action taken on seeing x? Originals and what was shown are labelled 1, and originals of what
    was shown `negative_label`. `paper`: was x the original when this action was taken? 1 for originals, 0 for what was
    compressed, so that D(a, x) = p(T = 1 | a, x) (section 3.1)."""
    negative_label: float = 0.5
    """Label, in [0, 1], of an original whose action was taken on seeing what was compressed; with labels `released`
    alone."""
    held_out: float = 0.2
    """Fraction of the episodes of each kind held out whole, at least one of each."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise TrainingError(f"objective must be one of {', '.join(OBJECTIVES)}; got {self.objective!r}")
        if self.blocks is not None and self.blocks < 1:
            raise TrainingError(f"blocks sent must be 1 or more; got {self.blocks}")
        if self.labels not in get_args(Labels):
            raise TrainingError(f"labels must be released or paper; got {self.labels!r}")
        if not 0 <= self.negative_label <= 1:
            raise TrainingError(f"the label of negatives must lie between 0 and 1; got {self.negative_label}")
        if self.imagined < 0:
            raise TrainingError(f"imagined masks per episode must be 0 or more; got {self.imagined}")
        if self.patience < 0:
            raise TrainingError(f"patience must be 0 or more; got {self.patience}")
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


_RELEASED: dict[str, Any] = {
    "iterations": 10_000,
    "batch": 32,
    "members": 1,
    "imagined": 0,
    "held_out": 0.01,
    "patience": 0,
}
CONSTANTS: dict[str, dict[str, Any]] = {
    "racer": {},
    "digits": _RELEASED | {"negative_label": 0.5},
    "cars": _RELEASED | {"negative_label": 0.25},
    "faces": _RELEASED | {"negative_label": 0.25},
    "driving": _RELEASED | {"negative_label": 0.5},
}
"""Settings by name: Racer's own, and those of the released code's notebooks (rddy/pico)."""


def config_of(
    constants: str = "racer",
    *,
    labels: Labels = "released",
    negative_label: float | None = None,
    iterations: int | None = None,
    seed: int = 0,
) -> PicoConfig:
    """Return settings by the name of their constants, of `CONSTANTS`, but for those that are given.

    Raises:
        TrainingError: If there are none of this name, a setting is out of its range, or negatives have a label where
            the paper's is 0.
    """
    if constants not in CONSTANTS:
        raise TrainingError(f"constants must be one of {', '.join(CONSTANTS)}; got {constants[:80]!r}")
    if negative_label is not None and labels == "paper":
        raise TrainingError("the negatives of labels paper are 0: leave out their label, or the labels")
    given = {"iterations": iterations, "negative_label": negative_label}
    chosen = CONSTANTS[constants] | {name: value for name, value in given.items() if value is not None}
    return PicoConfig(seed=seed, labels=labels, **chosen)
