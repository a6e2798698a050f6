"""Training a latent model from frames: what is trained on, how, and the folder that comes of it."""

from compression.model.training.config import TrainingConfig
from compression.model.training.data import Split, TrainingData
from compression.model.training.train import train_model

__all__ = ["Split", "TrainingConfig", "TrainingData", "train_model"]
