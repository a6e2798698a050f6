"""Settings of the training of RL-ASC."""

from __future__ import annotations

from dataclasses import dataclass

from compression.errors import TrainingError
from compression.rl_asc.networks import CHANNELS


@dataclass(frozen=True)
class ConceptConfig:
    """Settings of the training. Impossible ones raise TrainingError."""

    channels: int = 4
    """n, of the features: 4, 8 or 16."""
    labeller_steps: int = 500
    """Gradient steps of each labeller."""
    coder_steps: int = 4000
    """Gradient steps of stage I."""
    agent_steps: int = 200
    """Gradient steps of stage II."""
    joint_steps: int = 300
    """Gradient steps of stage III."""
    batch: int = 8
    """Frames per step."""
    prices: tuple[float, ...] = (3e-5, 1e-4, 2e-4, 4e-4, 8e-4, 1.6e-3, 4e-3, 1e-2)
    """Lambda, for each bit of the features, that the agent is trained for."""
    coder_price: float = 2e-4
    """Lambda of stage I."""
    perceptual_price: float = 1.0
    """Eta."""
    concept_price: float = 0.02
    """Lambda 2 of equation 33, of the concepts' classification."""
    pixel_price: float = 2.0
    """Weight of the mean absolute difference of pixels in [0, 1]."""
    adversarial_price: float = 0.01
    """Weight of the generator's hinge loss (equation 32)."""
    matching_price: float = 0.2
    """Weight of the discriminator's features."""
    softness: float = 4.0
    """Sigma of equation 25, for distances in steps of the quantiser."""
    entropy: float = 0.3
    """Weight at first of the entropy of the agent's choices, in usual gains; falls to nothing."""
    policy_price: float = 0.1
    """Weight of the agent's loss in stage III."""
    learning_rate: float = 2e-3
    """Peak of Adam's, after which it falls along a cosine."""
    checkpoint_steps: int = 100
    """Gradient steps after which a training can go on if it is killed; it changes nothing that comes of it."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.channels not in CHANNELS:
            raise TrainingError(f"channels must be one of {', '.join(map(str, CHANNELS))}; got {self.channels}")
        for name in ("labeller_steps", "coder_steps", "agent_steps", "joint_steps", "batch", "checkpoint_steps"):
            if getattr(self, name) < 1:
                raise TrainingError(f"{name} must be 1 or more; got {getattr(self, name)}")
